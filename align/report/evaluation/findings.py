"""What a reader of an evaluation should know before believing it."""

import math
from collections.abc import Iterator, Mapping, Sequence

from align.evaluation.record.answers import Warned
from align.report.evaluation.measured import Cells
from align.report.run.finding import Finding, percent

_HALF = 0.5
_FEW = 100  # items; a share of one half is then known to within 10 points
_WIDE = 0.05  # half an interval around a difference
_LETTER_GAP = 0.15  # total variation between the letters answered and those of the gold


def find_evaluation_problems(
    warnings: Sequence[Warned], questions: int, values: Cells, differences: Cells
) -> list[Finding]:
    """Lists what weakens an evaluation of policies: its own warnings first, then what its numbers say."""
    written = [written_warning(warning) for warning in warnings]
    found = [*few_items(questions, "questions"), *_wide(differences, questions)]
    for name, cells in values.items():
        numbers = {metric: cell.value for metric, cell in cells.items() if cell is not None}
        found += _of_model(name, numbers)
    return [*written, *found]


def written_warning(warning: Warned) -> Finding:
    """Arranges a warning of the evaluation."""
    title, _, rest = warning.text.rstrip(".").partition(". ")
    return Finding(f"{warning.model}: {title}", f"{rest}." if rest else "")


def few_items(count: int, noun: str) -> Iterator[Finding]:
    """Says if there are too few items to tell much."""
    if 0 < count < _FEW:
        yield Finding(
            f"Only {count} {noun if count > 1 else noun.removesuffix('s')} {'were' if count > 1 else 'was'} evaluated",
            "Intervals are wide, and a difference below 10 to 20 points cannot be told. Ask at least a few hundred.",
        )


def _wide(differences: Cells, questions: int) -> Iterator[Finding]:
    for pair, cells in differences.items():
        cell = cells.get("accuracy")
        if cell is None or cell.low > 0 or cell.high < 0:
            continue
        half = (cell.high - cell.low) / 2
        if half > _WIDE:
            needed = questions * (half / _WIDE) ** 2
            step = 10 if needed < 1000 else 100
            count = math.ceil(needed / step) * step
            ends = f"{100 * cell.low:+.0f} to {100 * cell.high:+.0f} points"
            yield Finding(
                f"{pair}: the interval is too wide to say anything ({ends})",
                f"It holds no difference as well as large ones. About {count:,} questions would narrow it to "
                f"{100 * _WIDE:.0f} points on each side.",
            )


def _of_model(name: str, numbers: Mapping[str, float]) -> Iterator[Finding]:
    leak = numbers.get("letter_or_answer_in_trace", 0.0)
    if leak > _HALF:
        yield Finding(
            f"{name}: {percent(leak)} of traces give the answer away",
            "They name its letter or quote it. A second answer from such a trace reads it off, so consistency says "
            "little about reasoning; read the answers from masked and corrupted traces.",
        )
    gap = numbers.get("letter_bias", 0.0)
    if gap > _LETTER_GAP:
        yield Finding(
            f"{name}: {percent(gap)} of answers would have to move for their letters to match the gold's",
            "The policy prefers a place among the options. Read the accuracy in every rotation, not the plain one.",
        )
