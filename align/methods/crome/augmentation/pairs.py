"""Makes causal and neutral pairs from preference pairs; after Crome, sections 3.4 and 4.1 of arXiv 2506.16507."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass

from align.data.pairs.reward_pairs import CAUSAL, RewardPair
from align.methods.crome.augmentation.family import Family, make_row
from align.methods.crome.augmentation.language_oracle import LanguageOracle
from align.methods.crome.augmentation.neutrals import INSERTED, SOURCE, add_inserted_phrases, add_irrelevant_queries
from align.methods.crome.augmentation.oracle import Attribute, Profile, UnansweredError
from align.methods.crome.augmentation.rules_oracle import RulesOracle
from align.methods.crome.augmentation.settings import CromeSettings
from align.models.samplers.asking import Asker, SampledAnswers, gather_all, map_concurrently
from align.models.samplers.progress import Bar, show_progress
from align.models.samplers.sampler import Sampler

Oracle = LanguageOracle | RulesOracle
NO_CHANGE, EMPTY = "the edit changes nothing", "the edit is empty"


async def make_family(original: RewardPair, oracle: Oracle, settings: CromeSettings) -> Family:
    """Makes everything that an oracle is needed for, from a pair with an order.

    A pair that cannot be made is left out and costs no other pair; a call that cannot be made costs those that build
    on it. A model that cannot be reached raises `SamplerError`.
    """
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
    if "paraphrase" in settings.neutrals:
        parts.append(await _make_paraphrase(original, oracle, settings.seed))
    if "causally_aligned" in settings.neutrals and family.profiles:
        parts.append(await _make_aligned(original, oracle, family.profiles))
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


async def _make_paraphrase(original: RewardPair, oracle: Oracle, seed: int) -> Family:
    """Says one of the two answers, drawn by seed, in other words."""
    part, source = Family(original), "paraphrase"
    question, *answers = part.case
    before = random.Random(f"{seed}/{source}/{original.id}").choice(answers)
    try:
        after = _dress(await oracle.paraphrase(question, before), before)
    except UnansweredError as error:
        part.leave_out(source, None, f"edit: {error.reason}", error.detail)
        return part
    if fault := _fault(before, after):
        part.leave_out(source, None, fault)
    else:
        part.add(source, None, (before, after), oracle.name, None)
    return part


async def _make_aligned(original: RewardPair, oracle: Oracle, profiles: Sequence[Profile]) -> Family:
    """Brings the rejected answer to the level of the chosen one."""
    part, source = Family(original), "causally_aligned"
    try:
        after = _dress(await oracle.align(part.case, profiles), original.rejected)
    except UnansweredError as error:
        part.leave_out(source, None, f"edit: {error.reason}", error.detail)
        return part
    if fault := _fault(original.rejected, after):
        part.leave_out(source, None, fault)
    else:
        part.add(source, None, (original.chosen, after), oracle.name, None)
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
        add_inserted_phrases(families, settings.phrases, settings.position, settings.seed)
    return families
