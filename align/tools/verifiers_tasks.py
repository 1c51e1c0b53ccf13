"""Tasksets of verifiers 0.4, held in a worker: prompts of tasks, tools of their servers, rewards of their traces.

Their MCP servers are registered in this process and called without a port between, as by the library's `null` harness:
the state of a rollout, which the library hands over by HTTP, is the trace's own.
"""

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pydantic import TypeAdapter

from align.tools.described import ENTRY, Described, Page, Scores, UnusableError, chat_messages, library_messages

HELD_OUT = 10  # one task of so many is of the split `eval`
MOST_ENDLESS = 10_000  # tasks of a set that has no end


@cache
def library() -> Any:
    """Imports what is used of verifiers, in a worker."""
    import verifiers.v1
    from mcp.server.mcpserver import MCPServer
    from verifiers.v1 import runtimes, session, state, types
    from verifiers.v1.utils import decorators, loaders

    own = {"loaders": loaders, "make_runtime": runtimes.make_runtime, "state_cls": state.state_cls}
    own |= {"boundary": session.hook_boundary, "call_hook": session.call_hook, "invoke": decorators.invoke}
    return SimpleNamespace(**vars(verifiers.v1) | vars(types) | own, MCPServer=MCPServer)


class Tasks:
    """A taskset, and the rollout that is under way."""

    def __init__(self, name: str, settings: Mapping[str, Any]) -> None:
        kind = _taskset_class(name)
        try:
            config = library().loaders.taskset_config_type(name).model_validate({"id": name, **settings})
        except ValueError as error:
            first = error.errors()[0] if hasattr(error, "errors") else {"loc": (), "msg": str(error)}
            where = ".".join(map(str, first["loc"]))
            raise UnusableError(f"refuses its settings: {where}: {first['msg']}.") from error
        self.name, self.taskset = name, kind(config)
        _check_plain(name, kind)
        self._tasks: Iterator[Any] = iter(())
        self._runtime: Any = None
        self._servers: list[Any] = []
        self._stopped_by = ""
        self._tools: dict[str, tuple[Any, str]] = {}

    async def describe(self) -> Described:
        """Begins the first task, and lists tools and rewards."""
        task = next(iter(self.taskset), None)
        if task is None:
            raise UnusableError("has no tasks.")
        await self.reset(json.loads(self._row(task)[ENTRY]))
        tools = []
        for name, (server, own) in self._tools.items():
            (tool,) = [each for each in await server.list_tools() if each.name == own]
            tools.append({"name": name, "description": tool.description or "", "parameters": tool.input_schema})
        rewards = [(fn.__name__, float(getattr(fn, "_vf_weight", 1.0))) for fn in task.hooks("reward")]
        rewards += [(judge.reward_name, float(judge.config.weight)) for judge in task.plugged_judges()]
        stops = [(fn.__name__, library().boundary(fn, allow_trace=True)) for fn in task.hooks("stop")]
        late = [name for name, boundary in stops if boundary is library().Response]
        note = f"`@stop` of {', '.join(late)} reads a response, and is asked behind the calls of that, not before."
        notes = [note] if late and tools else []
        return Described(f"verifiers {version('verifiers')}", tools, rewards, notes, stops=bool(stops))

    def rows(self, split: str | None, start: int, count: int) -> Page:
        """Returns the next rows, each with its task as JSON."""
        if start == 0:
            self._tasks = (task for task in self.taskset if split in (None, _split_of(task)))
        rows = [self._row(task) for task in islice(self._tasks, count)]
        if self.taskset.INFINITE and start + count > MOST_ENDLESS:
            raise UnusableError(f"gives tasks without an end, and {MOST_ENDLESS:,} were read. Set `dataset.max_rows`.")
        return Page(rows, len(rows) == count)

    def _row(self, task: Any) -> dict[str, Any]:
        data = task.data
        if data.prompt is None:
            raise UnusableError("has tasks without a prompt: a simulated user opens them, and that is not run here.")
        if task.NEEDS_CONTAINER or data.image or data.agent_user or data.skills:
            raise UnusableError("has tasks that run in a container, which is not started here.")
        own = {
            key: value
            for key, value in data
            if key not in library().TaskData.model_fields and key != ENTRY and isinstance(value, str | int | float)
        }
        return own | {
            "id": f"{self.name}-{data.idx}",
            "prompt": chat_messages(_messages(data)),
            ENTRY: data.model_dump_json(),
        }

    async def reset(self, entry: Mapping[str, Any]) -> None:
        """Begins the rollout of a task."""
        await self._close()
        self._stopped_by = ""
        kind = self.taskset.task_type()
        task = kind(kind.data_type().model_validate(entry), self.taskset.config.task)
        self.task, data = task, task.data
        self.trace: Any = library().Trace(
            task=library().TraceTask(type=kind.__name__, data=data, key=task.key, hash=task.hash),
            state=library().state_cls(kind)(),
            agent=library().AgentInfo(config=library().AgentConfig()),
        )
        self.trace.nodes = _nodes(_messages(data))
        if _runs_programs(task):
            self._runtime = library().make_runtime(library().SubprocessConfig(), name=self.trace.id)
            self._runtime.env = dict(task.runtime_env())
            await self._runtime.start()
        await library().invoke(task.setup, {"trace": self.trace, "runtime": self._runtime})
        for server in kind.toolsets(task.config):
            await self._serve(server, data)
        for server in self.taskset.toolsets(self.taskset.config):
            await self._serve(server, None)

    async def _serve(self, server: Any, data: Any) -> None:
        if getattr(server.config, "url", None):
            raise UnusableError(f"has tools on another server, {server.config.url}, which is not reached from here.")
        if not isinstance(self.trace.state, server._state_cls):
            raise UnusableError(f"has a server of tools, {type(server).__name__}, with a state that its task lacks.")

        async def pull() -> Any:
            return self.trace.state

        async def push(before: bytes) -> None:
            """Leaves the state as it is: the tool has changed the trace's own."""

        server._pull_state, server._push_state = pull, push
        self._servers.append(server)
        await server.setup()
        if data is not None:
            await server.setup_task(data)
        registered = library().MCPServer(server.server_name or type(server).__name__)
        server.register(registered)
        for tool in await registered.list_tools():
            name = f"{server.server_name}_{tool.name}" if server.server_name else tool.name
            self._tools[name] = registered, tool.name

    async def call(self, name: str, arguments: dict[str, Any]) -> str:
        """Calls a tool, and returns its text; raises what it says is an error."""
        server, own = self._tools[name]
        result: Any = await server.call_tool(own, arguments)
        text = "\n".join(part.text if hasattr(part, "text") else f"[{part.type}]" for part in result.content)
        if result.is_error:
            raise RuntimeError(text)
        return text

    def _trace_of(self, messages: Sequence[Mapping[str, Any]]) -> Any:
        nodes = _nodes(library_messages(messages), len(self.trace.nodes))
        fresh: dict[str, Any] = {"nodes": [*self.trace.nodes, *nodes], "rewards": {}, "metrics": {}}
        return self.trace.model_copy(update=fresh)

    async def is_over(self, messages: Sequence[Mapping[str, Any]]) -> bool:
        """Asks the task's `@stop`s, before the policy writes again; the first that says so ends the rollout."""
        trace = self._trace_of(messages)
        said = [node.message for node in trace.nodes]
        own = {"id": "response", "created": 0, "model": "policy", "finish_reason": "tool_calls"}
        response = library().Response(message=trace.assistant_messages[-1], **own)
        given = {library().Trace: trace, library().Request: library().Request(messages=said)}
        given[library().Response] = response
        for stop in self.task.hooks("stop"):
            if await library().call_hook(stop, given):
                self._stopped_by = stop.__name__
                return True
        return False

    async def score(self, messages: Sequence[Mapping[str, Any]]) -> Scores:
        """Scores a finished rollout by the rewards of its task."""
        if self._stopped_by and messages[-1]["role"] == "assistant":  # the empty one that closes a completion
            messages = messages[:-1]
        trace = self._trace_of(messages)
        trace.stop(self._stopped_by or "agent_completed")
        trace.ok = True
        await library().invoke(self.task.finalize, {"trace": trace, "runtime": self._runtime})
        named = [fn.__name__ for fn in self.task.hooks("reward")]
        named += [judge.reward_name for judge in self.task.plugged_judges()]
        await self.task.score(trace, self._runtime)
        scores = {name: reward.score for name, reward in trace.rewards.items() if reward is not None}
        parts = {name: score for name, score in scores.items() if name not in named}
        several = [name for name in named if name not in scores]
        if len(several) > 1:
            raise ValueError(f"the rewards {' and '.join(several)} both give several scores each; join them")
        joined = {several[0]: sum(parts.values())} if several else {}
        metrics = {name: value for name, value in trace.metrics.items() if value is not None}
        return Scores({name: float((scores | joined)[name]) for name in named}, metrics | parts)

    async def _close(self) -> None:
        for server in self._servers:
            with suppress(Exception):  # of a rollout that is over
                await server._exit_stack.aclose()
        self._servers, self._tools = [], {}
        if self._runtime is not None:
            with suppress(Exception):
                await self._runtime.stop()
        self._runtime = None


