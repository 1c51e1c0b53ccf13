"""Items of an evaluation as its page shows them: which ones, and what each model did with them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from align.errors import RunFolderError
from align.evaluation.record.record import PairedAnswers
from align.report.evaluation.view import Item, Listing
from align.report.run.completions import shorten
from align.report.thumbnails import Thumbnails

_MOST_ITEMS, _MOST_EACH, _MOST_SIDES = 40, 12, 4
_MOST_NAMES = 500  # of items won or lost, in a list
Row = Mapping[str, Any]


def count(number: int, noun: str) -> str:
    """Counts things.

    Example:
        >>> count(1, "item"), count(1200, "item")
        ('1 item', '1,200 items')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def note_items(
    picked: Sequence[Item],
    noun: str,
    paired: Sequence[PairedAnswers],
    others: str,
    rest: str = "",
    *,
    differ: str = "won and lost",
) -> str:
    """Says which items stand side by side; nothing if none do."""
    won = f"those {differ} against a baseline, then " if paired else ""
    return f"{count(len(picked), noun)}: {won}{others}.{rest}" if picked else ""


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
            listings.append(list_names(title, names))
    return listings


def list_names(title: str, names: Sequence[str]) -> Listing:
    """Lists a bounded number of names, and counts the rest."""
    return Listing(title, names[:_MOST_NAMES], max(0, len(names) - _MOST_NAMES))


def pick(
    path: Path,
    models: Sequence[str],
    reasons: Iterable[tuple[str, Sequence[str]]],
    show: Callable[[dict[str, list[Row]]], Item],
    *,
    most_each: int = _MOST_EACH,
) -> list[Item]:
    """Picks a bounded number of items, spread evenly over those of a reason, and reads the text of these only."""
    why: dict[str, str] = {}
    for reason, ids in reasons:
        fresh = list(dict.fromkeys(name for name in ids if name not in why))
        step = max(1, -(-len(fresh) // most_each))
        why |= dict.fromkeys(fresh[::step][: min(most_each, _MOST_ITEMS - len(why))], reason)
    if not why:
        return []
    full: dict[str, dict[str, list[Row]]] = {name: {} for name in why}
    for row in read_items(path, ids=list(why)):
        full[str(row["id"])].setdefault(str(row["model"]), []).append(row)
    found, thumbnails = [], Thumbnails(path.parent)
    for name, reason in why.items():
        answered = [model for model in models if model in full[name]][:_MOST_SIDES]
        if answered:
            row, item = full[name][answered[0]][0], show({model: full[name][model] for model in answered})
            tags = [str(row["group"])] if row.get("group") else []
            found.append(item._replace(why=reason, id=name, tags=tags, images=thumbnails.strip(row.get("images"))))
    return found


def pick_outcomes(
    path: Path,
    models: Sequence[str],
    paired: Sequence[PairedAnswers],
    show: Callable[[dict[str, list[Row]]], Item],
    needs: Sequence[str] = (),
) -> list[Item]:
    """Picks items won, lost, with answers that change with the order of the options, wrong, right."""
    rows = read_items(path, ("id", "model", "sample", "correct", "consistent"), needs=needs)
    first = [row for row in rows if row["model"] == models[0] and not row.get("sample")]
    reasons = [("won", paired[0].wins), ("lost", paired[0].losses)] if paired else []
    changes = [row for row in first if row.get("consistent") is not None and row["consistent"] < 1]
    reasons.append(("answer changes", [str(row["id"]) for row in changes]))
    for reason, is_right in (("wrong", False), ("right", True), ("item", None)):
        reasons.append((reason, [str(row["id"]) for row in first if row.get("correct") is is_right]))
    return pick(path, models, reasons, show)


def cut(text: str | None) -> str:
    """Cuts a long text of an item."""
    return shorten(text, "items.parquet")


def read_items(
    path: Path, columns: Sequence[str] | None = None, ids: Sequence[str] | None = None, needs: Sequence[str] = ()
) -> list[Any]:
    """Reads rows of a parquet table that has `id`, `model` and `needs`, all or of some items; none without a file."""
    import pyarrow.parquet as parquet

    if not path.exists():
        return []
    try:
        present = set(parquet.read_schema(path).names)
        lacks = next((name for name in ("id", "model", *needs) if name not in present), None)
        if lacks is not None:
            raise RunFolderError(
                f"{path} has no column {lacks!r}: it is of another evaluation than the numbers beside it. Evaluate "
                "again into a new folder."
            )
        wanted = [name for name in columns if name in present] if columns else None
        chosen = [("id", "in", list(ids))] if ids is not None else None
        rows: list[Any] = parquet.read_table(path, columns=wanted, filters=chosen).to_pylist()
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{path} is not a readable parquet table: {error}") from None
    return rows
