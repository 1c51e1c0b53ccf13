"""Tries many rewards in one fresh process.

The check compares the functions of every loaded module, and a worker of the tests has loaded thousands.
"""

import json
import os
import random
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from started import with_tests

from rewards.catalog import resolve_reward
from rewards.running.contract import LocalSubject, Settings, try_reward


class Tried(NamedTuple):
    """A reward, and with what it is tried."""

    spec: str
    kwargs: dict[str, Any] | None = None
    rows: tuple[dict[str, Any], ...] = ()
    form: str | None = None


class Found(NamedTuple):
    """A problem as the check words it."""

    kind: str
    level: str
    text: str


def try_all(tried: list[Tried]) -> list[list[Found]]:
    """Tries rewards in an order of the test's seed, those that load torch last; returns what is found in each."""
    order = random.sample(range(len(tried)), len(tried))
    order.sort(key=lambda place: "broken_globals" in tried[place].spec)
    with TemporaryDirectory() as folder:
        asked, answered = Path(folder) / "asked.json", Path(folder) / "answered.json"
        asked.write_text(json.dumps([tried[place] for place in order]))
        done = with_tests(__file__, asked, answered)
        assert done.returncode == 0, done.stderr[-3000:]
        found = dict(zip(order, json.loads(answered.read_text()), strict=True))
    return [[Found(*problem) for problem in found[place]] for place in range(len(tried))]


def _found(spec: str, kwargs: dict[str, Any] | None, rows: list[dict[str, Any]], form: str | None) -> list[Found]:
    os.environ["MY_REWARD_WAS_HERE"] = ""  # one of them sets it
    settings = Settings(rows=rows, form=form, max_seconds=60.0)  # on a busy machine, too
    problems = try_reward(LocalSubject(resolve_reward(spec, kwargs)), settings).problems
    return [Found(problem.kind, problem.level, str(problem)) for problem in problems]


if __name__ == "__main__":
    asked, answered = map(Path, sys.argv[1:])
    answered.write_text(json.dumps([_found(*each) for each in json.loads(asked.read_text())]))
