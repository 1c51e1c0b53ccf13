"""Asks models with tools: those of a recipe or of a command, opened for one model after the other."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import MethodType
from typing import Any

import numpy as np

from align.data.conversations import write_response
from align.data.prompt_rows import PromptRow, prompts_to_rows
from align.errors import UserError
from align.evaluation.asking import KeptAnswers
from align.evaluation.statistics.metrics import Values
from align.models.policies.answer_keys import digest
from align.models.policies.asking import Decoding
from align.models.transcripts.toolbox import Answers, Toolbox
from align.models.transcripts.transcript import Asked, Transcript
from align.recipe.problems import one_line
from align.tools.calls import ended
from align.tools.described import ENTRY, Described
from align.tools.environments import (
    Rubric,
    check_name,
    describe,
    host_environment,
    is_environment,
    scores_by_name,
    source_of,
)
from align.tools.guarded import Limits
from align.tools.named import Spec, named_by, tool_methods


@dataclass(frozen=True)
class NamedTools:
    """Tools and environments by name, and how they may be called; false where none is named."""

    tools: Sequence[Spec] = ()
    environments: Mapping[str | None, Spec] | None = None
    hosted: str | None = None  # an environment of others, `verifiers:NAME`
    limits: Limits = field(default_factory=Limits)
    max_calls: int | None = None  # turns that may call, TRL's `max_tool_calling_iterations`
    template: Mapping[str, Any] | None = None  # `chat_template_kwargs`

    def __bool__(self) -> bool:
        return bool(self.tools or self.environments or self.plays)

    @property
    def is_named(self) -> bool:
        """Whether anything is named, also an environment of others that only rewards."""
        return bool(self.tools or self.environments or self.hosted)

    @property
    def plays(self) -> bool:
        """Whether the environment of others has tools, and so a process for each answer."""
        return self.described is not None and bool(self.described.tools)

    @cached_property
    def described(self) -> Described | None:
        """What the environment of others is made of; raises `UserError` if it cannot be used."""
        with _as_user_errors():
            return None if self.hosted is None else describe(self.hosted, self.limits)

    @property
    def weights(self) -> dict[str, float]:
        """The rewards of the environment of others, and their weights."""
        return dict(self.described.rewards) if self.described else {}

    @classmethod
    def of_recipe(cls, recipe: Any) -> "NamedTools":
        """Reads what a recipe names; of methods without tools that is nothing."""
        settings: Any = getattr(recipe, "settings", None)
        if not any(getattr(settings, name, None) for name in ("tools", "environment_factory", "environment")):
            return cls()
        hosted, limits = getattr(settings, "environment", None), Limits(settings.tool_timeout, settings.tool_memory_gb)
        calls, template = settings.max_tool_calling_iterations, settings.chat_template_kwargs
        return cls(*named_by(recipe), hosted, limits, calls, template)

    def told(
        self, tools: Sequence[str], environment: str | None, seconds: float | None, max_calls: int | None
    ) -> "NamedTools":
        """Replaces what a command says, whose paths are relative to where it is given."""
        for name, value in (("tool_timeout", seconds), ("max_tool_calling_iterations", max_calls)):
            if value is not None and not value > 0:
                raise UserError(f"`{name}` must be above 0, got {value}.")
        found: dict[str, Any] = {} if max_calls is None else {"max_calls": max_calls}
        if seconds is not None:
            found["limits"] = replace(self.limits, seconds=seconds)
        if tools or environment is not None:
            found |= {"tools": [Spec(each, Path.cwd()) for each in tools], "environments": {}, "hosted": None}
        if environment is not None and is_environment(environment):
            with _as_user_errors():
                check_name(environment)
            found["hosted"] = environment
        elif environment is not None:
            found["environments"] = {None: Spec(environment, Path.cwd())}
        return replace(self, **found)

    @cached_property
    def content(self) -> list[Any]:
        """What decides the answers of the tools, as far as files say it: an answer is kept under it."""
        specs = [*self.tools, *(self.environments or {}).values()]
        files = [(each.base_dir or Path()) / each.spec.rpartition(":")[0] for each in specs]
        texts = [path.read_text(encoding="utf-8", errors="replace") if path.is_file() else "" for path in files]
        names = [[str(name), spec.spec] for name, spec in (self.environments or {}).items()]
        own = [[each.spec for each in self.tools], names, digest(texts), list(vars(self.limits).values())]
        if self.hosted is None or self.described is None:
            return own
        return [*own, self.hosted, list(self.described._replace(megabytes=0)), digest(source_of(self.hosted))]

    def toolbox(self) -> Toolbox:
        """Finds and guards them; whoever asks for it closes it."""
        from transformers.utils.chat_template_utils import get_json_schema

        with _as_user_errors():
            found = Toolbox.of_specs(self.tools, self.environments or {}, self.limits)
            if self.hosted is not None and self.plays:
                found.environments[None] = host_environment(self.hosted, self.limits)
        kinds = found.environments.values()
        told: list[Any] = [MethodType(each, kind) for kind in kinds for each in tool_methods(kind).values()]
        for tool in [*found.tools, *told]:
            try:
                get_json_schema(tool)
            except Exception as error:  # whatever its signature and docstring lead to
                raise UserError(
                    f"Tool `{tool.__name__}` cannot be described to the model: {one_line(error)} Write a line on what "
                    "it does, `Args:` with a line for each argument, and type hints."
                ) from error
        return found

    def answers(self, toolbox: Toolbox, policy: Any, sampler: Any = None) -> Answers:
        """Gives them to a policy, or in its place to what a `sampler` reaches."""
        from align.models.transcripts.endpoint import EndpointTranscripts
        from align.models.transcripts.tokens import TokenTranscripts

        how: dict[str, Any] = {"max_calls": self.max_calls, "named": self.content}
        if sampler is not None:
            return EndpointTranscripts(sampler, toolbox, **how)
        return TokenTranscripts(policy, toolbox, chat_template_kwargs=self.template, **how)

    def pay(
        self, prompts: Sequence[PromptRow], completions: Sequence[Sequence[Any]], workers: int = 1
    ) -> dict[str, Values]:
        """Returns what environments say of `(N, S)` answers, by reward; nan where they say nothing.

        One with tools said it when an answer was finished; one without is asked now, in `workers` processes.
        """
        size, flat = len(completions[0]), [each for group in completions for each in group]
        if self.hosted is not None and not self.plays:
            rows = [row for row in prompts_to_rows(prompts) for _ in range(size)]
            said = [ended(said_to(row["prompt"], each)[1]) for row, each in zip(rows, flat, strict=True)]
            rubric = Rubric(self.hosted, self.limits, workers)
            with closing(rubric):
                found = rubric.score(said, [row[ENTRY] for row in rows])
            paid = [scores_by_name(tuple(self.weights), each) for each in found]
        else:
            paid = [each.rewards for each in flat if isinstance(each, Transcript)]
        names = dict.fromkeys(name for each in paid for name in each)
        tables = {name: np.array([each.get(name) for each in paid], dtype=float) for name in names}
        return {name: table.reshape(-1, size) for name, table in tables.items()}


@contextmanager
def _as_user_errors() -> Iterator[None]:
    """Raises as `UserError` what is wrong with a name, or with what it names."""
    try:
        yield
    except ValueError as error:
        raise error if isinstance(error, UserError) else UserError(str(error)) from error


def check_entries(named: NamedTools, prompts: Sequence[PromptRow]) -> None:
    """Refuses rows from which an environment of others does not know what is asked."""
    without = next((row.id for row in prompts if ENTRY not in row.columns), None)
    if named.hosted is not None and without is not None:
        raise UserError(
            f"Row {without!r} has no column `{ENTRY}`, from which the environment knows what is asked. Give `--data "
            f"{named.hosted}`, with `--split eval` for its rows of evaluation."
        )


def said_to(prompt: Any, completion: Any) -> tuple[Any, Any]:
    """Returns prompt and completion as rewards get them."""
    if isinstance(completion, Transcript):
        return completion.prompt, ended(completion.completion)
    return prompt, write_response(completion.text, prompt)


def answer_prompts(
    answers: Answers, prompts: Sequence[PromptRow], decoding: Decoding, kept: KeptAnswers
) -> list[list[Transcript]]:
    """Returns S transcripts of each prompt; those that are kept are not asked for again."""
    if with_images := next((row.id for row in prompts if row.images), None):
        raise UserError(f"Prompt {with_images!r} has images, and answers with tools are texts. Leave such rows out.")
    size, once = decoding.num_samples, asdict(replace(decoding, num_samples=1))
    rows = [
        Asked(row, f"{decoding.seed}/{row['id']}/{sample}")
        for row in prompts_to_rows(prompts)
        for sample in range(size)
    ]

    def ask(part: list[int]) -> list[Any]:
        return [each.to_json() for each in answers.answer([rows[i] for i in part], decoding)]

    seen = [json.loads(json.dumps(row.row, default=str)) for row in rows[::size]]
    contents = [[answers.fingerprint, "transcripts", seen[i // size], row.seed, once] for i, row in enumerate(rows)]
    lengths = [len(str(row.row["prompt"])) for row in rows]
    before = kept.num_cached
    found = kept.ask("answering with tools", ask, contents, lengths, answers.chunk_size)
    kept.num_cached = before + (kept.num_cached - before) // size  # prompts, as without tools
    done = [Transcript.from_json(each) for each in found]
    return [done[i : i + size] for i in range(0, len(done), size)]
