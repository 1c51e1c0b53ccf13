from align.recipe.rules import Range, Rules

RULES = Rules(ranges={"gamma": Range(0.0)})
