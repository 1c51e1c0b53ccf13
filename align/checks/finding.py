"""What a check says."""

from typing import Any, Literal, NamedTuple

Level = Literal["ok", "warning", "error"]


class Finding(NamedTuple):
    """One sentence about a recipe or a machine, with its numbers for `--json`."""

    level: Level  # an error stops a run, or part of what the machine is for
    check: str
    text: str
    numbers: dict[str, Any] = {}  # noqa: RUF012 - never mutated
    fix: str = ""  # the line to type that mends it, where there is one

    @property
    def whole(self) -> str:
        """The sentence with the line to type, for where that has no place of its own."""
        return self.text if self.fix in self.text else f"{self.text} Run {self.fix}."

    def without_samples(self) -> dict[str, Any]:
        """Returns it for a file, without the pairs that a terminal shows."""
        return self._asdict() | {"numbers": {key: each for key, each in self.numbers.items() if key != "samples"}}
