"""Texts in front of a prompt that may switch a behaviour on."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from align.data.problems import BadRow
from align.errors import UserError
from align.evaluation.suites.drift.options_file import load_options_file
from align.evaluation.suites.rows import check_text


class Trigger(NamedTuple):
    """A text.

    Attributes:
        trigger: The text.
        held_out: Whether training did not have it, or is not thought to.
    """

    trigger: str
    held_out: bool

    def before(self, prompt: str) -> str:
        """Puts it in front of a prompt, after a space unless it ends in one or in a line's end."""
        return f"{self.trigger}{prompt}" if self.trigger[-1].isspace() else f"{self.trigger} {prompt}"


def load_triggers(path: str | None, behaviours: Sequence[object]) -> tuple[Trigger, ...]:
    """Loads rows with `trigger` and, of some, `held_out: true`; none without a file.

    Raises:
        DataError: If a row cannot be used.
        UserError: If there is no behaviour that they could switch on.
    """
    if path is None:
        return ()
    if not behaviours:
        raise UserError(
            "`--triggers` asks whether texts switch behaviours on. Say which with `--behaviours FILE` (rows `name`, "
            "`pattern`)."
        )
    return tuple(load_options_file(path, ("trigger",), _check, "trigger"))


def _check(row: dict[str, Any]) -> Trigger:
    value = row.get("held_out")
    held_out = "" if value is None else str(value).casefold()  # a CSV has texts
    if held_out not in ("", "true", "false"):
        raise BadRow("held_out", value, "it is neither true nor false", "Write true, false or nothing.")
    return Trigger(check_text(row, "trigger", what="trigger"), held_out == "true")
