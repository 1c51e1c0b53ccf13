"""Rules for the settings of GRPO: nothing of TRL is imported."""

from align.methods.consistency.rules import CHOICES, RANGES, check_consistency
from align.recipe.rules import Rules

RULES = Rules(choices=CHOICES, ranges=RANGES, together=check_consistency)
