"""The tools of rows that are answered at once, each with its own environment."""

import sys
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from align.data.conversations import Message
from align.errors import UserError
from align.models.policies.asking import Decoding
from align.models.transcripts.transcript import Asked, Transcript
from align.tools.calls import RowTools, ended, lost_by, process_of
from align.tools.guarded import GuardedEnvironment, Limits, guard_environment, guard_tools
from align.tools.named import Spec, tool_methods

ENVIRONMENT = "environment"  # column that names one of several
INSTANCES = "environments"  # what TRL calls those that it hands to rewards
AT_ONCE = 32  # environments, each of which is a process


class OpenRow(NamedTuple):
    """A row that can be answered."""

    prompt: list[Message]
    tools: RowTools
    told: list[Callable[..., Any]]  # which the model may call
    environment: GuardedEnvironment | None

    @property
    def is_over(self) -> bool:
        """Whether its environment has ended it."""
        return self.environment is not None and self.environment._guard_over


class Toolbox:
    """Guarded tools, and as many instances of environments as there are rows at once; each is reset for a row.

    Rows find what they would in training: the columns that `reset` takes, what it adds to the prompt, and seeds by row
    and call.
    """

    def __init__(
        self,
        tools: Iterable[Callable[..., Any]] = (),
        environments: Mapping[str | None, type[GuardedEnvironment]] | None = None,
    ) -> None:
        self.tools, self.environments = list(tools), dict(environments or {})
        self._instances: dict[str | None, list[GuardedEnvironment]] = defaultdict(list)

    @classmethod
    def of_specs(cls, tools: Sequence[Spec], environments: Mapping[str | None, Spec], limits: Limits) -> "Toolbox":
        """Finds and guards what a recipe names; raises `ValueError` if there is no such tool."""
        kinds = {name: guard_environment(spec, limits) for name, spec in environments.items()}
        return cls(guard_tools(tools, limits), kinds)

    @property
    def rewarding(self) -> list[str]:
        """The rewards that environments give their rows."""
        return list(dict.fromkeys(name for kind in self.environments.values() for name in kind._guard_rewards))

    def open(self, rows: Sequence[Asked]) -> list[OpenRow]:
        """Resets an environment for each row; one that cannot be reset costs its row."""
        taken: dict[str | None, int] = defaultdict(int)
        environments = [self._take(row, taken) for row in rows]  # all are started before one is waited for
        return [self._open(row, environment) for row, environment in zip(rows, environments, strict=True)]

    def reopen(self, rows: Sequence[Asked], transcripts: Sequence[Transcript]) -> list[OpenRow]:
        """Opens rows behind transcripts: environments have had their calls, and calls to come are numbered on."""
        opened = self.open(rows)
        for each, transcript in zip(opened, transcripts, strict=True):
            if each.environment is not None and transcript.lost:
                each.environment._guard_lost = transcript.lost  # a call that hung would hang again
            elif each.environment is not None:
                for call in transcript.calls:
                    with suppress(Exception):  # as it was when the model called
                        each.tools[call.tool](**call.arguments)
            each.tools.calls[:] = transcript.calls
        return [each._replace(prompt=row.prompt) for each, row in zip(opened, transcripts, strict=True)]

    def behind(self, rows: Sequence[Mapping[str, Any]], transcripts: Sequence[Transcript]) -> list[Any]:
        """Returns the environment of each row as it was when its answer was finished, until others are opened."""
        asked = [Asked(row, each.seed) for row, each in zip(rows, transcripts, strict=True)]
        opened = [each.environment for each in self.reopen(asked, transcripts)]
        for environment in filter(None, opened):
            environment._guard_pays = True
        return opened

    def close(self) -> None:
        """Ends the processes."""
        processes = [process_of(tool) for tool in self.tools]
        processes += [each._guard_process for pool in self._instances.values() for each in pool]
        for process in filter(None, processes):
            process.close()

    def _take(self, asked: Asked, taken: dict[str | None, int]) -> GuardedEnvironment | None:
        """Returns an instance for a row, another one for each; None where there are tools alone."""
        row = asked.row
        if isinstance(row["prompt"], str):
            raise UserError(
                f"Prompt {row.get('id')!r} is a text, and the model is told of its tools where prompts are messages. "
                'Write `"prompt": [{"role": "user", "content": "..."}]`.'
            )
        if not self.environments:
            return None
        name = None if None in self.environments else row.get(ENVIRONMENT)
        if name not in self.environments:
            raise UserError(
                f"Row {row.get('id')!r} has `{ENVIRONMENT}: {name}`, and with several environments each row names "
                f"one: {', '.join(map(str, self.environments))}."
            )
        pool, place = self._instances[name], taken[name]
        taken[name] += 1
        if place == len(pool):
            pool.append(self.environments[name]())
        return pool[place]

    def _open(self, asked: Asked, environment: GuardedEnvironment | None) -> OpenRow:
        row, prompt = dict(asked.row), asked.row["prompt"]
        if environment is None:
            return OpenRow(prompt, RowTools(_by_name(self.tools), asked.seed), self.tools, None)
        if None not in self.environments:
            row.pop(ENVIRONMENT, None)
        environment._guard_seed, _, environment._guard_number = asked.seed.rpartition("/")
        prompt = _with_observation(prompt, environment.reset(**row))
        methods = [getattr(environment, method) for method in tool_methods(type(environment))]
        tools = RowTools(_by_name([*self.tools, *methods]), asked.seed)
        tools.lost = lost_by(environment)
        return OpenRow(prompt, tools, [*self.tools, *methods], environment)


