"""What ACRE logs about one batch where answers are texts."""

from collections import defaultdict
from typing import Any, NamedTuple

from rewards.scoring.consistency import OUTCOMES, outcome
from rewards.scoring.families import ChangedPrompt
from rewards.scoring.text_accuracy import normalise_text


class SecondText(NamedTuple):
    """An answer behind the same trace and a changed prompt."""

    version: ChangedPrompt
    text: str | None
    right: bool | None  # None where the reward could not say


class TextRow(NamedTuple):
    """One response with both answers."""

    gold: Any
    trace: str | None
    answer: str | None
    right: bool | None  # the first answer; None where the reward could not say
    has_version: bool | None = None  # None where none was looked for
    second: tuple[SecondText, ...] = ()

    def second_right(self) -> list[bool] | None:
        """Lists the verdicts on second answers: the first's where there are none, None where none was looked for."""
        if self.has_version is None:
            return None
        known = [second.right for second in self.second if second.right is not None]
        return known or [bool(self.right)]  # rewarded as in GRPO


def text_metrics(rows: list[TextRow]) -> dict[str, list[float]]:
    """Lists the values behind each metric, one per row that it is about, so that ranks can be averaged rightly.

    Returns:
        `acre/first_right`, `acre/no_answer` and `acre/asked_again` over all rows; `acre/has_version` over the rows for
        which a version was looked for; `acre/second_unread` over second answers, where the reward could not say;
        `acre/outcome_*` and `acre/consistency_rate` over the others. Two right answers agree, and so do two wrong
        ones of the same words to the same right answer; two wrong ones to different right answers count for nothing.
    """
    values: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        values["acre/first_right"].append(float(row.right is True))
        values["acre/no_answer"].append(float(row.answer is None))
        values["acre/asked_again"].append(float(bool(row.second)))
        if row.has_version is not None:
            values["acre/has_version"].append(float(row.has_version))
        for second in row.second:
            values["acre/second_unread"].append(float(second.right is None))
            if second.right is None:
                continue
            found = _outcome(row, second)
            for name in OUTCOMES:
                values[f"acre/outcome_{name}"].append(float(name == found))
            if found != "neither":
                values["acre/consistency_rate"].append(float(found == "both"))
            elif second.version.gold == row.gold:
                values["acre/consistency_rate"].append(float(_words(second.text) == _words(row.answer)))
    return values


def text_table(row: TextRow) -> dict[str, Any]:
    """Words one row for the completions table."""
    told = [second for second in row.second if second.right is not None]
    golds = [second.version.gold for second in row.second]
    return {
        "trace": row.trace,
        "first_answer": row.answer,
        "second_texts": " | ".join(second.text or "-" for second in row.second) or None,
        "family": " ".join(second.version.family for second in row.second) or None,
        "second_gold": " | ".join(map(str, golds)) if any(gold != row.gold for gold in golds) else None,
        "outcome": " ".join(_outcome(row, second) for second in told) or None,
    }


def _outcome(row: TextRow, second: SecondText) -> str:
    return outcome(int(bool(row.right)), int(bool(second.right)), 1)


def _words(text: str | None) -> str:
    return normalise_text(text or "")
