"""Makes the pairs of a whole data set, pair beside pair."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from align.data.pairs.reward_pairs import RewardPair
from align.methods.crome.augmentation.family import Family
from align.methods.crome.augmentation.inserted import INSERTED, add_inserted_phrases
from align.methods.crome.augmentation.language_oracle import LanguageOracle
from align.methods.crome.augmentation.neutrals import SOURCE, add_irrelevant_queries
from align.methods.crome.augmentation.oracle import Oracle
from align.methods.crome.augmentation.pairs import make_family
from align.methods.crome.augmentation.settings import CromeSettings
from align.models.samplers.asking import Asker, SampledAnswers, map_concurrently
from align.models.samplers.progress import Bar, show_progress
from align.models.samplers.sampler import Sampler


@dataclass(frozen=True)
class Tokens:
    """What a model was paid for, answers of earlier runs included.

    Attributes:
        answers: Different answers that were used.
        prompt: Tokens that were read for them.
        completion: Tokens that were written.
    """

    answers: int = 0
    prompt: int = 0
    completion: int = 0


def augment_with_model(
    originals: Sequence[RewardPair], sampler: Sampler, cache: SampledAnswers, settings: CromeSettings, num_workers: int
) -> tuple[list[Family], Tokens]:
    """Lets a language model make the pairs.

    Args:
        originals: The pairs.
        sampler: Reaches the model.
        cache: Known answers; new ones are added the moment they come.
        settings: What is to be made.
        num_workers: Pairs that are worked on at once.

    Returns:
        One family per original, and what the answers took.

    Raises:
        SamplerError: If the model cannot be reached; what was answered is in the cache.
    """

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
