"""Asks a sampler only what is not known yet, and keeps every answer the moment it comes."""

from collections.abc import Sequence
from typing import NamedTuple

from align.models.samplers.cache import SampledAnswers, answer_key
from align.models.samplers.progress import show_progress
from align.models.samplers.sampler import Answer, Failure, Request, Sampler


class Plan(NamedTuple):
    """What asking would cost."""

    num_unknown: int  # calls
    num_known: int
    prompt_tokens: int  # estimated, of the calls' texts
    max_completion_tokens: int
    num_images: int  # that the calls would send; what they cost in tokens is the model's own affair


def plan_requests(sampler: Sampler, requests: Sequence[Request], cache: SampledAnswers | None) -> Plan:
    """Counts what would be sent and about how many tokens that is; without a cache nothing is known."""
    asked = _by_key(sampler, requests)
    unknown = [each for key, each in asked.items() if cache is None or cache.find(key) is None]
    return Plan(
        num_unknown=len(unknown),
        num_known=len(asked) - len(unknown),
        prompt_tokens=sum(request.estimated_tokens for request in unknown),
        max_completion_tokens=sum(request.max_new_tokens for request in unknown),
        num_images=sum(len(request.images) for request in unknown),
    )


def ask(
    sampler: Sampler, requests: Sequence[Request], cache: SampledAnswers, description: str
) -> list[Answer | Failure]:
    """Answers requests from the cache where it can and from the sampler otherwise; equal ones are asked once.

    Args:
        sampler: Reaches the model.
        requests: What is asked.
        cache: Known answers; new ones are added one by one.
        description: Names the work beside its progress bar, on stderr.

    Returns:
        One answer or failure per request, in their order.

    Raises:
        SamplerError: If the sampler could not go on.
    """
    found: dict[str, Answer | Failure] = {}
    unknown: dict[str, Request] = {}
    for key, request in _by_key(sampler, requests).items():
        answer = cache.find(key)
        if answer is None:
            unknown[key] = request
        else:
            found[key] = answer
    if unknown:
        keys = list(unknown)
        with show_progress(description, total=len(keys)) as bar:

            def keep(i: int, result: Answer | Failure) -> None:
                if isinstance(result, Answer):
                    cache.keep(keys[i], result)
                    bar.count(result)
                found[keys[i]] = result
                bar.advance()

            sampler.sample(list(unknown.values()), keep)
    return [found[answer_key(sampler.identity, request)] for request in requests]


def _by_key(sampler: Sampler, requests: Sequence[Request]) -> dict[str, Request]:
    return {answer_key(sampler.identity, request): request for request in requests}
