from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Unpack

from align.data.columns import Columns
from align.data.files import RawRow, Row, find_split
from align.data.loading import RowOptions, Schema, adapted, store_rows
from align.data.media.rows import MediaReader, check_placeholders, media_folder
from align.data.problems import DataReport, RowProblem, bad_rows_error, shorten
from align.data.question_checks import COUNTS_FROM_ONE, Question, check_row
from align.data.questions.adapters import ADAPTERS
from align.data.stored_items import map_parts, values_of
from align.data.streaming import RowSource
from align.recipe.dataset import MediaSettings
from rewards.reading.options import can_shuffle

__all__ = ["DataReport", "Question", "QuestionReport", "load_questions"]

NEEDS = ("question", "options", "answer")  # the last one not without labels


@dataclass
class QuestionReport(DataReport):
    """What was read, kept and left out of a data set of questions."""

    num_unshufflable: int = 0  # kept rows whose options have to stay in their order

    @property
    def counts(self) -> dict[str, int]:
        """Everything that was counted, by name, for tables and JSON."""
        return super().counts | {"unshufflable": self.num_unshufflable}


def load_questions(
    path: str | Path,
    *,
    media: MediaSettings | None = None,
    columns: Columns | None = None,
    has_labels: bool = True,
    **reading: Unpack[RowOptions],
) -> tuple[Sequence[Question], QuestionReport]:
    """Loads questions and checks every row.

    A row needs `question`, `options` (2 to 26 different texts) and, unless rows have no labels, `answer`: an index
    from 0, a letter, or the text of an option. An answer that is one option's letter and another option's text is
    reported, not guessed. `id` (default: file name and row), `group`, `contrast_set` (two questions or more of one
    group, all of which have to be right), and one of `image`, `images` and `video` may be there; other columns are not
    read. An image is a path, or `{"bytes": ...}`, which is kept in `frames_dir`; a video is a file, a folder with its
    frames or a list of them. Each of them is opened.
    `adapter` is a name in `ADAPTERS`, or a function (`find_adapter`).

    Many questions are kept in a file that goes with the process; what is returned then reads it, a slice is a list.
    """
    file, reading["split"] = find_split(str(path), reading.get("split"))
    reader = MediaReader(media_folder(file), media)
    source = question_source(file, reader=reader, columns=columns, has_labels=has_labels)
    with reader.progress:
        questions, report = store_rows(file, source.check, source.schema, QuestionReport, **reading)
    from_one = [problem for problem in report.problems if problem.rule == COUNTS_FROM_ONE]
    if from_one and not any(map_parts(lambda part: any(each.answer == 0 for each in part), questions)):
        raise bad_rows_error(file, from_one, report.num_read)  # the others would be read wrongly
    questions = _check_sets(questions, report, reading)
    fixed = map_parts(lambda some: sum(not can_shuffle(each) for (each,) in values_of(some, "options")), questions)
    report.num_unshufflable = sum(fixed)
    return questions, report


def question_source(
    file: str,
    *,
    reader: MediaReader,
    columns: Columns | None = None,
    adapter: str | None = None,
    has_labels: bool = True,
) -> RowSource[Question]:
    """Says how the rows of a file become questions; see `load_questions`."""

    def check(row: Row, raw: RawRow) -> Question:
        question = check_row(row, untyped=raw.untyped, number=raw.row, name=raw.name, has_label=has_labels)
        shown = reader.show(row)
        if not shown.images:
            return question
        check_placeholders("question", question.question)
        for option in question.options:
            check_placeholders("options", option)
        return replace(question, **shown._asdict())

    needs = NEEDS if has_labels else NEEDS[:-1]
    return RowSource(file, None, adapted(Schema(needs, known=ADAPTERS, columns=columns), adapter), check)


def _check_sets(questions: Sequence[Question], report: QuestionReport, reading: RowOptions) -> Sequence[Question]:
    """Raises for sets that contrast nothing, or leaves their questions out; the last of `max_rows` may be cut off."""
    sets: dict[str, list[tuple[int, str | None]]] = {}  # row and group of each question
    for name, row, group in values_of(questions, "contrast_set", "row", "group"):
        if name is not None:
            sets.setdefault(name, []).append((row, group))
    problems = []
    for name, found in sets.items():
        of_first = found[0][1]
        others = [row for row, group in found if group != of_first]
        rule, remedy = "the set has one question only", "Give its other questions the same one, or leave it out."
        if others:
            rule = "the set has questions of several groups"
            remedy = f"Row {others[0]} is not of {of_first or 'no group'}: give each set a name of its own."
        elif len(found) > 1 or reading.get("max_rows") is not None:
            continue
        value = shorten(name)
        problems += [RowProblem(report.file, row, "contrast_set", value, rule, remedy) for row, _ in found]
    if problems and (reading.get("on_bad_rows", "raise") == "raise" or len(problems) == len(questions)):
        raise bad_rows_error(report.file, problems, report.num_read)
    bad = {problem.row for problem in problems}
    report.problems += problems
    report.num_kept -= len(problems)
    return [each for each in questions if each.row not in bad] if bad else questions
