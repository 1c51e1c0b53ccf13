from align.checks.memory import Footprint, activations
from align.methods.consistency.rules import is_consistent
from align.methods.sft.rules import is_plain_sft
from align.recipe.recipe import Recipe


def footprint(recipe: Recipe) -> Footprint:
    """Says what SFT keeps in memory; LfU holds what it needs to move the weights, and hidden states to compare."""
    if is_consistent(recipe.setting):
        both = activations(recipe, 2, "sequences", " (each row behind two prompts)")
        return Footprint(f"{both}, and the scores of both answers over the vocabulary")
    on_top = activations(recipe, 1, "sequences")
    if is_plain_sft(recipe.setting):
        return Footprint(on_top)
    copy = " and a copy of the trained weights" if recipe.setting("lfu_mode") == "params" else ""
    return Footprint(f"{on_top}, the hidden states of all layers twice{copy}")
