"""The worker's side of environments of others: a process that holds one, and what it tells of it."""

import importlib
import json
import os
import resource
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from typing import Any, NamedTuple

from align.tools.served import Call, as_content, seed_generators, wait_for
from rewards.reading.gym import read_settings

PREFIX = "verifiers:"
DESCRIBE, ROWS, SCORE, IS_OVER = "describe", "rows", "score", "is_over"  # questions that are no calls of tools
ENTRY = "entry"  # column of the rows: what the environment needs to know of one


class UnusableError(Exception):
    """An environment that cannot be used; its text names what is missing, and follows `NAME`."""


class Refused(NamedTuple):
    """An answer instead of what was asked for."""

    why: str


class Described(NamedTuple):
    """What an environment is made of."""

    library: str  # with its version
    tools: Sequence[Mapping[str, Any]]  # `name`, `description` and JSON schema `parameters` of each
    rewards: Sequence[tuple[str, float]]  # with their weights
    notes: Sequence[str]  # sentences on what training does otherwise than the library
    megabytes: float = 0.0  # that its process takes
    stops: bool = False  # whether it may end a rollout between turns


class Page(NamedTuple):
    """Some rows, and whether there are more of them."""

    rows: Sequence[Mapping[str, Any]]
    has_more: bool


class Scores(NamedTuple):
    """What a finished rollout is given."""

    rewards: Mapping[str, float]  # without their weights
    metrics: Mapping[str, float]


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
        importlib.import_module("verifiers.v1" if is_v1() else "verifiers.envs")
        importlib.import_module("mcp.server.mcpserver")  # of 0.4
    return Hosted(spec)


def is_v1() -> bool:
    """Tells whether the library is 0.4 or newer, which has tasksets alone."""
    return find_spec("verifiers") is not None and find_spec("verifiers.envs") is None


def _load(name: str, settings: Mapping[str, Any]) -> Any:
    if is_v1():
        from align.tools.verifiers_tasks import Tasks

        return Tasks(name, settings)
    from align.tools.verifiers_classic import Classic

    return Classic(name, settings)


def chat_messages(messages: Any) -> list[dict[str, str]]:
    """Writes the messages of a prompt as TRL takes them; raises `UnusableError` for what is no text."""
    written = []
    for message in messages:
        plain = message if isinstance(message, Mapping) else message.model_dump(exclude_none=True)
        content = plain.get("content") or ""
        parts = [content] if isinstance(content, str) else content
        texts = [part if isinstance(part, str) else part.get("text") for part in parts]
        if plain.get("tool_calls") or not all(isinstance(text, str) for text in texts):
            raise UnusableError("has prompts with images or calls of tools, and prompts of texts can be asked.")
        written.append({"role": plain["role"], "content": "\n".join(texts)})
    return written


def library_messages(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Writes the messages of a completion as the library has them: calls have ids, and arguments that are texts."""
    written: list[dict[str, Any]] = []
    open_calls: list[str] = []
    for message in messages:
        plain: dict[str, Any] = {"role": message["role"], "content": message.get("content") or ""}
        if message["role"] == "tool":
            plain["tool_call_id"] = open_calls.pop(0) if open_calls else "call"
        if message.get("tool_calls"):
            functions = [call.get("function") or {} for call in message["tool_calls"]]
            open_calls = [f"call_{len(written)}_{place}" for place in range(len(functions))]
            plain["tool_calls"] = [
                {"id": number, "name": str(function.get("name")), "arguments": _as_text(function.get("arguments"))}
                for number, function in zip(open_calls.copy(), functions, strict=True)
            ]
        if message.get("reasoning_content"):
            plain["reasoning_content"] = message["reasoning_content"]
        written.append(plain)
    return written


def _as_text(arguments: Any) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False, default=str)
