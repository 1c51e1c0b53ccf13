"""The numbers of an evaluation on the model card in the folder of the model, for the hub and for people."""

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from itertools import groupby
from math import nan
from pathlib import Path

import yaml
from huggingface_hub import EvalResult, ModelCard

from align.errors import UserError
from align.evaluation.card_results import DIFFERENCE, card_results
from align.evaluation.record import Record
from align.evaluation.statistics.metrics import Estimate
from align.models.card import card_fields
from align.models.checkpoint import fingerprint
from align.recipe.problems import one_line
from align.runs.folder import FINISHED_FILE
from align.whole_files import write_whole

CARD = "README.md"
_BEGIN, _END = "<!-- evaluation, written by `align eval --card` -->", "<!-- end of the evaluation -->"
_TAG = "truealign"


def find_card(model: str) -> Path:
    """Finds the card that the numbers of a model go on: in its folder, or of the run whose last checkpoint it is.

    Args:
        model: What is evaluated.

    Raises:
        UserError: If there is none, or the checkpoint holds another model than the one that the card is about.
    """
    folder = Path(model)
    if not folder.is_dir():
        raise UserError(f"`--card` writes on the card in the folder of a run, and {model} is none. Download it first.")
    if _is_ours(folder / CARD):
        return folder / CARD
    run = folder.resolve().parent
    if not _is_ours(run / CARD):
        raise UserError(
            f"`--card`: {folder} has no {CARD} that `align train` wrote. Name the folder of a finished run, or leave "
            "the option out."
        )
    if fingerprint(str(folder)) != fingerprint(str(run)):
        raise UserError(
            f"`--card`: the card in {run} is about the model there, and that in {folder.name} is another one. "
            f"Evaluate {run}, or leave the option out."
        )
    return run / CARD


def put_on_card(path: Path, record: Record) -> None:
    """Writes results into the fields that the hub reads, and as a table; earlier ones on the same items go.

    Raises:
        UserError: If the evaluation has nothing that a card can show, or the card cannot be written.
    """
    results = card_results(record)
    if not results:
        raise UserError(f"The evaluation has no number for {path}: no metric of it is better when higher or lower.")
    try:
        card = ModelCard.load(path, ignore_metadata_errors=True)
    except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
        raise UserError(f"The card {path} cannot be read: {one_line(error)}. Mend it, or train again.") from error
    anew = {_key(each) for each in results}
    kept = [each for each in card.data.get("eval_results") or [] if _key(each) not in anew]
    card.data.eval_results = [*kept, *results]
    card.data.model_name = card.data.model_name or _title(card.text) or path.parent.name
    card.data.metrics = ["accuracy"] if any(each.metric_type == "accuracy" for each in [*kept, *results]) else None
    before = re.sub(rf"\n*{re.escape(_BEGIN)}.*?{re.escape(_END)}\n*", "", card.text, flags=re.DOTALL)
    card.text = f"{before.rstrip()}\n\n{_BEGIN}\n{_section([*kept, *results])}\n{_END}\n"
    try:
        write_whole(path, str(card))
    except OSError as error:
        raise UserError(f"The card {path} cannot be written: {error}.") from error


def pushed_to(path: Path) -> str | None:
    """Returns the repository of the hub that a card's run was pushed to."""
    try:
        place = json.loads((path.parent / FINISHED_FILE).read_text(encoding="utf-8"))["pushed_to"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return "/".join(str(place).rsplit("/", 2)[1:])


def _is_ours(path: Path) -> bool:
    tags = card_fields(path).get("tags")
    return isinstance(tags, list) and _TAG in tags


def _key(result: EvalResult) -> tuple[str | None, ...]:
    """Names what was asked: the same questions, of which a later evaluation has the later numbers."""
    suite = str((result.metric_args or {}).get("suite"))
    return result.dataset_type, result.dataset_config, result.dataset_split, result.dataset_revision, suite


def _title(text: str) -> str | None:
    found = re.search(r"^# (.+)$", text, flags=re.MULTILINE)
    return found[1].rpartition("/")[2] if found else None


def _section(results: Sequence[EvalResult]) -> str:
    parts = ["## Evaluation"]
    contents: dict[str, set[str | None]] = defaultdict(set)  # of files of one name
    for each in results:
        contents[each.dataset_name].add(each.dataset_revision)
    for key, group in groupby(results, _key):
        found = list(group)
        items = (found[0].dataset_args or {}).get("items")
        where = found[0].dataset_name + (f", split {found[0].dataset_split}" if found[0].dataset_split else "")
        if found[0].dataset_revision and len(contents[found[0].dataset_name]) > 1:
            where += f" of content `{found[0].dataset_revision}`"
        many = f", {items:,} items" if items else ""
        suite = "" if key[-1] == "None" else f" ({key[-1]})"
        parts.append(f"On {where}{many}{suite}, with 95 % intervals:\n\n{_table(found)}")
        parts += _counts(found)
    if any(each.metric_type.endswith(DIFFERENCE) for each in results):
        parts.append(
            "Differences are paired: both models on the same items. An interval that holds 0 shows no difference; it "
            "does not show that there is none."
        )
    return "\n\n".join(parts)


def _table(results: Sequence[EvalResult]) -> str:
    rows = ["| metric | value | baseline | its value | difference | n |", "|---|---|---|---|---|---|"]
    for own in (each for each in results if not each.metric_type.endswith(DIFFERENCE)):
        against = [each for each in results if each.metric_type == own.metric_type + DIFFERENCE]
        first = f"{own.metric_name} | {_estimate(own, '')}"
        n = (own.metric_args or {}).get("n", 0)
        if not against:
            rows.append(f"| {first} | | | | {n:,} |")
        for each in against:
            baseline = f"{(each.metric_args or {})['baseline']} | {_estimate(each, 'baseline_')}"
            rows.append(f"| {first} | {baseline} | {_estimate(each, '')} | {n:,} |")
    return "\n".join(rows)


def _counts(results: Sequence[EvalResult]) -> list[str]:
    lines = []
    for args in (each.metric_args or {} for each in results):
        if "only_model_right" in args:
            lines.append(
                f"Right with this model alone: {args['only_model_right']:,}; with {args['baseline']} alone: "
                f"{args['only_baseline_right']:,}; with both: {args['both_right']:,}; with neither: "
                f"{args['neither_right']:,}."
            )
        if "model_higher" in args:
            lines.append(
                f"Higher with this model: {args['model_higher']:,}; with {args['baseline']}: "
                f"{args['baseline_higher']:,}; equal: {args['equal']:,}."
            )
    return lines


def _estimate(result: EvalResult, prefix: str) -> str:
    args = result.metric_args or {}
    value = args.get(f"{prefix}value", result.metric_value if not prefix else None)
    if value is None:
        return ""
    return str(Estimate(value, args.get(f"{prefix}low", nan), args.get(f"{prefix}high", nan), args.get("n", 0)))
