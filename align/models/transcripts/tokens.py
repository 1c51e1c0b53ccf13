"""Transcripts of a model whose tokens are read and written here: turns and calls are those of TRL's own loop."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from copy import deepcopy
from functools import cache
from types import SimpleNamespace
from typing import Any, Protocol

from align.errors import UserError
from align.models.policies.answer_keys import digest
from align.models.policies.asking import Decoding
from align.models.reading import rendering
from align.models.transcripts.stopping import StoppedByEnvironments
from align.models.transcripts.toolbox import Answers, OpenRow, Toolbox, finish
from align.models.transcripts.transcript import Asked, Transcript
from align.tools.calls import keep_odd_calls_as_text

FOR_TOOLS = (
    "Use a model that was trained to call tools, such as Qwen/Qwen3-0.6B, or write it a template "
    "(`chat_template.jinja` beside its tokenizer)."
)


class GoesOn(Protocol):
    """A policy that writes behind tokens."""

    fingerprint: str
    chunk_size: int
    tokenizer: Any
    window: int  # longest sequence that it reads
    ends: list[int]  # tokens that end a turn

    def drawing(self, seed: int) -> AbstractContextManager[None]:
        """Seeds what is drawn within, if one generator is for all rows."""

    def go_on(self, ids: Sequence[Sequence[int]], decoding: Decoding, names: Sequence[str]) -> list[list[int]]:
        """Returns what it writes behind each, with the end token if it came to one; `names` are seeds of the rows."""


class TokenTranscripts(Answers):
    """Answers rows with tools as a GRPO trainer of TRL's samples them: the same turns, limits, tokens and masks.

    `decoding.max_new_tokens` are for a whole completion, the results of tools included; a result that does not fit is
    taken back, and its completion ends with the call. `named` says what decides the answers of the tools, for a cache.
    """

    def __init__(
        self,
        policy: GoesOn,
        toolbox: Toolbox,
        *,
        max_calls: int | None = None,
        chat_template_kwargs: Mapping[str, Any] | None = None,
        named: Any = None,
    ) -> None:
        super().__init__(toolbox, max_calls, policy.chunk_size)
        self.policy, self._kwargs = policy, dict(chat_template_kwargs or {})
        try:
            self._template = reading_calls(policy.tokenizer)
            keep_odd_calls_as_text(policy.tokenizer)
        except ValueError as error:
            raise UserError(f"The chat template of {policy.tokenizer.name_or_path} {error}. {FOR_TOOLS}") from error
        template = self._template or policy.tokenizer.chat_template
        self.fingerprint = digest([policy.fingerprint, "tools", template, self._kwargs, max_calls, named])

    def _go_on(
        self,
        rows: Sequence[Asked],
        opened: Sequence[OpenRow],
        kept: Sequence[Transcript] | None,
        decoding: Decoding,
        max_calls: int,
    ) -> list[Transcript]:
        loop = self._loop(rows, opened, decoding, max_calls)
        begun: list[Any] = []
        if kept is None:
            with rendering(self.policy.tokenizer):
                prompt_ids, _, _ = loop._tokenize_prompts([row.prompt for row in opened])
            begun = [([], list(ids), [], []) for ids in prompt_ids]
        for each in kept or ():
            last = next(i for i in reversed(range(len(each.completion))) if each.completion[i]["role"] != "tool")
            suffix = loop._get_tool_suffix_ids(each.completion[last + 1 :])
            begun.append((each.completion, each.prompt_ids, each.ids + suffix, each.mask + [0] * len(suffix)))
        return self._write(loop, rows, opened, begun, decoding)

    def _loop(self, rows: Sequence[Asked], opened: Sequence[OpenRow], decoding: Decoding, max_calls: int) -> Any:
        def write(ids: list[list[int]]) -> list[list[int]]:
            names = [f"{rows[each.row].seed}/{len(each)}" for each in ids if isinstance(each, _RowIds)]
            return self.policy.go_on(ids, decoding, names)

        loop, policy = _trl_loop()(), self.policy
        loop.processing_class = loop._tokenizer = policy.tokenizer
        loop.chat_template, loop.chat_template_kwargs = self._template, self._kwargs
        loop.max_completion_length, loop.max_tool_calling_iterations = decoding.max_new_tokens, max_calls
        loop.model = SimpleNamespace(config=SimpleNamespace(max_position_embeddings=policy.window))
        loop._batch_environments, loop._env_tools = list(range(len(rows))), [list(row.told) for row in opened]
        loop._sync_tool_dicts, loop._async_tool_dicts = [row.tools for row in opened], [{} for _ in opened]
        loop.write, loop.environments = write, [row.environment for row in opened]
        return loop

    def _write(
        self, loop: Any, rows: Sequence[Asked], opened: Sequence[OpenRow], begun: Sequence[Any], decoding: Decoding
    ) -> list[Transcript]:
        """Writes what follows; of each row are begun: messages, tokens of the prompt, tokens behind it, their mask."""
        prompts = [deepcopy([*row.prompt, *messages]) for row, (messages, *_) in zip(opened, begun, strict=True)]
        asked: list[Any] = [_RowIds(place, [*before, *ids]) for place, (_, before, ids, _) in enumerate(begun)]
        with self.policy.drawing(batch_seed(rows, decoding)):
            first, _ = loop._generate_single_turn(asked, None, {}, 1)
            completions = loop.read(asked, first)
            masks, completions, written, *_ = loop._tool_call_loop(prompts, asked, first, completions, None, None, {})
        ends, found = (*self.policy.ends, self.policy.tokenizer.pad_token_id), []
        for row, (messages, prompt_ids, ids, mask), *new in zip(
            opened, begun, completions, written, masks, strict=True
        ):
            both = {"completion": [*messages, *new[0]], "ids": [*ids, *new[1]], "mask": [*mask, *new[2]]}
            cut_off = not row.is_over and (not new[1] or new[1][-1] not in ends)
            found.append(finish(row, prompt_ids=prompt_ids, cut_off=cut_off, **both))
        return found


def batch_seed(rows: Sequence[Asked], decoding: Decoding) -> int:
    """Returns the seed of what is drawn for rows that are answered at once."""
    return int(digest([decoding.seed, [row.seed for row in rows]])[:15], 16)


def reading_calls(tokenizer: Any) -> str | None:
    """Lets a tokenizer read calls, as TRL's trainer does; returns TRL's own chat template where it takes that.

    Raises `ValueError` whose text ends the sentence "The chat template ...".
    """
    from trl import add_response_schema, get_training_chat_template, supports_tool_calling
    from trl.chat_template_utils import is_chat_template_prefix_preserving

    if not tokenizer.chat_template:
        raise ValueError("is missing")
    if not supports_tool_calling(tokenizer):
        raise ValueError(
            "knows no tools: calls in a message of the assistant, or messages of the role `tool`, do not show up"
        )
    try:
        if not any(getattr(tokenizer, name, None) for name in ("response_template", "response_schema")):
            add_response_schema(tokenizer)
    except ValueError as error:
        raise ValueError(
            "writes calls that TRL cannot read back: its tokenizer has no `response_template`, and TRL does not know "
            "the template"
        ) from error
    try:
        return None if is_chat_template_prefix_preserving(tokenizer) else get_training_chat_template(tokenizer)
    except ValueError as error:
        raise ValueError(
            "rewrites earlier messages once the result of a tool follows, and TRL has no template in its place"
        ) from error


class _RowIds(list[int]):
    """Tokens that know their row, also with others behind them."""

    def __init__(self, row: int, ids: Sequence[int]) -> None:
        super().__init__(ids)
        self.row = row

    def __add__(self, other: Any) -> Any:
        return _RowIds(self.row, [*self, *other])


@cache
def _trl_loop() -> type:
    from trl import GRPOTrainer
    from trl.chat_template_utils import parse_response

    suffix_ids: Callable[..., Any] = GRPOTrainer._get_tool_suffix_ids

    class Turns:
        """What TRL's loop of calls reads of a trainer."""

        environment_factories: Mapping[str, Any] = {}  # not None: each row has tools of its own
        use_vllm = _is_vlm = False
        tools: Sequence[Any] = ()

        processing_class: Any
        _tokenizer: Any
        _env_tools: list[list[Any]]
        write: Callable[[list[list[int]]], list[list[int]]]

        _tokenize_prompts = GRPOTrainer._tokenize_prompts
        _tool_call_loop = GRPOTrainer._tool_call_loop

        def _get_tool_suffix_ids(self, tool_messages: list[Any]) -> Any:
            with rendering(self.processing_class):
                return suffix_ids(self, tool_messages)

        def _generate_single_turn(
            self, prompt_ids: Any, images: Any, fields: Any, num_generations: int, has_tool_images: bool = False
        ) -> tuple[list[list[int]], None]:
            if has_tool_images:
                raise UserError("A tool returned an image, and this policy reads text only. Have it return a text.")
            return self.write(prompt_ids), None

        def read(self, prompt_ids: Sequence[list[int]], written: Sequence[list[int]]) -> list[list[Any]]:
            """Reads the messages of first turns."""
            rows = zip(prompt_ids, written, self._env_tools, strict=True)
            return [[parse_response(self._tokenizer, ids, prefix=before, tools=told)] for before, ids, told in rows]

    return type("Loop", (StoppedByEnvironments, Turns), {})
