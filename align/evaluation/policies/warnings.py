"""What a reader of an evaluation has to know before the numbers."""

from collections import Counter
from collections.abc import Iterator

from align.evaluation.policies.modality import CHANGES
from align.evaluation.policies.suite import MODALITY, PolicyResult
from align.evaluation.statistics.metrics import Estimate, wilson

_FEW = 30  # questions in a group
_MANY_UNANSWERED, _FEW_STATED, _MANY_LETTERS = 0.05, 0.5, 0.1


def warn(result: PolicyResult, num_samples: int) -> list[str]:
    """Lists one sentence, with its number, for each thing that limits what the results say."""
    items = result.items
    n = len(items)
    unanswered = sum(item.first_choice is None for item in items)
    questions = items[::num_samples]
    unmovable = sum(item.second_choices == [] for item in questions) if "consistency" in result.suites else 0
    traced = [item for item in items if item.trace]
    stated = sum(item.trace_choice is not None for item in items)
    letters = sum(bool(each) for each in result.columns.get("letter_in_trace", []))
    small = [
        name
        for name, count in Counter(item.group for item in questions if item.group is not None).items()
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
        found.append(
            f"{unmovable:,} of {len(questions):,} questions refer to letters or places and were not shuffled."
        )
    if small and "accuracy" in result.suites:
        found.append(f"Groups with fewer than {_FEW} questions: {', '.join(sorted(small))}.")
    return [*found, *_of_images(result)]


def _of_images(result: PolicyResult) -> Iterator[str]:
    """Says which changes to the images cost no accuracy, as far as can be told, and which raise it."""
    if MODALITY not in result.suites:
        return
    means = result.suites[MODALITY].means
    estimates = {name: means[f"modality_reliance/{name}"].estimate() for name in CHANGES}
    drops = {name: drop for name, drop in estimates.items() if drop.n > 0}
    words = {name: _fall(name, drop, means[f"same_answer_with/{name}"].estimate()) for name, drop in drops.items()}
    free = [name for name, drop in drops.items() if drop.low <= 0 <= drop.high]
    exchanged = [name for name in free if name != "shuffled_frames"]
    if exchanged:
        yield (
            "No fall in accuracy can be told when images are taken away or exchanged. It is "
            f"{', '.join(words[name] for name in exchanged)}: the text alone may give the answers away, or there are "
            "too few questions to tell."
        )
    if "shuffled_frames" in free:
        yield (
            "No fall in accuracy can be told when frames are shuffled. It is "
            f"{words['shuffled_frames']}: the policy may not use their order, or the questions do not need it."
        )
    if better := [words[name] for name, drop in drops.items() if drop.high < 0]:
        yield f"Accuracy is higher with changed images than with the own ones. The fall is {', '.join(better)}."


def _fall(change: str, drop: Estimate, same: Estimate) -> str:
    value, low, high = (round(100 * number) for number in drop[:3])
    return f"{value} points {CHANGES[change]} ({low} to {high}; {same.value:.0%} of the answers stay)"
