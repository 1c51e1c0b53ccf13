"""A rehearsal as it is kept: what was asked, measured and found, and what to do about it."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from align.checks.finding import Finding
from align.evaluation.statistics.metrics import NO_DATA, Estimate, told
from align.secrets import mask
from align.whole_files import as_json, write_whole

REHEARSAL_FILE, PAGE_FILE, CACHE_FOLDER = "rehearsal.json", "rehearsal.html", "cache"
VERSION = 1


class Measure(NamedTuple):
    """A number with its interval."""

    name: str  # in the file
    words: str  # what it is
    estimate: Estimate
    is_share: bool = True

    def __str__(self) -> str:
        """Writes it, a share in percent."""
        value, low, high, *_ = self.estimate
        if math.isnan(value):
            return NO_DATA
        words = [f"{100 * end:.0f}" if self.is_share else f"{end:,.3g}" for end in (value, low, high)]
        shown = f"{words[0]} %" if self.is_share else words[0]
        return f"{shown} [{words[1]}, {words[2]}]" if low < high else shown


class Check(NamedTuple):
    """Everything there is of a check of a rehearsal; names in braces in its texts are of what it saw."""

    check: str  # name of its finding
    number: str  # name of what it measures, in the file
    measures: str = ""  # what that is, in words; the page shows no number without it
    words: str = ""  # what is so where the interval lies beyond the limit; without any it only measures
    remedy: str = ""
    above: float = math.inf  # the limit; a comment beside it says why it is that one, or `chosen` does
    below: float = -math.inf
    error: float = math.inf  # value from which the finding is an error
    unit: str = "prompts"
    is_share: bool = True
    chosen: str = "docs/evidence/rehearsals.md#limits"
    look: Callable[[Any], Estimate] | None = None  # measures it; else the part that samples does


def by_number(*checks: Check) -> dict[str, Check]:
    """Lists checks by the names of their numbers."""
    return {each.number: each for each in checks}


_CAUSES = {"prompt", "reward", "alike", "empty", "answer key"}  # checks whose errors explain others
_FOLLOWS = {"spread", "answers", "answer key", "unpaid", "overpaid", "pays for"}


class Table(NamedTuple):
    """Rows of words."""

    title: str
    note: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass
class Rehearsed:
    """What the part of a method found."""

    findings: list[Finding] = field(default_factory=list)
    measures: list[Measure] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)  # some of what the model wrote, with its rewards
    asked: dict[str, Any] = field(default_factory=dict)  # how the model was asked
    seconds: dict[str, float] = field(default_factory=dict)  # what took how long

    def take(
        self, check: Check, found: Estimate, fix: str = "", *, sick: bool | None = None, level: str = "", **seen: Any
    ) -> bool:
        """Adds the number of a check, and a finding where its interval is beyond the limit, or `sick` says so."""
        name, words = check.number.format(**seen), check.measures.format(**seen)
        if words:
            self.measures.append(Measure(name, words, found._replace(unit=check.unit), check.is_share))
        is_sick = found.low > check.above or found.high < check.below if sick is None else sick
        if is_sick and check.words:
            words = told(found._replace(unit=check.unit), in_percent=check.is_share)
            text = f"{check.words} {check.remedy}".format(share=found.value, told=words, **seen).strip()
            level = level or ("error" if found.value >= check.error else "warning")
            numbers = {key: each for key, each in seen.items() if not isinstance(each, str)}
            self.findings.append(Finding(level, check.check, text, {name: found.value} | numbers, fix))  # type: ignore
        return is_sick

    def look(self, checks: Mapping[str, Check], at: Any) -> None:
        """Makes the checks that measure by themselves."""
        for check in checks.values():
            if check.look is not None:
                self.take(check, check.look(at))

    def keep_causes(self) -> None:
        """Takes out what only follows from a cause that was found: groups without spread, and keys that look odd."""
        causes = {each.check for each in self.findings if each.level == "error"} & _CAUSES
        if causes:
            self.findings = [each for each in self.findings if each.check not in _FOLLOWS or each.check in causes]

    def find(self, level: Any, check: str, text: str, fix: str = "", **numbers: Any) -> None:
        """Adds a finding."""
        self.findings.append(Finding(level, check, text, numbers, fix))


@dataclass(frozen=True)
class RehearsalRecord:
    """One rehearsal."""

    recipe: str
    method: str
    model: str
    found: Rehearsed
    created: str
    versions: dict[str, Any]

    @property
    def asked(self) -> dict[str, Any]:
        """What was rehearsed, and how."""
        return {name: getattr(self, name) for name in ("recipe", "method", "model", "created")} | self.found.asked

    @property
    def numbers(self) -> list[tuple[str, str, str]]:
        """What was measured, in words: what it is, its value, and over what."""
        return [(x.words, str(x), f"{x.estimate.n:,} {x.estimate.unit}") for x in self.found.measures]

    @property
    def sick(self) -> list[Finding]:
        """What is wrong, errors first."""
        wrong = [each for each in self.found.findings if each.level != "ok"]
        return sorted(wrong, key=lambda each: each.level != "error")

    @property
    def verdict(self) -> str:
        """What to take away, in a sentence."""
        levels = [each.level for each in self.sick]
        if "error" in levels:
            return f"Not ready: {levels.count('error')} of {len(levels)} findings would waste the run."
        found = f"Look first: {len(levels)} finding{'s' * (len(levels) > 1)} would cost or mislead the run."
        return found if levels else "Ready: nothing that was looked for would waste the run."

    def write(self, folder: Path) -> Path:
        """Writes `rehearsal.json`."""
        path, found = folder / REHEARSAL_FILE, vars(self) | vars(self.found) | {"verdict": self.verdict}
        content = as_json({"version": VERSION} | {name: value for name, value in found.items() if name != "found"})
        text = json.dumps(mask(content), indent=2, ensure_ascii=False, default=str)
        write_whole(path, text + "\n", errors="replace")
        return path
