from align.methods.rrpo.rules import is_plain_dpo
from align.recipe.recipe import Recipe
from align.training.model_card import Card, Rows

NOT_SHOWN = (
    "that the model writes what it prefers between two given responses, and anything on prompts unlike those of the "
    "data"
)
RRPO_TITLE = "Self-Alignment of Large Video Language Models with Refined Regularized Preference Optimization"
DPO_TITLE = "Direct Preference Optimization: Your Language Model is Secretly a Reward Model"


def card(recipe: Recipe, rows: Rows) -> Card:
    """Says what RRPO was trained towards; with its own settings off it is DPO, and says so."""
    if is_plain_dpo(recipe.settings):
        return Card("dpo", "DPO", "2305.18290", DPO_TITLE, NOT_SHOWN)
    return Card("rrpo", "RRPO", "2504.12083", RRPO_TITLE, NOT_SHOWN)
