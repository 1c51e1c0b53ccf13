"""The worker's side: a process that holds the tools of a run, or one instance of an environment."""

import asyncio
import inspect
import pickle
import random
import resource
import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from align.tools.named import Spec, find_factory, find_tool

LONGEST_CONTENT = 100_000  # characters of a result that the model is shown
MAKE, GET, COPY, PLAIN = "make", "get", "copy", "plain"  # questions to an environment, beside calls of tools


class Call(NamedTuple):
    """A call of a tool, or of a method of an environment."""

    name: str
    arguments: Mapping[str, Any] = {}
    seed: str = ""  # of the global generators of `random` and numpy, so that a run can be repeated
    question: str = (
        ""  # empty for a call of the model; an attribute, a copy and a call of a reward are asked for by others
    )


class Raised(NamedTuple):
    """What a call in a copy of a process raised, in words."""

    text: str


class Loaded:
    """Loads what is named, each when it is asked for by its number."""

    def __init__(self, specs: Sequence[Spec]) -> None:
        self.specs = specs

    def __call__(self, call: Call) -> str:
        """Says what is wrong with a spec; empty if it can be loaded."""
        try:
            self.specs[int(call.name)].find("Tool")
        except ValueError as error:
            return str(error)
        return ""


class ServedTools:
    """Calls tools, which it finds when the first of them is called."""

    def __init__(self, specs: Sequence[Spec]) -> None:
        self.specs = specs
        self.found: dict[str, Callable[..., Any]] = {}

    def load(self) -> None:
        """Finds the tools."""
        self.found = {tool.__name__: tool for tool in map(find_tool, self.specs)}

    def __call__(self, call: Call) -> Any:
        """Answers a call with what the model is shown."""
        if not self.found:
            self.load()
        return as_content(_run(self.found[call.name], call))


class ServedEnvironment:
    """Holds one instance of an environment, which it makes when it is first asked for."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.instance: Any = None

    def load(self) -> None:
        """Finds what makes an instance, and makes none."""
        find_factory(self.spec)

    def __call__(self, call: Call) -> Any:
        """Answers a call: methods that are tools with what the model is shown, others with what they return."""
        if self.instance is None:
            seed_generators(call.seed)
            self.instance = find_factory(self.spec)()
        if call.question == MAKE:
            return describe(self.instance)
        if call.question == GET:
            return self._read(call.name)
        if call.question == COPY:
            return pickle.dumps(self.instance)
        if call.question == PLAIN:
            return wait_for(getattr(self.instance, call.name)(*call.arguments["given"], **call.arguments["named"]))
        result = _run(getattr(self.instance, call.name), call)
        if call.name in ("reset", "get_reward"):
            return _readable(result) if isinstance(result, str) else result
        return as_content(result)

    def _read(self, name: str) -> bytes | None:
        """Pickles an attribute; None for a method, which is called here."""
        value = getattr(self.instance, name)
        try:
            return None if inspect.isroutine(value) else pickle.dumps(value)
        except Exception as error:  # whatever pickling it leads to
            raise ValueError(
                f"`{name}` is a {type(value).__name__}, which cannot leave the process of its environment: have a "
                f"method of the class, such as `_read_{name.strip('_')}`, return what is read of it, and call that"
            ) from error


def describe(instance: Any) -> tuple[str, str, float]:
    """Names the class of an instance, which the training process looks up, and the MB that its process takes."""
    kind = type(instance)
    if getattr(sys.modules.get(kind.__module__), kind.__qualname__, None) is not kind:
        raise ValueError(f"class {kind.__qualname__} of the environment must stand at the top level of its file")
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kind.__module__, kind.__qualname__, kilobytes / 1024


def as_content(result: Any) -> Any:
    r"""Makes what a tool returned into what TRL shows the model: blocks of content as they are, else a text.

    TRL 1.16 takes any list for blocks, and a list of numbers then ends the run in the chat template.

    Example:
        >>> as_content({"price": 3}), as_content([1, 2]), as_content([{"type": "text", "text": "3 \ud83d"}])
        ("{'price': 3}", '[1, 2]', [{'type': 'text', 'text': '3 ?'}])
    """
    is_blocks = isinstance(result, list) and result and all(isinstance(x, dict) and "type" in x for x in result)
    if not is_blocks:
        return _readable(str(result))
    return [
        block | {"text": _readable(block["text"])} if isinstance(block.get("text"), str) else block for block in result
    ]


def _readable(text: str) -> str:
    """Cuts a text that no context holds, and replaces halves of characters, which no tokenizer reads."""
    cut = "" if len(text) <= LONGEST_CONTENT else f" ... ({len(text):,} characters)"
    return text[:LONGEST_CONTENT].encode("utf-8", "replace").decode("utf-8") + cut


def restore(spec: Spec, content: bytes) -> Any:
    """Makes a copy of an instance in another process, where its file may not be loaded yet."""
    find_factory(spec)
    return pickle.loads(content)


def _run(func: Callable[..., Any], call: Call) -> Any:
    seed_generators(call.seed)
    return wait_for(func(**call.arguments))


def wait_for(result: Any) -> Any:
    """Returns a result, awaited where it is awaitable."""
    if not inspect.isawaitable(result):
        return result
    try:
        return _loop().run_until_complete(result)
    except (SystemExit, KeyboardInterrupt):
        _loops.clear()  # it has stopped, and would stop the next call
        raise


_loops: list[asyncio.AbstractEventLoop] = []


def _loop() -> asyncio.AbstractEventLoop:
    """Returns one loop for all calls of a process: clients are bound to the loop they were made in."""
    if not _loops:
        _loops.append(asyncio.new_event_loop())
        asyncio.set_event_loop(_loops[0])
    return _loops[0]


def seed_generators(seed: str) -> None:
    """Seeds the global generators, so that a call can be repeated."""
    random.seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(zlib.crc32(seed.encode()))
