"""Rules for the settings of a reward model on corrected outcomes: nothing of transformers is imported."""

from align.recipe.ranges import COUNT
from align.recipe.rules import Rules

RULES = Rules(choices={"head": ("trained", "ridge")}, ranges={"max_length": COUNT})
