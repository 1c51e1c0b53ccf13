"""What ACRE logs about one batch: outcomes, letters and leaks."""

from collections import defaultdict
from typing import Any, NamedTuple

from rewards.reading.options import LETTERS
from rewards.reading.traces import names_letter, quotes_answer
from rewards.scoring.consistency import OUTCOMES, outcome


class AnsweredRow(NamedTuple):
    """One response with both answers, as indices into the row's options."""

    options: list[str]
    gold: int
    trace: str | None
    first: int | None
    second: list[int | None] | None  # what rewards get: one per shuffle; None where none was to be asked again
    permutations: list[tuple[int, ...]]  # none where it was not asked again, also where options cannot be shuffled

    def given(self) -> list[int | None]:
        """Lists the second answers that were given; where options cannot be shuffled, rewards get the first one."""
        return (self.second or []) if self.permutations else []


def outcome_metrics(rows: list[AnsweredRow]) -> dict[str, list[float]]:
    """Lists the values behind each metric, one per row that it is about, so that ranks can be averaged rightly.

    Returns:
        `acre/outcome_*` over the rows asked again, by shuffle; `acre/consistency_rate` (both answers agree) likewise;
        `acre/first_right`, `acre/no_answer` and `acre/asked_again` over all rows; `acre/answer_share_*` and
        `acre/gold_share_*` over all rows, where no answer counts for no letter; `acre/trace_names_letter` and
        `acre/trace_quotes_answer` over the rows with a trace.
    """
    values: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        values["acre/first_right"].append(float(row.first == row.gold))
        values["acre/no_answer"].append(float(row.first is None))
        values["acre/asked_again"].append(float(bool(row.permutations)))
        for second in row.given():
            found = outcome(row.first, second, row.gold)
            for name in OUTCOMES:
                values[f"acre/outcome_{name}"].append(float(name == found))
            values["acre/consistency_rate"].append(float(second == row.first))
        for index in range(len(row.options)):
            values[f"acre/answer_share_{LETTERS[index]}"].append(float(row.first == index))
            values[f"acre/gold_share_{LETTERS[index]}"].append(float(row.gold == index))
        if row.trace is not None:
            values["acre/trace_names_letter"].append(float(names_letter(row.trace, len(row.options))))
            values["acre/trace_quotes_answer"].append(float(quotes_answer(row.trace, row.options, row.gold)))
    return values


def table_columns(row: AnsweredRow) -> dict[str, Any]:
    """Words one row for the completions table; second answers are mapped back to the letters of the first pass."""
    asked = row.given()
    return {
        "trace": row.trace,
        "first_answer": _letter(row.first),
        "second_answers": " ".join(_letter(second) or "-" for second in asked) or None,
        "permutation": " ".join("".join(LETTERS[i] for i in order) for order in row.permutations) or None,
        "outcome": " ".join(outcome(row.first, second, row.gold) for second in asked) or None,
    }


def _letter(choice: int | None) -> str | None:
    return None if choice is None else LETTERS[choice]
