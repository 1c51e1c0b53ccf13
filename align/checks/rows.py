"""Rows that repeat, contradict or leak, and what a mixture of them is made of, before anything is learnt from them."""

import shlex
from collections.abc import Sequence
from typing import Any

from align.auditing.entry import entries_of
from align.auditing.row_findings import RowFinding, describe_rows
from align.auditing.rows import Seen, compare, see
from align.checks.finding import Finding, Level
from align.data.mixing import Share
from align.data.reading_progress import ReadingProgress
from align.data.stored_items import map_parts
from align.data.training_data import TrainingData
from align.recipe.recipe import Recipe

_SAID = {
    "duplicates": "{count:,} of {of:,} rows repeat an earlier one",
    "contradictions": "{count:,} {text}",
    "leaks": "{count:,} of {of:,} rows for evaluation are rows for training",
    "groups": "{count:,} rows have a prompt that stands in two groups",
    "prefixes": "in {count:,} pairs the chosen answer is the beginning of the rejected one",
    "images": "{count:,} rows have images that are equal by content under another right answer",
}
# A prompt that stands there twice is asked twice, and of a text that was shown twice the same may be observed.
_MAY_REPEAT = ("prompts", "outcomes")
# Four passes over the same rows teach about as much as new ones would, and later ones less (arXiv 2305.16264).
_PASSES = 4
_UNUSED = 0.01  # share of a set's rows that are not drawn


def check_rows(recipe: Recipe, data: TrainingData[Any]) -> list[Finding]:
    """Says in one line what the exact part of `align audit` finds; the rest of it is that command's."""
    kind, _ = entries_of(data.items, data.report.file)
    if not kind:
        return []
    held_out = None
    if data.eval_items and data.eval_report is not None:
        held_out = _see(data.eval_items, data.eval_report.file, kind)
    train = _see(data.items, data.report.file, kind)
    found = [each for each in describe_rows(train, held_out, compare(train, held_out)) if each.name in _SAID]
    numbers = {each.name: each.count for each in found}
    if not any(numbers.values()):
        looked = " or ".join(filter(None, [", ".join([*numbers][:-1]), [*numbers][-1]]))
        return [Finding("ok", "rows", f"No {looked} among {len(train):,} rows, compared by content.", numbers)]
    found_names = {name for name, count in numbers.items() if count}
    again = kind in _MAY_REPEAT and found_names == {"duplicates"}
    text = "; ".join(_say(each) for each in found if each.count)
    level: Level = "ok" if again else "warning"
    return [Finding(level, "rows", f"{text[0].upper()}{text[1:]}.", numbers, _line(recipe, kind))]


def _see(items: Sequence[Any], file: str, kind: str) -> Seen:
    seen = Seen(kind)
    with ReadingProgress("Compared") as progress:
        for part in map_parts(lambda some: see(entries_of(some, file)[1], kind), items):
            seen.join(part)
            if len(seen) < len(items):
                progress.advance(len(part))
    return seen


def _line(recipe: Recipe, kind: str) -> str:
    """Writes the command that shows more; names of columns and several sets are the recipe's, which it then reads."""
    data = recipe.dataset
    if getattr(data, "columns", None) or data.mix is not None or kind == "outcomes":
        return shlex.join(["align", "audit", "--recipe", str(recipe.path), "--out", "audit"])
    given = {"eval": data.eval_path, "split": data.split, "adapter": getattr(data, "adapter", None), "out": "audit"}
    options = [word for name, value in given.items() if value for word in (f"--{name}", str(value))]
    return shlex.join(["align", "audit", data.path, *options])


def _say(finding: RowFinding) -> str:
    text = _SAID[finding.name].format(count=finding.count, of=finding.of, text=finding.text)
    return f"{text} ({finding.examples[0]})" if finding.examples else text


def check_mixture(data: TrainingData[Any]) -> list[Finding]:
    """Says how many rows each set has in the mixture, how often they are repeated, and what is not used."""
    if not data.shares:
        return []
    total = len(data.rows)
    numbers = {share.name: {**share._asdict(), "repeats": share.repeats} for share in data.shares}
    text = f"A mixture of {total:,} rows: {'; '.join(_word(share, total) for share in data.shares)}."
    findings = [Finding("ok", "mixture", text, numbers)]
    often = [share for share in data.shares if share.repeats > _PASSES]
    if often:
        named = ", ".join(f"{share.name} ({share.rows:,} rows, {share.repeats:.1f} times each)" for share in often)
        text = (
            f"Smaller than their share: {named}. Rows that are repeated more than {_PASSES} times in one pass teach "
            "less than others. Lower the weight, add rows, or set `dataset.stopping_strategy: first_exhausted`."
        )
        findings.append(Finding("warning", "mixture", text))
    return findings


def _word(share: Share, total: int) -> str:
    weight = "" if share.weight is None else f", weight {share.weight:.0%}"
    if share.repeats > 1:
        used = f", each {share.repeats:.1f} times on average"
    else:
        used = f" of its {share.rows:,}" if share.repeats < 1 - _UNUSED else ""
    return f"{share.drawn:,} ({share.drawn / total:.0%}{weight}) from {share.name}{used}"
