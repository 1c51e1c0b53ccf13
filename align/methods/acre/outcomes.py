"""What ACRE logs about one batch: outcomes, letters and leaks."""

from collections import defaultdict
from typing import Any, NamedTuple

from align.methods.acre.letters import AnsweredRow
from rewards.reading.options import LETTERS
from rewards.reading.traces import names_letter, quotes_answer
from rewards.scoring.consistency import OUTCOMES, outcome
from rewards.scoring.families import ChangedPrompt
from rewards.scoring.text_accuracy import normalise_text


def outcome_metrics(rows: list[AnsweredRow]) -> dict[str, list[float]]:
    """Lists the values behind each metric, one per row that it is about, so that ranks can be averaged rightly.

    `outcome_*` and `consistency_rate` (both answers agree) are over the rows asked again, also by shuffle;
    `trace_names_letter` and `trace_quotes_answer` over the rows with a trace; all else over all rows, where no answer
    counts for no letter in `answer_share_*` and `gold_share_*`. What is about the right answer is not over rows whose
    right answer nobody knows.
    """
    values: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        values["acre/no_answer"].append(float(row.first is None))
        values["acre/asked_again"].append(float(bool(row.permutations)))
        for second in row.given():
            values["acre/consistency_rate"].append(float(second == row.first))
        for index in range(len(row.options)):
            values[f"acre/answer_share_{LETTERS[index]}"].append(float(row.first == index))
        if row.trace is not None:
            values["acre/trace_names_letter"].append(float(names_letter(row.trace, len(row.options))))
        if row.gold is not None:
            _add_right(values, row, row.gold)
    return values


def _add_right(values: dict[str, list[float]], row: AnsweredRow, gold: int) -> None:
    values["acre/first_right"].append(float(row.first == gold))
    for second in row.given():
        found = outcome(row.first, second, gold)
        for name in OUTCOMES:
            values[f"acre/outcome_{name}"].append(float(name == found))
    for index in range(len(row.options)):
        values[f"acre/gold_share_{LETTERS[index]}"].append(float(gold == index))
    if row.trace is not None:
        values["acre/trace_quotes_answer"].append(float(quotes_answer(row.trace, row.options, gold)))


def table_columns(row: AnsweredRow) -> dict[str, Any]:
    """Words one row for the completions table; second answers are mapped back to the letters of the first pass."""
    asked = row.given()
    return {
        "trace": row.trace,
        "first_answer": _letter(row.first),
        "second_answers": " ".join(_letter(second) or "-" for second in asked) or None,
        "permutation": " ".join("".join(LETTERS[i] for i in order) for order in row.permutations) or None,
        "outcome": None
        if row.gold is None
        else " ".join(outcome(row.first, each, row.gold) for each in asked) or None,
    }


def _letter(choice: int | None) -> str | None:
    return None if choice is None else LETTERS[choice]


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

    def columns(self) -> dict[str, Any]:
        """Returns what rewards get: answers, and verdicts on them; no second texts where none was asked for."""
        texts = [second.text for second in self.second] or None
        named = {"first_text": self.answer, "second_texts": texts}
        return named | {"first_right": self.right, "second_right": self.second_right()}

    def second_right(self) -> list[bool] | None:
        """Lists the verdicts on second answers: the first's where there are none, None where none was looked for."""
        if self.has_version is None:
            return None
        known = [second.right for second in self.second if second.right is not None]
        return known or [bool(self.right)]  # rewarded as in GRPO


def text_metrics(rows: list[TextRow]) -> dict[str, list[float]]:
    """Lists the values behind each metric, one per row that it is about, so that ranks can be averaged rightly.

    `has_version` is over the rows for which a version was looked for; `second_unread` over second answers, where the
    reward could not say; `outcome_*` and `consistency_rate` over the others. Two right answers agree, and so do two
    wrong ones of the same words to the same right answer; two wrong ones to different right answers count for nothing.
    """
    values: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        values["acre/no_answer"].append(float(row.answer is None))
        values["acre/asked_again"].append(float(bool(row.second)))
        if row.has_version is not None:
            values["acre/has_version"].append(float(row.has_version))
        if row.gold is None:
            values["acre/consistency_rate"] += [_words(each.text) == _words(row.answer) for each in row.second]
            continue
        values["acre/first_right"].append(float(row.right is True))
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
