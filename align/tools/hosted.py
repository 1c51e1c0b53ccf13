"""The worker's side of environments of others: a process that holds one, and what it is asked."""

import importlib
import json
import os
import resource
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from typing import Any, NamedTuple

from align.tools.described import ENTRY, UnusableError
from align.tools.served import Call, as_content, seed_generators, wait_for
from rewards.reading.gym import read_settings

PREFIX = "verifiers:"
DESCRIBE, ROWS, SCORE, IS_OVER = "describe", "rows", "score", "is_over"  # questions that are no calls of tools


class Refused(NamedTuple):
    """An answer instead of what was asked for."""

    why: str


class Hosted:
    """Holds one environment, which it loads when it is first asked; raises `ValueError` for settings of no form.

    A process imports the library while it starts, before the clock of its first call: that takes 6 seconds.
    """

    def __init__(self, spec: str) -> None:
        self.spec = spec
        self.name, _, query = spec.removeprefix(PREFIX).partition("?")
        self.settings = read_settings(spec, query)
        self.world: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        return in_worker, (self.spec,)

    def __call__(self, call: Call) -> Any:
        """Answers a call of a tool with what the model is shown, and questions as they are meant."""
        seed_generators(call.seed)
        try:
            return self._answer(call)
        except UnusableError as error:
            if call.question:
                return Refused(str(error))
            raise ValueError(f"the environment {error}") from error

    def _answer(self, call: Call) -> Any:
        if self.world is None:
            self.world = _load(self.name, self.settings)
        given = call.arguments
        if call.question == DESCRIBE:
            kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            return wait_for(self.world.describe())._replace(megabytes=kilobytes / 1024)
        if call.question == ROWS:
            return self.world.rows(given["split"], given["start"], given["count"])
        if call.question == SCORE:
            if ENTRY in given:  # of a rollout without tools, which nobody has begun
                wait_for(self.world.reset(json.loads(given[ENTRY])))
            return wait_for(self.world.score(given["messages"]))
        if call.question == IS_OVER:
            return wait_for(self.world.is_over(given["messages"]))
        if call.question:
            raise ValueError(f"an environment of others knows no question {call.question!r}")
        if call.name == "reset":
            return wait_for(self.world.reset(json.loads(given[ENTRY])))
        return as_content(wait_for(self.world.call(call.name, dict(given))))


def in_worker(spec: str) -> Hosted:
    """Makes it where it is used, with the library at hand; one that is broken is told of with the first answer.

    What it writes goes nowhere: code of others may print its keys.
    """
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    os.environ.setdefault("VF_LOG_LEVEL", "CRITICAL")  # it logs what rewards raise, row by row
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    with suppress(Exception):
        importlib.import_module("verifiers.v1")
        importlib.import_module("mcp.server.mcpserver")
    return Hosted(spec)


def _load(name: str, settings: Mapping[str, Any]) -> Any:
    if find_spec("verifiers.envs") is not None:
        raise UnusableError("needs verifiers 0.4, and an older one is here. Run `pip install 'verifiers>=0.4'`.")
    from align.tools.verifiers_tasks import Tasks

    return Tasks(name, settings)
