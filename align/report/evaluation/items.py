"""Items of an evaluation as its page shows them: the question, and what each model did with it."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from align.evaluation.record.answers import PairedAnswers
from align.report.evaluation.folder import read_items
from align.report.evaluation.view import Item, Listing, Option, Side
from align.report.run.completions import shorten
from align.report.thumbnails import Thumbnails

_MOST_ITEMS, _MOST_EACH, _MOST_SIDES = 40, 12, 4
_MOST_NAMES = 500  # of items won or lost, in a list
_PICKING = ("id", "model", "sample", "correct", "consistent")
_OTHER_TRACES = {
    "none_choice": "without a trace",
    "other_choice": "from another item's trace",
    "masked_choice": "with the answer masked",
    "corrupted_100_choice": "from a corrupted trace",
    "corrupted_numbers_choice": "with other numbers",
    "corrupted_steps_choice": "with others' steps",
    "corrupted_order_choice": "with steps in another order",
}
_OTHER_IMAGES = {
    "no_images": "without images",
    "other_images": "with another item's images",
    "blank_images": "with blank images",
    "shuffled_frames": "with shuffled frames",
}
Row = Mapping[str, Any]


def count(number: int, noun: str) -> str:
    """Counts things.

    Example:
        >>> count(1, "item"), count(1200, "item")
        ('1 item', '1,200 items')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def note_items(
    picked: int,
    noun: str,
    paired: Sequence[PairedAnswers],
    others: str,
    rest: str = "",
    *,
    differ: str = "won and lost",
) -> str:
    """Says which items stand side by side; nothing if none do."""
    won = f"those {differ} against a baseline, then " if paired else ""
    return f"{count(picked, noun)}: {won}{others}.{rest}" if picked else ""


def list_changes(paired: Sequence[PairedAnswers]) -> list[Listing]:
    """Lists the items that a model won and lost against a baseline."""
    listings = []
    for pair in paired:
        measure = pair.metric.partition("/")[2]
        words = [(f"is {word} where", f"is {other}") for word, other in (("right", "wrong"), ("wrong", "right"))]
        if not pair.says_right:  # shares of several samples
            words = [(f"is right {word} often than", "is") for word in ("more", "less")]
        if measure:  # a reward, and no answer that is right or wrong
            words = [(f"has {word} {measure} than", "has") for word in ("more", "less")]
        for names, (ours, theirs) in zip((pair.wins, pair.losses), words, strict=True):
            title = f"{pair.model} {ours} {pair.baseline} {theirs}: {count(len(names), 'item')}"
            listings.append(Listing(title, names[:_MOST_NAMES], max(0, len(names) - _MOST_NAMES)))
    return listings


def pick_items(path: Path, models: Sequence[str], paired: Sequence[PairedAnswers]) -> list[Item]:
    """Picks a bounded number of items, and reads the text and the images of these only.

    The order: won, lost, answers that change with the order of the options, wrong, right; each spread evenly.

    Args:
        path: `items.parquet`.
        models: Names of the models, the one asked about first.
        paired: What the models won and lost.
    """
    rows = [row for row in read_items(path, _PICKING, needs=("correct",)) if not row.get("sample")]
    why: dict[str, str] = {}
    for reason, ids in _reasons([row for row in rows if row["model"] == models[0]], models[0], paired):
        fresh = [name for name in ids if name not in why]
        step = max(1, -(-len(fresh) // _MOST_EACH))
        why |= dict.fromkeys(fresh[::step][: min(_MOST_EACH, _MOST_ITEMS - len(why))], reason)
    if not why:
        return []
    full: dict[str, dict[str, Row]] = {}
    for row in read_items(path, ids=list(why)):
        if not row.get("sample"):
            full.setdefault(str(row["id"]), {})[str(row["model"])] = row
    thumbnails = Thumbnails(path.parent)
    return [_item(full[name], reason, models, thumbnails) for name, reason in why.items() if name in full]


def _reasons(rows: Sequence[Row], model: str, paired: Sequence[PairedAnswers]) -> Iterator[tuple[str, list[str]]]:
    for pair in [pair for pair in paired if pair.model == model][:1]:
        yield "won", pair.wins
        yield "lost", pair.losses
    changes = [row for row in rows if row.get("consistent") is not None and row["consistent"] < 1]
    yield "answer changes", [str(row["id"]) for row in changes]
    yield "wrong", [str(row["id"]) for row in rows if not row["correct"]]
    yield "right", [str(row["id"]) for row in rows if row["correct"]]


def _item(by_model: Mapping[str, Row], why: str, models: Sequence[str], thumbnails: Thumbnails) -> Item:
    answered = [name for name in models if name in by_model][:_MOST_SIDES]
    row = by_model[answered[0]]
    options = [Option(_letter(place), _cut(text), place == row["gold"]) for place, text in enumerate(row["options"])]
    tags = [str(row["group"])] if row.get("group") else []
    sides = [_side(name, by_model[name]) for name in answered]
    images = thumbnails.strip(row.get("images"))
    return Item(why, str(row["id"]), tags, _cut(row["question"]), options, sides, images)


def _side(model: str, row: Row) -> Side:
    first, seconds = row.get("first_choice"), row.get("second_choices")
    facts = {"first answer": _letter(first)}
    for order, choice in zip(row.get("permutations") or [], seconds or [], strict=False):
        kept = "no answer" if choice is None else "the same" if choice == first else _letter(choice)
        facts[f"shown as {' '.join(map(_letter, order))}"] = kept
    if seconds is None and row.get("permutations"):
        facts["after shuffles"] = "not asked: no trace or no answer"
    if row.get("trace_choice") is not None:
        facts["trace states"] = _letter(row["trace_choice"])
    facts |= {label: _letter(row[key]) for key, label in _OTHER_TRACES.items() if row.get(key) is not None}
    asked_with = row.get("asked_with") or ()
    facts |= {label: _letter(row.get(f"{key}_choice")) for key, label in _OTHER_IMAGES.items() if key in asked_with}
    if row.get("rotation_choices") is not None:
        facts["right in rotations"] = (
            f"{sum(c == row['gold'] for c in row['rotation_choices'])} of {len(row['rotation_choices'])}"
        )
    if row.get("proxy") is not None:
        facts["verifier"] = f"{row['proxy']:.2f}" + (
            "" if row.get("accepted") is None else ", accepted" if row["accepted"] else ", refused"
        )
    is_split = any(choice != first for choice in seconds or [])
    return Side(model, bool(row["correct"]), facts, _cut(row.get("trace")), _cut(row.get("completion")), is_split)


def _letter(choice: float | None) -> str:
    """Writes a choice; a column with missing answers may hold its integers as floats."""
    return "none" if choice is None or choice != choice else chr(ord("A") + int(choice))


def _cut(text: str | None) -> str:
    return shorten(text, "items.parquet")
