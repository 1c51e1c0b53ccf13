"""What a file is, and what could be measured on it, where an evaluation cannot read it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from align.data.columns import Columns, our_names, questions_in_columns
from align.data.kinds import CANDIDATES, PAIRS, PROMPTS, QUESTIONS, REWARD_BENCH_2, first_columns, tell_kind
from align.errors import DataError

_SHOWN = 12  # columns
_MEASURED = {
    QUESTIONS: "of a policy: accuracy, consistency and reliance (`--model`)",
    PROMPTS: "of a policy: rewards of its answers (`--model` and `--rewards`, such as `--rewards number_accuracy`)",
    PAIRS: "of a policy: implicit-reward accuracy and KL (`--model`); of a reward model: accuracy (`--reward_model`)",
    REWARD_BENCH_2: "of a reward model: its score (`--reward_model`)",
    CANDIDATES: "of a reward model: the best of n (`--reward_model` and `--best_of_n` in place of `--data`)",
}


def name_the_file(path: str, split: str | None, read_as: Sequence[str], named: Columns) -> str:
    """Says in sentences what a file holds and what could be measured on it; nothing if it holds what was read."""
    try:
        columns = first_columns(path, split)
    except DataError:
        return ""  # which says itself what is wrong with the file
    names = our_names(columns, named)
    kind = tell_kind(names)
    is_read = (kind is not None and kind.name in read_as) or (
        QUESTIONS.name in read_as and questions_in_columns(names)
    )
    if not columns or is_read:
        return ""
    shown = ", ".join(columns[:_SHOWN]) + (", ..." if len(columns) > _SHOWN else "")
    if kind is not None:
        return f"{path} holds {kind.name} (columns {shown}). On these can be measured, {_MEASURED[kind]}."
    return f"{path} holds rows with the columns {shown}. What can be measured: {_all_forms()}."


def _all_forms() -> str:
    forms: Sequence[str] = [f"on {kind.name} ({', '.join(kind.needs)}), {words}" for kind, words in _MEASURED.items()]
    return "; ".join(forms) + "; questions in a public schema are read with `--adapter`"


@contextmanager
def saying_what_it_holds(
    read_as: Sequence[str], path: str | None, split: str | None, named: Columns
) -> Iterator[None]:
    """Raises a `DataError` that says what a file is whose rows cannot be read as what was asked for."""
    try:
        yield
    except DataError as error:
        found = name_the_file(path, split, read_as, named) if path is not None and read_as else ""
        if not found:
            raise
        raise DataError(f"{found} Read as {read_as[0]}: {error}") from error
