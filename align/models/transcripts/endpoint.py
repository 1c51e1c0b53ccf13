"""Transcripts of a model behind a server, which reads the conversation and writes the calls."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transformers.utils.chat_template_utils import get_json_schema

from align.data.conversations import Message
from align.errors import UserError
from align.models.policies.answer_keys import digest
from align.models.policies.asking import Decoding
from align.models.policies.endpoint_policy import ANY_TOKEN, no_answer
from align.models.samplers.asking import map_concurrently
from align.models.samplers.endpoint import EndpointSampler
from align.models.samplers.sampler import Answer, Answering, Failure, Request
from align.models.transcripts.stopping import ends
from align.models.transcripts.toolbox import Answers, OpenRow, Toolbox, finish
from align.models.transcripts.transcript import Asked, Transcript
from align.tools.calls import is_deep, process_of, with_arguments_as_text


@dataclass
class _Written:
    """What was said so far, by messages and by the number of tokens, as the server counts them."""

    completion: list[Message]
    mask: list[int]
    prompt_tokens: int = 0
    cut_off: bool = False


class EndpointTranscripts(Answers):
    """Answers rows with tools by asking a server turn by turn; limits are those of training, in the server's tokens.

    Whether results fit is known once the server has counted them: one that does not is taken back, and what was said
    behind it is dropped.
    """

    def __init__(
        self, sampler: EndpointSampler, toolbox: Toolbox, *, max_calls: int | None = None, named: Any = None
    ) -> None:
        super().__init__(toolbox, max_calls, 2 * sampler.concurrency)
        self._sampler, self._concurrency = sampler, sampler.concurrency
        self.fingerprint = digest(["endpoint", dict(sampler.identity), "tools", max_calls, named])
        self._locks: dict[Any, asyncio.Lock] = {}

    def _go_on(
        self,
        rows: Sequence[Asked],
        opened: Sequence[OpenRow],
        kept: Sequence[Transcript] | None,
        decoding: Decoding,
        max_calls: int,
    ) -> list[Transcript]:
        begun = [_Written(list(each.completion), [*each.mask, 0]) for each in kept or ()]
        begun = begun if kept else [_Written([], []) for _ in rows]

        async def ask() -> None:
            self._locks = defaultdict(asyncio.Lock)
            async with self._sampler.connect() as connection:

                async def one(place: int) -> None:
                    await self._take(connection, rows[place].seed, opened[place], begun[place], decoding, max_calls)

                await map_concurrently(one, range(len(rows)), self._concurrency)

        asyncio.run(ask())
        return [
            finish(
                row,
                completion=each.completion,
                prompt_ids=[ANY_TOKEN] * each.prompt_tokens,
                ids=[ANY_TOKEN] * len(each.mask),
                mask=each.mask,
                cut_off=each.cut_off,
            )
            for row, each in zip(opened, begun, strict=True)
        ]

    async def _take(
        self, connection: Answering, seed: str, row: OpenRow, written: _Written, decoding: Decoding, max_calls: int
    ) -> None:
        """Asks the model until it calls no more, or may not."""
        schemas = tuple(get_json_schema(tool) for tool in row.told)
        room, completion = decoding.max_new_tokens, written.completion
        before: int | None = None  # messages to which results are taken back
        while True:
            number = int(digest([decoding.seed, seed, len(completion)])[:8], 16)
            messages = with_arguments_as_text([*row.prompt, *completion])
            answer = await connection.answer(
                Request(messages, number, decoding.temperature, decoding.top_p, room, tools=schemas)
            )
            if isinstance(answer, Failure):
                raise UserError(no_answer(self._sampler, answer))
            if before is None:
                written.prompt_tokens = max(answer.prompt_tokens - len(written.mask), 0)
            else:  # behind results, whose tokens the server has counted by now
                told = max(answer.prompt_tokens - written.prompt_tokens - len(written.mask), 1)
                if told > room:
                    del completion[before:]
                    return
                written.mask += [0] * told
                room -= told
                written.cut_off = room == 0
                if written.cut_off:
                    return
            tokens = min(max(answer.completion_tokens, 1), room)
            completion.append(_message(answer))
            written.mask += [1] * tokens
            written.cut_off = answer.cut_off or answer.completion_tokens > room
            room, before, asked = room - tokens, len(completion), completion[-1].get("tool_calls")
            if max_calls == 0 or not asked or room <= 0:
                return
            max_calls -= 1
            for call in asked:
                completion.append(await self._call(row, call))
            if await asyncio.to_thread(ends, row.environment, completion):
                return

    async def _call(self, row: OpenRow, call: Mapping[str, Any]) -> Message:
        """Calls a tool in a thread; one process is asked one thing at a time."""
        name, arguments = str(call["function"].get("name")), call["function"].get("arguments")
        async with self._locks[id(process_of(dict(row.tools).get(name)))]:
            try:
                if not isinstance(arguments, Mapping):
                    raise TypeError(f"the arguments of {name} are no JSON object: {arguments!r:.200}")
                result = await asyncio.to_thread(row.tools[name], **arguments)
            except Exception as error:  # whatever a tool raises is told to the model, as TRL does
                result = {"error": str(error)}
        answered = {"role": "tool", "name": name, "content": result if isinstance(result, list) else str(result)}
        return answered | ({"tool_call_id": call["id"]} if call.get("id") else {})


def _message(answer: Answer) -> Message:
    """Makes the message of a turn in the form that TRL reads from tokens: arguments are objects where they can be."""
    message: Message = {"role": "assistant", "content": answer.text}
    if answer.calls:
        message["tool_calls"] = [
            {"type": "function", **each, "function": _read(each["function"])} for each in answer.calls
        ]
    return message


def _read(function: Mapping[str, Any]) -> dict[str, Any]:
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments or "{}")
        except (ValueError, RecursionError):
            return dict(function)
        if is_deep(arguments):
            return dict(function)
    return {**function, "arguments": arguments}
