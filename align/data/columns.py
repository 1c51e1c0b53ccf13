"""Which columns of a file are meant: taken by another name, or guessed at where one is missing."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from align.data.csv_rows import parse_cell
from align.data.problems import BadRow, RawRow, Row, RowProblem, printable
from align.errors import DataError, MissingColumnsError

Columns = Mapping[str, str | list[str]]
MISSING = "the column is missing"
NEEDED = "the adapter `{}` needs this column"
SHOWN_NAMES = 30
ALIKE = 0.75  # as difflib counts it
ASKED = ("query", "problem", "questionstem", "stem", "instruction", "input", "prompt", "question")
ANSWERED = ("label", "answerkey", "correctanswer", "correctoption", "answerindex", "answeridx", "gold",
            "groundtruth", "target", "correct", "solution", "output", "answer")  # fmt: skip
PREFERRED = ("preferred", "accepted", "winner", "better", "best", "good", "win", "positive", "chosenresponse",
             "responsechosen")  # fmt: skip
DISPREFERRED = ("dispreferred", "loser", "worse", "worst", "bad", "lose", "negative", "rejectedresponse",
                "responserejected")  # fmt: skip
OTHER_NAMES = {
    "question": ASKED,
    "prompt": (*ASKED, "context"),
    "options": ("choices", "candidates", "alternatives", "answers", "endings"),
    "answer": ANSWERED,
    "reference": ANSWERED,
    "chosen": PREFERRED,
    "rejected": DISPREFERRED,
    "responses": ("completions", "candidates", "generations", "outputs", "answers"),
}
ONE_OF_SEVERAL = re.compile(r"(|opt|option|choice|answer|ending|alternative)[\W_]?([A-Z]|[0-9])", re.IGNORECASE)
PLAIN = re.compile(r"[^\W\d][\w.-]*(?: [\w.-]+)*")  # what YAML reads as a text without quotes
READ_OTHERWISE = ("true", "false", "null", "yes", "no", "on", "off")


def rename(row: Row, columns: Columns, *, untyped: bool = False) -> dict[str, Any]:
    """Gives a row our names; where `untyped` is set, every value is a text, as in CSV.

    Example:
        >>> rename({"Q": "Which rusts?", "A": "iron", "B": "gold"}, {"question": "Q", "options": ["A", "B"]})
        {'question': 'Which rusts?', 'options': ['iron', 'gold']}
    """
    taken = _taken(columns)
    renamed = {name: value for name, value in row.items() if name not in taken}
    for ours, theirs in columns.items():
        first = theirs if isinstance(theirs, str) else theirs[0]
        if first not in row:
            raise BadRow(first, None, MISSING, f"`columns` takes `{ours}` from it.")
        if isinstance(theirs, str):
            renamed[ours] = parse_cell(ours, row[theirs]) if untyped else row[theirs]
        else:
            values = [row.get(name) for name in theirs]
            renamed[ours] = values[: max((i + 1 for i, value in enumerate(values) if value is not None), default=0)]
    return renamed


def our_names(names: Iterable[str], columns: Columns) -> list[str]:
    """Lists the columns that rows with these have once they are renamed.

    Example:
        >>> our_names(["id", "prompt", "A", "B"], {"question": "prompt", "options": ["A", "B"]})
        ['id', 'question', 'options']
    """
    taken = _taken(columns)
    return [name for name in names if name not in taken] + list(columns)


def columns_meant(columns: Columns, names: Iterable[str]) -> Columns:
    """Returns what is to be renamed in rows that a recipe may not be about: nothing if they have our names already.

    Example:
        >>> columns_meant({"question": "Q"}, ["question", "id"]), columns_meant({"question": "Q"}, ["Q", "id"])
        ({}, {'question': 'Q'})
    """
    found, taken = set(names), _taken(columns)
    is_ours = set(columns) <= found or not taken & found
    return {} if is_ours and not taken <= found else columns


def guess_columns(
    missing: Iterable[str], names: Sequence[str], needs: Sequence[str] = ()
) -> dict[str, str | list[str]]:
    """Guesses which of the names stand for missing columns; those that are needed themselves do not.

    Example:
        >>> guess_columns(["question", "options", "answer"], ["Question", "A", "B", "C", "label"])
        {'question': 'Question', 'options': ['A', 'B', 'C'], 'answer': 'label'}
    """
    free = {re.sub(r"[\W_]", "", name).lower(): name for name in reversed(names) if name not in needs}
    guessed: dict[str, str | list[str]] = {}
    for column in missing:
        if column == "options" and (several := _find_several(names) or _alike(column, free)):
            guessed[column] = several
        elif name := _guess(column, free):
            guessed[column] = free.pop(name)
    return guessed


def questions_in_columns(names: Sequence[str]) -> str:
    """Words how rows with a column for each option are named as questions; empty if they are something else.

    Example:
        >>> questions_in_columns(["prompt", "A", "B", "C", "target"])
        'columns: {question: prompt, options: [A, B, C], answer: target}'
    """
    wanted = [name for name in ("question", "options", "answer") if name not in names]
    guessed = guess_columns(wanted, names)
    if not isinstance(guessed.get("options"), list) or set(guessed) != set(wanted):
        return ""
    return f"columns: {word_mapping(guessed)}"


class NeverThere:
    """Finds columns of a list that are in no row and look misspelt; a row, and a file, may have fewer of them."""

    def __init__(self, file: str, columns: Columns | None) -> None:
        self._file, self._columns = file, columns or {}
        self._left = {name for names in self._columns.values() if isinstance(names, list) for name in names[1:]}
        self._names: dict[str, None] = {}

    def look(self, row: Row) -> None:
        """Looks at the names of a row."""
        if self._left:
            self._left -= row.keys()
            self._names |= dict.fromkeys(row)

    def join(self, other: "NeverThere") -> None:
        """Takes up what another one saw of the same file."""
        self._left &= other._left
        self._names |= other._names

    def check(self) -> None:
        """Refuses columns that were in no row, where one that is not named looks like them."""
        free = [name for name in self._names if name not in _taken(self._columns) and name not in self._columns]
        for ours, theirs in self._columns.items():
            absent = next((name for name in theirs if name in self._left), None) if isinstance(theirs, list) else None
            meant = absent and (_find_several(free, 1) or get_close_matches(absent, free, n=1, cutoff=ALIKE))
            if absent and meant:
                has = ", ".join(f"`{printable(name)}`" for name in list(self._names)[:SHOWN_NAMES])
                raise DataError(
                    f"{self._file} has no column `{printable(absent)}` in any row, and `columns` takes "
                    f"`{ours}: {_show(theirs)}` from it. It has: {has}. Did you mean `{printable(meant[0])}`?"
                )


class Lacking:
    """The rows of a file that lack a column."""

    def __init__(self, file: str, needs: Sequence[str]) -> None:
        self._file, self._needs = file, needs
        self._names: dict[str, None] = {}
        self._columns: dict[str, None] = {}
        self.count = 0
        self.example: RawRow | None = None

    def add(self, problem: RowProblem, raw: RawRow) -> None:
        """Notes a row that has no such column."""
        self.count += 1
        self._columns[problem.column] = None
        self._names |= dict.fromkeys(raw.content)  # type: ignore[arg-type]
        self.example = self.example or raw

    def join(self, other: "Lacking") -> None:
        """Takes up what another one noted of rows behind these."""
        self.count += other.count
        self._columns |= other._columns
        self._names |= other._names
        self.example = self.example or other.example

    def error(
        self, num_read: int, adapter: str | None, columns: Columns | None, fits: Sequence[str]
    ) -> MissingColumnsError:
        """Words what is missing, what there is, and what is probably meant; an empty name in `fits` is no adapter."""
        names, missing = list(self._names), list(self._columns)
        if adapter is None:
            needs = [name for name in self._needs if name in missing or name not in {*names, *(columns or ())}]
            missing = [*needs, *(name for name in missing if name not in needs)]
        rows = f" in {self.count} of its {num_read} rows" if self.count < num_read else ""
        need = "" if adapter is None else f", which the adapter `{adapter}` needs"
        shown = ", ".join(f"`{printable(name)}`" for name in names[:SHOWN_NAMES]) or "none"
        more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
        absent = " or ".join(f"`{printable(name)}`" for name in missing)
        guessed = guess_columns(missing, names, self._needs)
        remedy = _word_entry(guessed, missing[0], columns or {}, names) if adapter is None else ""
        remedy = remedy or _word_remedy(guessed, missing, adapter, columns, fits)
        text = f"{self._file} has no column {absent}{rows}{need}. It has: {shown}{more}. {remedy}"
        return MissingColumnsError(text, missing, names)


def _word_entry(guessed: Columns, missing: str, columns: Columns, names: Sequence[str]) -> str:
    """Words what to do with an entry of `columns` that names a column which is not there; empty if it is guessed."""
    ours = next(
        (ours for ours, named in columns.items() if missing in ([named] if isinstance(named, str) else named)), None
    )
    if ours is None or missing in guessed:
        return ""
    taken = f"`columns` takes `{ours}` from it"
    if ours in names:
        return (
            f"{taken}, and these rows have `{ours}` itself: remove the entry, or name the columns alike in every file."
        )
    return f"{taken}: name a column that is there."


def _word_remedy(
    guessed: Columns, missing: Sequence[str], adapter: str | None, columns: Columns | None, fits: Sequence[str]
) -> str:
    if fits:
        return f"Such rows are read with `adapter: {fits[0]}`." if fits[0] else "Such rows are read without `adapter`."
    means = "; ".join(f"{_show(theirs)} for `{ours}`" for ours, theirs in guessed.items())
    did_you_mean = f"Did you mean {means}? " if means else ""
    if adapter is not None:
        return f"{did_you_mean}Check `adapter`."
    if columns is None:
        return f"{did_you_mean}Rename the columns."
    mended = {ours: guessed.get(str(theirs), theirs) for ours, theirs in columns.items()}
    mended |= {ours: theirs for ours, theirs in guessed.items() if ours not in columns.values()}
    mended |= {ours: "NAME" for ours in missing if ours not in mended and ours not in columns.values()}
    return (
        f"{did_you_mean}Say so with `columns: {word_mapping(mended)}` under `dataset` of the recipe, with `--columns` "
        "where there is none, or rename them."
    )


def _taken(columns: Columns) -> set[str]:
    return {name for names in columns.values() for name in ([names] if isinstance(names, str) else names)}


def _show(names: str | list[str]) -> str:
    return f"`{printable(names)}`" if isinstance(names, str) else f"[{', '.join(map(printable, names))}]"


def _find_several(names: Sequence[str], least: int = 2) -> list[str]:
    """Finds columns that hold one option each, such as A, B, C or choice1, choice2."""
    found: dict[str, list[str]] = {}
    for name in names:
        if match := ONE_OF_SEVERAL.fullmatch(name):
            found.setdefault(match[1].lower(), []).append(name)
    return max(found.values(), key=len) if found and max(map(len, found.values())) >= least else []


def _alike(column: str, free: Mapping[str, str]) -> list[str]:
    """Finds columns that are all near a name and not it, such as Option One, Option Two for options."""
    near = get_close_matches(column, free, n=len(free) + 1, cutoff=ALIKE)
    if column in near or len(near) < 2:
        return []
    return [name for plain, name in reversed([*free.items()]) if plain in near]


def _guess(column: str, free: Mapping[str, str]) -> str | None:
    known = (column, *OTHER_NAMES.get(column, ()))
    same = next((name for name in known if name in free), None)
    return same or next(iter(get_close_matches(column, free, n=1, cutoff=ALIKE)), None)


def word_mapping(columns: Mapping[str, str | list[str]]) -> str:
    """Writes an entry of `columns` as a recipe reads it, with names in quotes that YAML would read otherwise.

    Example:
        >>> print(word_mapping({"question": "The question", "options": ["A", " B"], "answer": "1"}))
        {question: The question, options: [A, " B"], answer: "1"}
    """
    return f"{{{', '.join(f'{_word_names(ours)}: {_word_names(theirs)}' for ours, theirs in columns.items())}}}"


def _word_names(names: str | list[str]) -> str:
    if not isinstance(names, str):
        return f"[{', '.join(map(_word_names, names))}]"
    if PLAIN.fullmatch(names) and names.lower() not in READ_OTHERWISE:
        return names
    return json.dumps(names, ensure_ascii=not names.isprintable())
