"""Makes causal and neutral pairs from preference pairs; after Crome, sections 3.4 and 4.1 of arXiv 2506.16507."""

import asyncio
import json
import random
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from align.data.pairs.reward_pairs import CAUSAL, RewardPair
from align.methods.crome.augmentation.family import (
    INSERTED,
    SOURCE,
    CromeSettings,
    Family,
    add_inserted_phrases,
    add_irrelevant_queries,
    make_row,
)
from align.methods.crome.augmentation.oracle import (
    NUM_ATTRIBUTES,
    NUM_ELEMENTS,
    Attribute,
    Differences,
    Edit,
    Elements,
    FullRubric,
    Profile,
    UnansweredError,
    Verdict,
)
from align.methods.crome.augmentation.oracles import ERROR, NUM_RETRIES, LanguageOracle, RulesOracle
from align.models.samplers.asking import Asker, SampledAnswers, gather_all, map_concurrently
from align.models.samplers.progress import Bar, show_progress
from align.models.samplers.reply import Reply
from align.models.samplers.sampler import CHARACTERS_PER_TOKEN, Answer, Failure, Request, Sampler

Oracle = LanguageOracle | RulesOracle
NO_CHANGE, EMPTY = "the edit changes nothing", "the edit is empty"


async def make_family(original: RewardPair, oracle: Oracle, settings: CromeSettings) -> Family:
    """Makes all that an oracle is needed for; a pair that cannot be made costs no other, a call what builds on it."""
    family = Family(original)
    family.rows.append(make_row(original, original.id, original.source, (original.chosen, original.rejected)))
    try:
        attributes = (await oracle.rubric(family.case))[: settings.num_attributes]
    except UnansweredError as error:
        for source in (*CAUSAL, *(kind for kind in settings.neutrals if kind == "causally_aligned")):
            family.leave_out(source, None, f"rubric: {error.reason}", error.detail)
        attributes = []
    parts = await gather_all(_make_causal(family.original, oracle, attribute) for attribute in attributes)
    family.profiles = [part.profiles[0] for part in parts]
    question, chosen, rejected = family.case
    if (source := "paraphrase") in settings.neutrals:  # of an answer drawn by seed
        before = random.Random(f"{settings.seed}/{source}/{original.id}").choice([chosen, rejected])
        parts.append(await _make_tie(family, source, before, before, oracle.paraphrase(question, before), oracle))
    if (source := "causally_aligned") in settings.neutrals and family.profiles:
        aligned = oracle.align(family.case, family.profiles)
        parts.append(await _make_tie(family, source, chosen, rejected, aligned, oracle))
    for part in parts:
        family.take(part)
    return family


async def _make_causal(original: RewardPair, oracle: Oracle, attribute: Attribute) -> Family:
    """Upgrades the rejected and degrades the chosen answer in one attribute."""
    part, profile = Family(original), Profile(attribute)
    part.profiles = [profile]
    try:
        profile = Profile(attribute, await oracle.elements(part.case, attribute))
    except UnansweredError as error:
        for source in CAUSAL:
            part.leave_out(source, profile, f"elements: {error.reason}", error.detail)
        return part
    part.profiles = [profile]
    for edited in await gather_all(_edit(original, oracle, profile, direction) for direction in CAUSAL):
        part.rows += edited.rows
        part.left_out += edited.left_out
    return part


async def _edit(original: RewardPair, oracle: Oracle, profile: Profile, direction: str) -> Family:
    part = Family(original)
    question, chosen, rejected = part.case
    before = rejected if direction == "upgrade" else chosen
    step, after = "edit", ""
    try:
        after = _dress(await oracle.edit(question, before, profile, direction), before)
        if fault := _fault(before, after):
            part.leave_out(direction, profile, fault)
            return part
        step = "verification"
        verdict = await oracle.verify(question, before, after, profile.attribute, direction)
    except UnansweredError as error:
        part.leave_out(direction, profile, f"{step}: {error.reason}", error.detail, after)
        return part
    if verdict.verdict == "fail":
        part.leave_out(direction, profile, "verification: fail", verdict.reason, after)
    else:
        answers = (after, before) if direction == "upgrade" else (before, after)
        part.add(direction, profile, answers, oracle.name, oracle.name)
    return part


async def _make_tie(
    family: Family, source: str, first: str, before: str, answered: Awaitable[str], oracle: Oracle
) -> Family:
    """Puts what an oracle makes of an answer beside another answer, or beside that one, of which none is better."""
    part = Family(family.original)
    try:
        after = _dress(await answered, before)
    except UnansweredError as error:
        part.leave_out(source, None, f"edit: {error.reason}", error.detail)
        return part
    if fault := _fault(before, after):
        part.leave_out(source, None, fault)
    else:
        part.add(source, None, (first, after), oracle.name, None)
    return part


def _dress(after: str, before: str) -> str:
    """Puts the space around an answer around the one made from it, so that space tells no edit from an original."""
    start = len(before) - len(before.lstrip())
    return f"{before[:start]}{after.strip()}{before[len(before.rstrip()) :]}"


def _fault(before: str, after: str) -> str:
    """Says why a new answer is none; empty if it is one."""
    if not after.strip():
        return EMPTY
    return NO_CHANGE if after == before else ""


@dataclass(frozen=True)
class Tokens:
    """What a model was paid for, answers of earlier runs included."""

    answers: int = 0  # different ones that were used
    prompt: int = 0  # tokens that were read
    completion: int = 0  # tokens that were written


def augment_with_model(
    originals: Sequence[RewardPair], sampler: Sampler, cache: SampledAnswers, settings: CromeSettings, num_workers: int
) -> tuple[list[Family], Tokens]:
    """Has a language model make one family per original, and keeps every answer in the cache the moment it comes."""

    async def work(bar: Bar) -> tuple[list[Family], Tokens]:
        async with sampler.connect() as connection:
            asker = Asker(sampler, connection, cache, bar)
            oracle = LanguageOracle(asker, sampler.name, settings)
            families = await _make_families(originals, oracle, settings, num_workers, bar)
        return families, Tokens(asker.num_used, asker.num_prompt_tokens, asker.num_completion_tokens)

    with show_progress("pairs", total=len(originals)) as bar:
        families, tokens = asyncio.run(work(bar))
    return _finish(families, settings), tokens


def augment_with_rules(originals: Sequence[RewardPair], oracle: Oracle, settings: CromeSettings) -> list[Family]:
    """Lets rules make the pairs, one after the other."""
    families = asyncio.run(_make_families(originals, oracle, settings, num_workers=1, bar=None))
    return _finish(families, settings)


async def _make_families(
    originals: Sequence[RewardPair], oracle: Oracle, settings: CromeSettings, num_workers: int, bar: Bar | None
) -> list[Family]:
    async def make(original: RewardPair) -> Family:
        family = await make_family(original, oracle, settings)
        if bar is not None:
            bar.advance()
        return family

    return await map_concurrently(make, originals, num_workers)


def _finish(families: list[Family], settings: CromeSettings) -> list[Family]:
    if SOURCE in settings.neutrals:
        add_irrelevant_queries(families, settings.seed, settings.ties_of)
    if INSERTED in settings.neutrals:
        add_inserted_phrases(families, settings.phrases, settings.seed)
    return families


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
    """Counts what a run would ask, and what it knows already, if every reply is usable and every edit verified."""
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
