"""Behaviours that a response shows, found by a pattern, and texts that may switch them on."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from align.data.files import RawRow, Row
from align.data.loading import Schema, load_rows
from align.data.problems import BadRow
from align.data.question_checks import check_label
from align.errors import UserError
from align.evaluation.suites.suite_rows import check_text, check_truth
from rewards.running.workers import WorkerPool

SECONDS, MEMORY_GB = 5.0, 1.0  # of one pattern on one text; a sound one takes less than a millisecond


def search(asked: tuple[str, str]) -> bool:
    """Says whether a pattern (of `re`) is found in a text."""
    pattern, text = asked
    return re.search(pattern, text) is not None


def search_all(patterns: Sequence[tuple[str, str]], texts: Sequence[str]) -> dict[str, list[bool]]:
    """Searches texts for each (name, pattern); refuses by name what is none or takes over `SECONDS` or `MEMORY_GB`."""
    if not patterns:
        return {}
    found: dict[str, list[bool]] = {}
    different = list(dict.fromkeys(texts))
    with WorkerPool(search, timeout=SECONDS, memory_gb=MEMORY_GB) as pool:
        for name, pattern in patterns:
            outcomes = pool.map([(pattern, text) for text in different])
            if failed := next((each for each in outcomes if each.failure is not None), None):
                raise UserError(
                    f"The pattern of the behaviour {name!r} cannot be used: {failed.message.rstrip('.')}. Write a "
                    "regular expression of Python without repeats inside repeats, such as (a+)+. Answers are kept."
                )
            by_text = dict(zip(different, (each.value for each in outcomes), strict=True))
            found[name] = [by_text[text] for text in texts]
    return found


class Behaviour(NamedTuple):
    """What a response may show."""

    name: str
    pattern: str  # a regular expression that is found in responses with it
    row: int = 0

    @property
    def id(self) -> str:
        """No two have one name."""
        return self.name


def load_behaviours(path: str | None) -> tuple[Behaviour, ...]:
    """Loads rows with `name` and `pattern`; none without a file."""
    found = () if path is None else tuple(load_rows(path, _check_behaviour, Schema(("name", "pattern")))[0])
    search_all([each[:2] for each in found], [""])
    return found


def _check_behaviour(row: Row, raw: RawRow) -> Behaviour:
    name = check_label("name", row.get("name"))
    if name is None:
        raise BadRow("name", None, "the name is missing", "Write a short text.")
    return Behaviour(name, check_text(row, "pattern", what="pattern"), raw.row)


class Trigger(NamedTuple):
    """A text that may switch behaviours on."""

    trigger: str
    held_out: bool  # whether training did not have it, or is not thought to
    row: int = 0

    @property
    def id(self) -> str:
        """No two have one text."""
        return self.trigger

    def before(self, prompt: str) -> str:
        """Puts it in front of a prompt, after a space unless it ends in one or in a line's end."""
        return f"{self.trigger}{prompt}" if self.trigger[-1].isspace() else f"{self.trigger} {prompt}"


def load_triggers(path: str | None, behaviours: Sequence[object]) -> tuple[Trigger, ...]:
    """Loads rows with `trigger` and, of some, `held_out: true`; none without a file."""
    if path is None:
        return ()
    if not behaviours:
        raise UserError(
            "`--triggers` asks whether texts switch behaviours on. Say which with `--behaviours FILE` (rows `name`, "
            "`pattern`)."
        )
    return tuple(load_rows(path, _check_trigger, Schema(("trigger",)))[0])


def _check_trigger(row: Row, raw: RawRow) -> Trigger:
    held_out = check_truth(row, "held_out", "Write true, false or nothing.")
    return Trigger(check_text(row, "trigger", what="trigger"), held_out, raw.row)
