"""What a check says."""

from typing import Any, Literal, NamedTuple

Level = Literal["ok", "warning", "error"]


class Finding(NamedTuple):
    """One sentence about a recipe or a machine, with its numbers for `--json`.

    Attributes:
        level: An error stops a run, or part of what the machine is for.
        check: What it is about.
        text: The sentence.
        numbers: What the sentence speaks of.
        fix: The line to type that mends it, where there is one.
    """

    level: Level
    check: str
    text: str
    numbers: dict[str, Any] = {}  # noqa: RUF012 - never mutated
    fix: str = ""

    def without_samples(self) -> dict[str, Any]:
        """Returns it for a file, without the pairs that a terminal shows."""
        return self._asdict() | {"numbers": {key: each for key, each in self.numbers.items() if key != "samples"}}
