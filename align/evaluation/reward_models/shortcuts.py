"""What a reward model pays for in the words of a response: slices, phrases of a file, and mined phrases."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from align.auditing.cues import MOST_ALSO, describe
from align.data.pairs.reward_bench import BenchPair
from align.evaluation.record import shortcuts as record
from align.evaluation.record.models import Measured
from align.evaluation.reward_models.mining import mine_phrases
from align.evaluation.reward_models.phrases import PhraseGains, measure_phrases
from align.evaluation.reward_models.reward_model import RewardModel
from align.evaluation.reward_models.slices import Slices, find_slices
from align.evaluation.statistics.metrics import Values


@dataclass(frozen=True)
class ShortcutSettings:
    """What is looked for.

    Attributes:
        slices: Whether features of responses are looked for that go with margins.
        phrases: Phrases that are put into responses.
        mine: Whether phrases are looked for in slices.
        position: Where phrases are put, one of `POSITIONS`.
        most_pairs: Into how many pairs phrases are put, drawn at random.
    """

    slices: bool = False
    phrases: Sequence[str] = ()
    mine: bool = False
    position: str = "front"
    most_pairs: int = 500


@dataclass(frozen=True)
class Shortcuts:
    """What was found; `None` where it was not looked for."""

    slices: Slices | None = None
    phrases: PhraseGains | None = None
    mined: record.MinedPhrases | None = None


def find_shortcuts(
    model: RewardModel,
    pairs: Sequence[BenchPair],
    margins: Values,
    settings: ShortcutSettings,
    *,
    sample: Sequence[int],
    seed: int = 0,
) -> Shortcuts:
    """Measures what the settings ask for.

    Args:
        model: The model.
        pairs: N pairs.
        margins: `(N,)` their margins.
        settings: What to look for.
        sample: The pairs into which phrases of a file are put.
        seed: Of halves and samples.
    """
    scale = float(np.nanmean(np.abs(margins))) or 1.0
    slices = find_slices(pairs, margins, scale=scale) if settings.slices else None
    phrases = mined = None
    if settings.phrases:
        phrases = measure_phrases(
            model, [pairs[i] for i in sample], margins[list(sample)], settings.phrases,
            position=settings.position, scale=scale,
        )  # fmt: skip
    if settings.mine:
        mined = mine_phrases(
            model, pairs, margins,
            position=settings.position, scale=scale, most_pairs=settings.most_pairs, seed=seed,
        )  # fmt: skip
    return Shortcuts(slices, phrases, mined)


def add_to_record(measured: Measured, found: Shortcuts) -> None:
    """Arranges what was found as it is kept."""
    if found.slices is not None:
        measured.slices = _slices(found.slices)
    if found.phrases is not None:
        measured.phrases = record.GainsOfPhrases(position=found.phrases.position, phrases=found.phrases.phrases)
    if found.mined is not None:
        measured.mined = found.mined


def _slices(slices: Slices) -> record.SlicesOfPairs:
    found = [
        record.SliceOfPairs(
            feature=each.words,
            favour=each.favour,
            only_chosen=each.only_chosen,
            only_rejected=each.only_rejected,
            adjusted_p_value=each.p_value,
            opposite_signs=each.opposite_signs,
            also=[describe(*other) for other in each.also[:MOST_ALSO]],
        )
        for each in slices.found
    ]
    return record.SlicesOfPairs(**slices._asdict() | {"found": found})
