"""The options of `align.deconfound`, by what they are about."""

from dataclasses import dataclass
from pathlib import Path

from align.options import Reading, option


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which column is what."""

    outcome: str = option("", "Column of the observed outcome, such as clicks.")
    confounders: list[str] | None = option(
        None,
        "Columns of what moves the outcome beside the text: numbers, dates or categories; several words.",
    )
    text: str = option("", "Column of the text; controlled for where the estimator can.")
    instruments: list[str] | None = option(
        None, "Columns that move a confounder and nothing else.", "--instruments", "--instrument"
    )
    groups: str = option(
        "", "Column of author, article or week: clusters of intervals, or of `fixed_effects` an effect each."
    )
    prompt: str = option("", "Column of what the text answers, for pairs.")


@dataclass(frozen=True, kw_only=True)
class Estimation:
    """How the effect is estimated."""

    estimator: str = option(
        "auto", "iv, dml, fixed_effects, ols, none, or auto: iv with instruments, dml with text, else ols."
    )
    instrumented: list[str] | None = option(None, "iv: confounders that the instruments move; all if not given.")
    seed: int = option(0, "Seed of everything that is drawn.")


@dataclass(frozen=True, kw_only=True)
class TableReading(Reading):
    """How the table is read."""

    adapter: str | None = option(
        None,
        "Public schema: upworthy, stackexchange, or ./mine.py:function that returns our columns for a row.",
    )


@dataclass(frozen=True, kw_only=True)
class PairsOf:
    """Preference pairs beside the table."""

    pairs: Path | None = option(None, "New .jsonl file for preference pairs within prompts (or groups).")
    margin: float | None = option(None, "Least difference of the rewards of a pair, in units of the outcome.")
