from align.methods.sft.rules import is_plain_sft
from align.recipe.recipe import Recipe
from align.training.model_card import Card, Rows

SETTINGS = ("learning_rate", "max_length", "packing", "seed")
LFU_SETTINGS = ("lfu_coef", "lfu_alpha", "lfu_mode", "lfu_layers", *SETTINGS)
NOT_SHOWN = "that the model keeps what it could do before, and that it is right where its demonstrations were not"
LFU_TITLE = "Learning from the Undesirable: Robust Adaptation of Language Models without Forgetting"
SFT_TITLE = "Training language models to follow instructions with human feedback"


def card(recipe: Recipe, rows: Rows) -> Card:
    """Says what was demonstrated; without LfU it is plain SFT, and says so."""
    facts = {"demonstrations": len(rows)}
    if is_plain_sft(recipe.setting):
        return Card("sft", "SFT", "2203.02155", SFT_TITLE, SETTINGS, NOT_SHOWN, facts)
    return Card("lfu", "SFT with LfU", "2511.13052", LFU_TITLE, LFU_SETTINGS, NOT_SHOWN, facts)