def finish(row: OpenRow, **written: Any) -> Transcript:
    """Makes the transcript of a row that was answered, and has its environment reward it."""
    environment, lost, rewards = row.environment, row.tools.lost, {}
    if environment is not None:
        environment._guard_lost = environment._guard_lost or lost
        rewards = environment._guard_pay(ended(written["completion"]))
        lost = lost or environment._guard_lost
    return Transcript(
        prompt=row.prompt, calls=row.tools.calls, seed=row.tools.seed, lost=lost, rewards=rewards, **written
    )


class Answers(ABC):
    """Answers rows with tools, by the limits of training; `max_calls` is TRL's `max_tool_calling_iterations`."""

    fingerprint: str  # of the model, its tools and their limits: two with the same one give the same answers
    chunk_size: int  # rows that are answered, and kept, at once

    def __init__(self, toolbox: Toolbox, max_calls: int | None, chunk_size: int) -> None:
        self.toolbox, self.max_calls = toolbox, sys.maxsize if max_calls is None else max_calls
        self.chunk_size = min(chunk_size, AT_ONCE) if toolbox.environments else chunk_size

    def answer(self, rows: Sequence[Asked], decoding: Decoding) -> list[Transcript]:
        """Answers each row once; raises `UserError` if one has no answer."""
        return self._go_on(rows, self.toolbox.open(rows), None, decoding, self.max_calls)

    def continue_from(
        self,
        rows: Sequence[Asked],
        transcripts: Sequence[Transcript],
        results: Sequence[tuple[int, str]],
        decoding: Decoding,
        *,
        turns: int | None = 1,
    ) -> list[Transcript]:
        """Answers again what follows a result that reads otherwise; see `Transcript.up_to`.

        `decoding.max_new_tokens` are for what follows the result. With `turns` the model is asked so often at most,
        and the calls of the last turn stay without results; with None as often as for a whole transcript.
        """
        kept = [each.up_to(*result) for each, result in zip(transcripts, results, strict=True)]
        max_calls = self.max_calls if turns is None else turns - 1
        return self._go_on(rows, self.toolbox.reopen(rows, kept), kept, decoding, max_calls)

    @abstractmethod
    def _go_on(
        self,
        rows: Sequence[Asked],
        opened: Sequence[OpenRow],
        kept: Sequence[Transcript] | None,
        decoding: Decoding,
        max_calls: int,
    ) -> list[Transcript]:
        """Writes whole transcripts, or what is behind those that are kept."""


def _by_name(tools: Iterable[Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    return {tool.__name__: tool for tool in tools}


def _with_observation(prompt: list[Message], observed: Any) -> list[Message]:
    """Adds to the last message what `reset` returned."""
    if observed is None:
        return prompt
    content = prompt[-1]["content"]
    if type(content) is not type(observed):
        content, observed = (
            [{"type": "text", "text": each}] if isinstance(each, str) else each for each in (content, observed)
        )
    return [*prompt[:-1], {**prompt[-1], "content": content + observed}]
