from align.methods.consistency.rules import is_consistent
from align.methods.sft.rules import is_plain_sft
from align.recipe.recipe import Recipe
from align.training.model_card import Card, Rows

NOT_SHOWN = "that the model keeps what it could do before, and that it is right where its demonstrations were not"
LFU_TITLE = "Learning from the Undesirable: Robust Adaptation of Language Models without Forgetting"
NO_FLIPS = "that answers stay as they are under perturbations that it was not trained on"
CONSISTENCY_TITLE = "Diagnosing and Mitigating Modality Interference in Multimodal Large Language Models"
SFT_TITLE = "Training language models to follow instructions with human feedback"


def card(recipe: Recipe, rows: Rows) -> Card:
    """Says what was demonstrated; without LfU and consistency it is plain SFT, and says so."""
    facts = {"demonstrations": len(rows)}
    if is_consistent(recipe.setting):
        return Card("sft", "SFT with consistency", "2505.19616", CONSISTENCY_TITLE, NO_FLIPS, facts)
    if is_plain_sft(recipe.setting):
        return Card("sft", "SFT", "2203.02155", SFT_TITLE, NOT_SHOWN, facts)
    return Card("lfu", "SFT with LfU", "2511.13052", LFU_TITLE, NOT_SHOWN, facts)