def _taskset_class(name: str) -> Any:
    try:
        return library().loaders.taskset_class(name)
    except (ModuleNotFoundError, AttributeError, TypeError) as error:
        module = name.rpartition("/")[2].partition("@")[0].replace("-", "_")
        with suppress(ModuleNotFoundError, ValueError):
            found = find_spec(module)
            if found is None:
                raise UnusableError(f"is not installed: there is no module {module!r}.") from error
            if found.origin and "load_environment" in Path(found.origin).read_text("utf-8"):
                raise UnusableError(
                    "is written for verifiers 0.3 and older (`load_environment`), and "
                    f"tasksets of {version('verifiers')} are run. Look for a release of it with a `Taskset`."
                ) from error
        raise UnusableError(f"is no taskset: {error}.") from error


def _check_plain(name: str, kind: Any) -> None:
    """Refuses what needs more than a chat with tools in this process."""
    env, task = library().loaders.environment_class(name), kind.task_type()
    if env is not library().SingleAgentEnv:
        raise UnusableError(
            f"leads its own conversation ({env.__name__}), as a simulated user or several agents do, and here a "
            "rollout is one policy with tools."
        )
    if library().loaders.default_harness_id(name) != "bash":
        raise UnusableError("brings a harness of its own. Here the policy is asked as by the harness `null`.")
    if task.NEEDS_CONTAINER:
        raise UnusableError(f"has tasks that run in a container ({task.__name__}), which is not started here.")
    if any(hasattr(each, "intercept") for base in task.__mro__ for each in vars(base).values() if callable(each)):
        raise UnusableError("changes messages on their way to and from the policy (`@intercept`): not done here.")


def _runs_programs(task: Any) -> bool:
    """Tells whether a task asks for a runtime, which it gets as a folder and processes of this machine."""
    own = [getattr(type(task), name) is not getattr(library().Task, name) for name in ("setup", "finalize")]
    hooks = [*task.hooks("reward"), *task.hooks("metric")]
    return any(own) or any("runtime" in fn.__code__.co_varnames for fn in hooks if hasattr(fn, "__code__"))


def _split_of(task: Any) -> str:
    return "eval" if zlib.crc32(task.key.encode()) % HELD_OUT == 0 else "train"


def _messages(data: Any) -> list[Any]:
    system = [{"role": "system", "content": data.system_prompt}] if data.system_prompt else []
    return system + ([{"role": "user", "content": data.prompt}] if isinstance(data.prompt, str) else [*data.prompt])


def _nodes(messages: Sequence[Any], before: int = 0) -> list[Any]:
    made = []
    for place, message in enumerate(messages, start=before):
        typed = TypeAdapter(library().Message).validate_python(message) if isinstance(message, Mapping) else message
        sampled = bool(before) and typed.role == "assistant"
        made.append(library().MessageNode(parent=place - 1 if place else None, message=typed, sampled=sampled))
    return made
