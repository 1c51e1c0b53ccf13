from collections import Counter

from align.data.pairs.reward_pairs import CAUSAL, NEUTRAL
from align.recipe.recipe import Recipe
from align.training.model_card import Card, Rows

NOT_SHOWN = (
    "that the model judges what its pairs are not about, and that a policy trained on its rewards gets better: it "
    "finds what a reward model overlooks. Only differences between the rewards of answers to one prompt mean something"
)
BRADLEY_TERRY_TITLE = "Training language models to follow instructions with human feedback"


def card(recipe: Recipe, rows: Rows) -> Card:
    """Says what a reward model was trained on; without edits and ties it is Bradley-Terry's, and says so."""
    counts = Counter(f"{row['source']}{' (ties)' if row['tie'] else ''}" for row in rows)
    facts = {"pairs": ", ".join(f"{count} {name}" for name, count in counts.items())}
    if getattr(recipe.dataset, "streaming", False):
        facts = {"pairs": f"a stream; of its first {len(rows)}: {facts['pairs']}"}
    model_type = recipe.settings.model_type
    learnt = [row for row in rows if not row["tie"] or recipe.settings.tie_coef]
    if any(row["tie"] or row["source"] in (*CAUSAL, *NEUTRAL) for row in learnt):
        title = "Robust Reward Modeling via Causal Rubrics"
        return Card("crome", "Crome", "2506.16507", title, NOT_SHOWN, facts, model_type)
    tag, name = "bradley-terry", "Bradley-Terry"
    return Card(tag, name, "2203.02155", BRADLEY_TERRY_TITLE, NOT_SHOWN, facts, model_type)
