"""What a run would cost, found by walking through it with replies of the usual length in place of unknown ones."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from align.data.pairs.reward_pairs import RewardPair
from align.methods.crome.augmentation.language_oracle import ERROR, NUM_RETRIES, LanguageOracle
from align.methods.crome.augmentation.oracle import (
    NUM_ATTRIBUTES,
    NUM_ELEMENTS,
    Differences,
    Edit,
    Elements,
    FullRubric,
    UnansweredError,
    Verdict,
)
from align.methods.crome.augmentation.pairs import make_family
from align.methods.crome.augmentation.settings import CromeSettings
from align.models.samplers.asking import Asker, SampledAnswers, map_concurrently
from align.models.samplers.reply import Reply
from align.models.samplers.sampler import CHARACTERS_PER_TOKEN, Answer, Failure, Request, Sampler

UNKNOWN = "not asked yet"
SENTENCE = "It says in plain words what matters here, and why it matters to the one who asks."
AGAIN_TOKENS = 100  # of the words that ask for a reply once more
# Replies that stand in the prompt of a step, each up to `max_new_tokens` long; the attribute is from the rubric's.
REPLIES_IN_PROMPT = {"rubric": 0, "elements": 1, "edit": 2, "check": 2, "paraphrase": 0, "align": 1}
R = TypeVar("R", bound=Reply)


class Cost:
    """Calls and tokens, about and at most."""

    def __init__(self, settings: CromeSettings) -> None:
        self._longest = settings.max_new_tokens
        self._in_differences = settings.num_attributes + 1
        self._seen: set[int] = set()
        self.num_known = 0
        self.num_calls = self.prompt_tokens = self.reply_tokens = 0
        self.most_calls = self.most_prompt_tokens = self.most_reply_tokens = 0

    def count(self, step: str, request: Request, reply: str) -> None:
        """Counts a call, once however often it comes up; `reply` is what the answer may look like."""
        name = hash(json.dumps(request.prompt))
        if name in self._seen:
            return
        self._seen.add(name)
        attempts, longest = NUM_RETRIES + 1, self._longest
        num_replies = REPLIES_IN_PROMPT.get(step, self._in_differences)
        self.num_calls += 1
        self.prompt_tokens += request.estimated_tokens
        self.reply_tokens += min(longest, len(reply) // CHARACTERS_PER_TOKEN + 1)
        self.most_calls += attempts
        self.most_reply_tokens += attempts * longest
        first = request.estimated_tokens + num_replies * longest
        self.most_prompt_tokens += sum(first + i * (longest + AGAIN_TOKENS) for i in range(attempts))


def plan_cost(
    originals: Sequence[RewardPair], sampler: Sampler, cache: SampledAnswers | None, settings: CromeSettings
) -> Cost:
    """Counts what a run would ask, and what it knows already; nothing is asked.

    Every reply counts as usable and every edit as verified, so that no run takes more calls but for repeated ones.
    """
    cost = Cost(settings)
    asker = Asker(sampler, _Silent(), cache)
    oracle = _PlanningOracle(asker, sampler.name, settings, cost)
    asyncio.run(map_concurrently(lambda original: make_family(original, oracle, settings), originals, 1))
    cost.num_known = asker.num_used
    return cost


class _Silent:
    """A connection that leads nowhere."""

    async def answer(self, request: Request) -> Answer | Failure:
        return Failure(UNKNOWN)


class _PlanningOracle(LanguageOracle):
    def __init__(self, asker: Asker, name: str, settings: CromeSettings, cost: Cost) -> None:
        super().__init__(asker, name, settings)
        self._cost = cost

    async def _ask(self, kind: type[R], step: str, **about: Any) -> R:
        request = self._request(step, **about)
        try:
            return await self._resolve(kind, request)
        except UnansweredError as error:
            if error.reason != f"{ERROR}: {UNKNOWN}":
                raise
        reply = json.dumps(_usual(kind, about))
        self._cost.count(step, request, reply)
        return kind.read(reply)


def _usual(kind: type[Reply], about: Mapping[str, Any]) -> dict[str, Any]:
    """Makes up a reply; a new answer is about as long as the one it is made from."""
    if kind is FullRubric:
        each = {"description": SENTENCE, "weight": 1 / NUM_ATTRIBUTES}
        return {"attributes": [{"name": f"an attribute, number {i}"} | each for i in range(NUM_ATTRIBUTES)]}
    if kind is Elements:
        return {"elements": [{"element": SENTENCE, "direction": "increases"}] * NUM_ELEMENTS}
    if kind is Verdict:
        return {"reason": 2 * SENTENCE, "verdict": "pass"}
    if kind is Differences:
        return {"differences": [{"attribute": "an attribute", "difference": 2 * SENTENCE}] * len(about["profiles"])}
    assert kind is Edit
    step = f"({about['direction']} of {about['attribute'].name})" if "attribute" in about else "(in other words)"
    return {"plan": 2 * SENTENCE, "response": f"{about.get('answer') or about['rejected']} {step}"}
