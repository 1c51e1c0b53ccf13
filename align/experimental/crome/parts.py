"""What a run with Crome's experiments reads, is checked for, and puts on its card and page."""

from collections.abc import Sequence
from typing import Any, cast

from align.checks.finding import Finding
from align.data.conversations import write_response
from align.data.pairs.candidates import Candidates, load_candidates
from align.data.pairs.reward_pairs import RewardPair
from align.data.training_data import TrainingData
from align.errors import DataError
from align.experimental.crome.rules import ADAPTER_REFUSED, turned_on
from align.methods.crome import data as crome
from align.methods.crome.report import REPORT as OF_CROME
from align.recipe.dataset import RewardPairDatasetConfig
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import Reward

FACTS = {
    "odin_coef": "Weight of ODIN's correlations",
    "num_heads": "Score heads",
}
REPORT = OF_CROME.beside(FACTS, [], [])


def load(recipe: Recipe) -> TrainingData[RewardPair]:
    """Reads the pairs of a recipe, and those without labels; `extra` is rows of the latter."""
    data = cast(RewardPairDatasetConfig, recipe.dataset)
    check_knobs(recipe, data.unlabelled_path)
    loaded = crome.load(recipe)
    if data.unlabelled_path is None:
        return loaded
    rows, report = load_candidates(data.unlabelled_path, on_bad_rows=data.on_bad_rows)
    loaded.report.unread.extend(report.unread)
    return loaded._replace(extra=unlabelled_rows(rows))


def check(recipe: Recipe, data: TrainingData[RewardPair], rewards: Sequence[Reward]) -> list[Finding]:
    """Checks pairs as for Crome, and counts those without labels."""
    findings = crome.check(recipe, data, rewards)
    return findings if data.extra is None else findings + _check_unlabelled(data)


def unlabelled_rows(rows: list[Candidates]) -> list[dict[str, Any]]:
    """Makes pairs of the responses of each prompt: the first with the second, the third with the fourth, and so on."""
    pairs = [
        {
            "prompt": row.prompt,
            "chosen": write_response(first, row.prompt),
            "rejected": write_response(second, row.prompt),
        }
        for row in rows
        for first, second in zip(row.responses[::2], row.responses[1::2], strict=False)
        if first != second
    ]
    if not pairs:
        raise DataError(
            "`dataset.unlabelled_path`: no prompt has two `responses` that differ, of which a pair could be made. "
            "Sample at least two responses for each prompt."
        )
    return pairs


def check_knobs(recipe: Recipe, path: str | None) -> None:
    """Checks that unlabelled rows are there for two heads and for nothing else, and that no adapter is trained."""
    heads = recipe.settings.num_heads
    for knob in turned_on(recipe.settings):
        if recipe.model.use_peft:
            raise DataError(ADAPTER_REFUSED.format(knob=knob))
    if heads == 2 and path is None:
        raise DataError(
            "`num_heads: 2` needs pairs on which the two heads come apart. Set `dataset.unlabelled_path` to rows of "
            "`prompt` and `responses` sampled from the policy that the reward model is for, or `num_heads: 1`."
        )
    if heads == 1 and path is not None:
        raise DataError("`dataset.unlabelled_path` is read by two heads only. Set `num_heads: 2`, or remove the path.")


def _check_unlabelled(data: TrainingData[RewardPair]) -> list[Finding]:
    count = len(data.extra)
    if len({isinstance(row["prompt"], str) for row in (*data.extra, data.rows[0])}) > 1:
        text = "Of unlabelled and labelled prompts some are texts and others messages. Write all of them one way."
        return [Finding("error", "unlabelled", text)]
    text = f"{count} unlabelled pairs, on which the two heads come apart. In what, these pairs decide."
    return [Finding("ok", "unlabelled", text, {"pairs": count})]
