"""What a reader of an evaluation has to know before the numbers."""

from collections import Counter

from align.evaluation.metrics import wilson
from align.evaluation.policy_suite import PolicyResult

_FEW = 30  # questions in a group
_MANY_UNANSWERED, _FEW_STATED, _MANY_LETTERS = 0.05, 0.5, 0.1


def warn(result: PolicyResult, num_samples: int) -> list[str]:
    """Lists one sentence, with its number, for each thing that limits what the results say."""
    items = result.items
    n = len(items)
    unanswered = sum(item.first_choice is None for item in items)
    unmovable = sum(item.second_choices == [] for item in items) if "consistency" in result.suites else 0
    traced = [item for item in items if item.trace]
    stated = sum(item.trace_choice is not None for item in items)
    letters = sum(bool(each) for each in result.columns.get("letter_in_trace", []))
    small = [
        name
        for name, count in Counter(item.group for item in items[::num_samples] if item.group is not None).items()
        if count < _FEW
    ]
    found = []
    if unanswered > _MANY_UNANSWERED * n:
        found.append(
            f"{unanswered:,} of {n:,} responses ({unanswered / n:.0%}) have no valid answer and count as wrong: cut "
            "off before it, or in another form than the profile's tags."
        )
    if "consistency" in result.suites and stated < _FEW_STATED * n:
        found.append(
            f"Only {stated:,} of {n:,} traces state one option, so trace-answer consistency, CR-WA and WR-CA speak of "
            f"{stated / n:.0%} of the responses."
        )
    if traced and letters > _MANY_LETTERS * len(traced):
        share = wilson(letters, len(traced))
        found.append(
            f"{letters:,} of {len(traced):,} traces ({share.value:.0%}) name an option's letter. After a shuffle the "
            "letter is another option, so consistency measures that too."
        )
    if unmovable:
        found.append(f"{unmovable:,} questions refer to letters or places and were not shuffled.")
    if small and "accuracy" in result.suites:
        found.append(f"Groups with fewer than {_FEW} questions: {', '.join(sorted(small))}.")
    return found
