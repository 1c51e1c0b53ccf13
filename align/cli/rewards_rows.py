"""The rows that `align rewards check` tries a single reward on."""

from collections.abc import Mapping, Sequence
from typing import Any

from align.checks.finding import Finding
from align.data.columns import Columns, guess_columns, our_names, questions_in_columns, word_mapping
from align.data.conversations import conversation_text
from align.data.kinds import first_columns
from align.data.problems import BadRow, printable
from align.data.prompt_rows import load_prompts, prompts_to_rows
from align.data.questions.multiple_choice import NEEDS, load_questions
from align.data.questions.rows import questions_to_rows
from align.data.questions.templates import PromptTemplate
from align.data.rules import check_row
from align.errors import DataError
from align.recipe.dataset import DEFAULT_TEMPLATE, RowDatasetConfig
from align.recipe.reading import read_block
from align.recipe.yaml_loader import read_yaml_option

MAX_ROWS = 4096  # read of a data set; 256 of them are used


def read_columns(text: str) -> Columns:
    """Reads `--columns`, as `dataset.columns` of a recipe is read.

    Raises:
        UserError: If it is no block of names.
    """
    content = read_yaml_option("--columns", text, "{prompt: question}")
    return read_block(RowDatasetConfig, "", {"path": "-", "columns": content}).columns


def read_reward_rows(path: str, columns: Columns) -> list[dict[str, Any]]:
    """Reads multiple-choice questions if the first row is one, else prompts with the columns beside them.

    Args:
        path: A file, a folder, a hub id or a task.
        columns: Our names of columns that have another name there, with that name.

    Raises:
        DataError: If the data cannot be read, or a row cannot be used.
    """
    names = first_columns(path, None)
    ours = our_names(names, columns)
    needs = NEEDS if {"question", "options"} <= set(ours) or _has_options(ours) else ("prompt",)
    if names:
        _check_names(path, names, columns, needs)
    if needs == NEEDS:
        questions, _ = load_questions(path, max_rows=MAX_ROWS, columns=columns)
        return questions_to_rows(questions, PromptTemplate(DEFAULT_TEMPLATE, None, True))[0]
    prompts, _ = load_prompts(path, max_rows=MAX_ROWS, columns=columns)
    return prompts_to_rows(prompts)


def questions_of(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns prompts with options as methods of multiple-choice questions hand them to rewards; none if they are not.

    Example:
        >>> questions_of([{"prompt": "Which rusts?", "options": ["iron", "gold"], "answer": "A"}])[0]["answer"]
        0
    """
    if all(isinstance(row.get("answer"), int) for row in rows):
        return []
    asked = []
    for row in rows:
        try:
            checked = check_row({**row, "question": conversation_text(row["prompt"]), "id": None, "group": None})
        except BadRow:
            return []
        asked.append({**row, "question": checked.question, "options": list(checked.options), "answer": checked.answer})
    return asked


def _has_options(names: list[str]) -> bool:
    """Tells rows of questions in other words, such as a column for each option."""
    found = {*names, *guess_columns(("options", "answer"), names)}
    return bool(questions_in_columns(names)) or ("prompt" not in names and {"options", "answer"} <= found)


def _check_names(path: str, names: list[str], columns: Columns, needs: tuple[str, ...]) -> None:
    """Refuses rows without a column that is needed, with the option that names it."""
    firsts = {ours: theirs if isinstance(theirs, str) else theirs[0] for ours, theirs in columns.items()}
    absent = [ours for ours, first in firsts.items() if first not in names]
    lacking = [*absent, *(name for name in needs if name not in our_names(names, columns))]
    if not lacking:
        return
    guessed = guess_columns(lacking, [name for name in names if name not in columns.values()], needs)
    mended = {ours: theirs for ours, theirs in columns.items() if ours not in absent} | guessed
    mended |= {ours: "NAME" for ours in lacking if ours not in guessed}
    named = [f"`{printable(firsts[name])}` for `{name}`" if name in firsts else f"`{name}`" for name in lacking]
    has = ", ".join(f"`{printable(name)}`" for name in names)
    raise DataError(
        f"{path} has no column {', '.join(named)}; it has {has}. Say which is meant with "
        f"`--columns '{word_mapping(mended)}'`: our name of a column, and the name that it has in the rows."
    )


def name_the_option(finding: Finding, rows: Sequence[Mapping[str, Any]]) -> Finding:
    """Adds to a column that a reward lacks how one of another name is taken for it."""
    if finding.numbers.get("kind") != "missing_column" or not rows:
        return finding
    column = finding.text.partition("needs a column `")[2].partition("`")[0]
    theirs = guess_columns((column,), list(rows[0])).get(column, "NAME")
    text = f"{finding.text} `--columns '{word_mapping({column: theirs})}'` takes it from a column of another name."
    return finding._replace(text=text)
