import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from align.report.thumbnails import Filmstrip, Thumbnails

_LONGEST_TEXT = 3000  # characters of a field; 40 samples of three fields stay well under a megabyte
_KNOWN = ("step", "prompt", "completion", "advantage")
_ANSWERS = {
    "first_answer": "first answer",
    "second_answers": "after the shuffle",
    "permutation": "shuffled order",
    "family": "prompt changed by",
    "second_texts": "behind the changed prompt",
    "second_gold": "right there",
    "outcome": "correct",
}


class Sample(NamedTuple):
    """One completion as the report shows it."""

    why: str
    step: int
    answers: dict[str, str]
    rewards: dict[str, str]
    prompt: str
    trace: str
    completion: str
    disagrees: bool
    images: Filmstrip = Filmstrip()


def pick_samples(
    rows: Sequence[Mapping[str, Any]], limit: int = 40, thumbnails: Thumbnails | None = None
) -> list[Sample]:
    """Picks a bounded sample of completions: the first, those that disagree and were rewarded most, and the last.

    Disagreeing rows (a second answer is not the first) are taken by descending advantage: what the update pushed
    towards although trace and answer do not belong together. A run without outcomes shows its lowest rewards instead.

    Args:
        rows: Rows of the completions tables, in step order.
        limit: Completions to pick at most.
        thumbnails: Reads the images of the rows; without it none are shown.
    """
    ends = max(1, limit // 4)
    by_place = dict.fromkeys(range(min(ends, len(rows))), "first")
    by_place |= {index: "last" for index in range(max(0, len(rows) - ends), len(rows)) if index not in by_place}
    for index, why in _worst(rows):
        if len(by_place) >= limit:
            break
        by_place.setdefault(index, why)
    reasons = ("disagreeing", "lowest reward", "last", "first")
    order = sorted(by_place, key=lambda index: reasons.index(by_place[index]))  # stable: the worst stay in their order
    samples = [(rows[index], _sample(rows[index], by_place[index])) for index in order[:limit]]
    if thumbnails is None:
        return [sample for _, sample in samples]
    return [sample._replace(images=thumbnails.strip(row.get("images"))) for row, sample in samples]


def _worst(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, str]]:
    if any(row.get("outcome") is not None for row in rows):
        split = [i for i, row in enumerate(rows) if _disagrees(row)]
        yield from ((i, "disagreeing") for i in sorted(split, key=lambda i: -_number(rows[i].get("advantage"))))
    else:
        totals = {i: sum(map(_number, _rewards(row).values())) for i, row in enumerate(rows)}
        yield from ((i, "lowest reward") for i in sorted(totals, key=lambda i: totals[i]))


def _sample(row: Mapping[str, Any], why: str) -> Sample:
    answers = {label: _short(row[key]) for key, label in _ANSWERS.items() if key in row}
    if "correct" in answers:
        answers["correct"] = answers["correct"].replace("_", " ")
    numbers = _rewards(row) | ({"advantage": row["advantage"]} if "advantage" in row else {})
    return Sample(
        why=why,
        step=int(row.get("step", 0)),
        answers=answers,
        rewards={name: _short(value) for name, value in numbers.items()},
        prompt=_text(row.get("prompt")),
        trace=_text(row.get("trace")),
        completion=_text(row.get("completion")),
        disagrees=_disagrees(row),
    )


def _disagrees(row: Mapping[str, Any]) -> bool:
    """Tells whether a second answer is another letter than the first, or one of them is right and one is not."""
    if {"first_only", "second_only"} & set((row.get("outcome") or "").split()):
        return True
    return any(second != row.get("first_answer") for second in (row.get("second_answers") or "").split())


def completion_words(row: Mapping[str, Any]) -> str:
    """Returns the text of a completion that is a string or a list of messages."""
    value = row.get("completion")
    if isinstance(value, str) or value is None:
        return value or ""
    return "\n\n".join(_message(part) for part in value)


def reward_columns(row: Mapping[str, Any]) -> dict[str, float]:
    """Returns what each reward function gave; nothing counts as 0."""
    return {name: _number(value) for name, value in _rewards(row).items()}


def _rewards(row: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the columns of reward functions: the numbers that are not TRL's or ACRE's own columns."""
    own = {*_KNOWN, *_ANSWERS, "trace"}
    return {
        key: value
        for key, value in row.items()
        if key not in own and (value is None or isinstance(value, int | float))
    }


def _short(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, float):
        return "none" if math.isnan(value) else f"{value:.2f}"
    if isinstance(value, list | tuple):
        return " ".join(map(_short, value))
    return str(value)


def _text(value: Any) -> str:
    """Flattens a string or a list of messages, shortened."""
    if value is None or isinstance(value, str):
        return shorten(value)
    return shorten("\n\n".join(_message(part) for part in value))


def shorten(text: str | None, where: str = "the completions table") -> str:
    """Cuts a long text, and says how much of it is left out and where to find it."""
    if text is None or len(text) <= _LONGEST_TEXT:
        return text or ""
    return f"{text[:_LONGEST_TEXT]}\n[{len(text) - _LONGEST_TEXT:,} more characters in {where}]"


def _message(message: Any) -> str:
    if not isinstance(message, Mapping):
        return str(message)
    content = message.get("content")
    if not isinstance(content, str):
        content = " ".join(_parts(content or []))
    return f"{message.get('role', '')}: {content}"


def _parts(parts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Returns texts, and names what is no text: the 16 frames of a video at once."""
    for (text, kind), group in groupby((part.get("text"), part.get("type")) for part in parts):
        count = len(list(group))
        yield from [str(text)] * count if text else [f"[{count} {kind}s]" if count > 1 else f"[{kind}]"]


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not math.isnan(value) else 0.0
