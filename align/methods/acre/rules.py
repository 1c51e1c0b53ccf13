"""Rules for the settings of ACRE: nothing of TRL is imported."""

from align.recipe.ranges import COUNT
from align.recipe.rules import Rules

RULES = Rules(
    choices={
        "second_pass": ("auto", "forward", "vllm", "off"),
        "second_pass_rows": ("needed", "all"),
        "permutation_scope": ("group", "row"),
    },
    ranges={"num_shuffles": COUNT, "second_pass_batch_size": COUNT},
)
