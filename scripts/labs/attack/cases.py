"""A reward that is attacked, its rows, and the rewards of the catalogue that are told to be sound."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from scripts.labs.attack import rows as made

HERE = Path(__file__).parent
Rows = Callable[[], list[made.Row]]


class Case(NamedTuple):
    """A reward, and the rows that it is attacked on."""

    name: str
    spec: str
    rows: Rows = made.sums
    kwargs: dict[str, Any] = {}  # noqa: RUF012 - never mutated
    form: str = "text"
    fooled: bool = True  # whether its judge is one that can be talked into a grade


SOUND_ONES = [  # of the catalogue, among the sound rewards
    Case("accuracy", "accuracy", made.choices),
    Case("answer_consistency", "answer_consistency", made.choices),
    Case("code_accuracy", "code_accuracy", lambda: made.programs()[:6]),
    Case("format", "format"),
    Case("length", "length", kwargs={"max_length": 200}),
    Case("math_accuracy", "math_accuracy", lambda: made.sums(8)),
    Case("number_accuracy", "number_accuracy"),
    Case("repetition", "repetition"),
    Case("text_accuracy", "text_accuracy", made.capitals),
]
