import asyncio
from collections.abc import Sequence

from align.errors import UserError
from align.models.policies.answer_keys import digest
from align.models.policies.asking import Completion, Decoding, Prompt
from align.models.samplers.asking import map_concurrently
from align.models.samplers.sampler import Answer, Failure, Request, Sampler

ANY_TOKEN = 0  # an endpoint says how many tokens it wrote, and not which


class EndpointPolicy:
    """Answers by asking a server for one response at a time; `fingerprint` is the name and address of its model.

    Tokens of its completions are `ANY_TOKEN`, as many as the server counted; one that was cut off has as many as were
    asked for.
    """

    def __init__(self, sampler: Sampler, *, concurrency: int, num_samples: int) -> None:
        self.fingerprint = digest(["endpoint", dict(sampler.identity)])
        self.chunk_size = max(1, 2 * concurrency // num_samples)  # prompts whose answers are kept at once
        self._sampler, self._concurrency = sampler, concurrency

    def complete(self, prompts: Sequence[Prompt], decoding: Decoding) -> list[list[Completion]]:
        """Returns S responses to each prompt; raises `UserError` if one has none."""
        how = {name: getattr(decoding, name) for name in ("temperature", "top_p", "max_new_tokens")}
        seeds = [(each, sample) for each in prompts for sample in range(decoding.num_samples)]
        requests = [
            Request(each.content, int(digest([decoding.seed, each.id, sample])[:8], 16), **how)
            for each, sample in seeds
        ]
        found = [self._read(each, decoding.max_new_tokens) for each in asyncio.run(self._ask(requests))]
        return [found[i : i + decoding.num_samples] for i in range(0, len(found), decoding.num_samples)]

    async def _ask(self, requests: Sequence[Request]) -> list[Answer | Failure]:
        async with self._sampler.connect() as connection:
            return await map_concurrently(connection.answer, requests, self._concurrency)

    def _read(self, answer: Answer | Failure, limit: int) -> Completion:
        if isinstance(answer, Failure):
            raise UserError(no_answer(self._sampler, answer))
        tokens = limit if answer.cut_off else min(answer.completion_tokens, limit - 1)
        return Completion(answer.text, (ANY_TOKEN,) * tokens)


def no_answer(sampler: Sampler, failure: Failure) -> str:
    """Says that an evaluation cannot go on without an answer."""
    said = f" ({failure.detail})" if failure.detail else ""
    return (
        f"{sampler.name} left a request without an answer: {failure.reason}{said}. Give the same command again once "
        "it answers; what it answered before is kept."
    )
