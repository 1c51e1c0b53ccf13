"""Makes causal and neutral pairs from preference pairs; after Crome, sections 3.4 and 4.1 of arXiv 2506.16507."""

import random
from collections.abc import Sequence

from align.data.pairs.reward_pairs import CAUSAL, RewardPair
from align.methods.crome.augmentation.family import Family, make_row
from align.methods.crome.augmentation.oracle import Oracle, Profile, UnansweredError
from align.methods.crome.augmentation.replies import Attribute
from align.methods.crome.augmentation.settings import CromeSettings
from align.models.samplers.asking import gather_all

NO_CHANGE, EMPTY = "the edit changes nothing", "the edit is empty"


async def make_family(original: RewardPair, oracle: Oracle, settings: CromeSettings) -> Family:
    """Makes everything that an oracle is needed for.

    A pair that cannot be made is left out and costs no other pair; a call that cannot be made costs those that build
    on it.

    Args:
        original: A pair with an order.
        oracle: Knows what counts and edits.
        settings: What is to be made.

    Raises:
        SamplerError: If the oracle's model cannot be reached.
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
