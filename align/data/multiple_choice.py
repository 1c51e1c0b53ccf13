"""Multiple-choice questions, loaded and checked row by row."""

from collections import Counter
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from align.data.adapters import ADAPTERS, AdapterError
from align.data.files import RawRow, find_split, read_rows
from align.data.problems import DataReport, RowProblem, bad_rows_error, shorten
from align.data.rules import BadRow, Checked, check_row
from align.errors import DataError
from rewards.options import LETTERS, can_shuffle

__all__ = ["DataError", "DataReport", "Question", "RowProblem", "load_questions"]


@dataclass(frozen=True)
class Question:
    """One question that passed every check.

    Attributes:
        id: Its name, unique in the data set.
        question: The text.
        options: Texts of the options, K of them.
        answer: Index of the right option.
        group: What the question belongs to, such as a subject.
        images: Paths or images, the frames of a video included.
        row: Where it stood: line of a JSONL or CSV file, else number of the record.
    """

    id: str
    question: str
    options: tuple[str, ...]
    answer: int
    group: str | None
    images: tuple[Any, ...]
    row: int


def load_questions(
    path: str | Path,
    *,
    adapter: str | None = None,
    split: str | None = None,
    on_bad_rows: Literal["raise", "skip"] = "raise",
    max_rows: int | None = None,
) -> tuple[list[Question], DataReport]:
    """Loads questions and checks every row.

    A row needs `question`, `options` (2 to 26 different texts) and `answer`: an index from 0, a letter, or the text of
    an option. An answer that is one option's letter and another option's text is reported, not guessed. `id` (default:
    file name and row), `group`, and `image` or `images` may be there; other columns are not read.

    Args:
        path: A .jsonl, .json, .csv or .parquet file, a folder, or a hub id (`owner/name` or `owner/name:subset`).
        adapter: Public schema the rows are in, a name in `ADAPTERS`.
        split: Split of a folder or hub data set.
        on_bad_rows: `raise` stops at rows that cannot be used, `skip` leaves them out and reports them.
        max_rows: Read only this many rows.

    Raises:
        DataError: If the file is missing or empty, no row can be used, or with `raise` a row cannot be used.
    """
    if adapter is not None and adapter not in ADAPTERS:
        raise DataError(f"Unknown adapter {adapter!r}. Known adapters: {', '.join(ADAPTERS)}.")
    file, split = find_split(str(path), split)
    folder = Path(file) if Path(file).is_dir() else Path(file).parent
    report = DataReport(file)
    questions: dict[str, Question] = {}
    for raw in islice(read_rows(file, split), max_rows):
        report.num_read += 1
        result = _read_question(raw, file, folder, adapter)
        if isinstance(result, Question) and result.id in questions:
            remedy = f"Row {questions[result.id].row} has it: rename one."
            result = RowProblem(file, raw.row, "id", shorten(result.id), "the id is taken", remedy)
        if isinstance(result, Question):
            questions[result.id] = result
        else:
            report.problems.append(result)
    _refuse_unusable(report, len(questions), on_bad_rows)
    kept = list(questions.values())
    report.num_kept = len(kept)
    report.num_unshufflable = sum(not can_shuffle(question.options) for question in kept)
    report.gold_letters = dict(sorted(Counter(LETTERS[question.answer] for question in kept).items()))
    return kept, report


def _read_question(raw: RawRow, file: str, folder: Path, adapter: str | None) -> Question | RowProblem:
    if isinstance(raw.content, RowProblem):
        return raw.content
    try:
        content = raw.content if adapter is None else ADAPTERS[adapter](raw.content)
        checked = check_row(content, untyped=raw.untyped, folder=folder)
    except BadRow as bad:
        return RowProblem(file, raw.row, bad.column, bad.value, bad.rule, bad.remedy)
    except AdapterError as error:
        value = shorten(raw.content.get(error.column))
        return RowProblem(file, raw.row, error.column, value, error.rule, error.remedy)
    except KeyError as error:
        column, columns = str(error.args[0]), ", ".join(map(str, raw.content))
        remedy = f"The row has: {columns}. Check `adapter`."
        return RowProblem(file, raw.row, column, "", f"the adapter `{adapter}` needs this column", remedy)
    return _name(checked, raw.row, file)


def _name(checked: Checked, row: int, file: str) -> Question:
    name = checked.id or f"{Path(file).stem}-{row}"
    return Question(name, checked.question, checked.options, checked.answer, checked.group, checked.images, row)


def _refuse_unusable(report: DataReport, num_kept: int, on_bad_rows: str) -> None:
    if report.num_read == 0:
        raise DataError(f"{report.file} holds no rows. Give a data set with at least one question.")
    if report.problems and (on_bad_rows == "raise" or num_kept == 0):
        raise bad_rows_error(report.file, report.problems, report.num_read)
