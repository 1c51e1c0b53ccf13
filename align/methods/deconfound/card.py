import json
from typing import cast

from align.methods.deconfound.dataset import ObservationDatasetConfig
from align.recipe.recipe import Recipe
from align.secrets import mask
from align.training.model_card import Card, Rows

ABOUT_SCORES = """\
A score is the corrected outcome in standard deviations; `reward_scale.json` has its mean and deviation, and
`correction.json` what was removed from the outcome."""
READS_CONFOUNDERS = """
Nothing was removed: the model reads the confounders before the text. Write the `prefix` of `reward_scale.json` before
every prompt, in evaluation and in other recipes too; nothing adds it."""


def card(recipe: Recipe, rows: Rows) -> Card:
    """Says what a reward model on outcomes was trained on, and what was removed from them."""
    data = cast(ObservationDatasetConfig, recipe.dataset)
    settings = data.model_dump(exclude_defaults=True, exclude={"path", "eval_path", "max_eval_rows"})
    return Card(
        "deconfound",
        "DeconfoundLM",
        "2506.00152",
        "Aligning Language Models with Observational Data",
        "that the assumptions of the correction are true, and that a policy trained on its rewards gets better: it "
        "finds what a reward model overlooks. Beyond texts like those of the data a score means nothing",
        facts={"rows": len(rows), "correction": f"`{json.dumps(mask(settings), ensure_ascii=False)}`"},
        model_type="scalar",
        about_scores=ABOUT_SCORES + (READS_CONFOUNDERS if data.estimator == "input" else ""),
    )
