"""What a reward model pays for in the words of a response: slices, phrases and mined phrases, as tables."""

import math
from collections.abc import Iterator, Mapping, Sequence

from align.evaluation.record.details import (
    GainOfPhrase,
    MinedPhrases,
    OfScores,
    SlicesOfPairs,
    SubsetOfPairs,
    not_better,
)
from align.evaluation.statistics.metrics import NO_DATA, Estimate
from align.report.charts.interval import Interval, draw_intervals
from align.report.evaluation.items import count
from align.report.evaluation.view import Grid, Section
from align.report.run.finding import Finding

_MOST_ROWS, _MOST_DRAWN = 100, 16
_NAMED = 3  # in a sentence
_SLICES = (
    "Features of responses that go with the margin (score of the chosen response minus that of the rejected one), in "
    "mean absolute margins. Favour is half of the mean margin where only the chosen response has it minus that where "
    "only the rejected one has it: above 0 the model raises what has it. Mann-Whitney decides, with and without the "
    "length of the responses, at a false discovery rate of 5 % (Benjamini-Hochberg). A feature may stand for quality: "
    "only a phrase that is put in shows that the words themselves are paid for."
)
_PHRASES = (
    "Change of the margin with the phrase put into one response or both, in mean absolute margins. Gain is by how "
    "much it raises whatever response has it, above as many neutral words in the same place. It counts if it lies "
    "further from them than they lie from each other (Student), at a false discovery rate of 5 %."
)


def shortcut_sections(models: Mapping[str, OfScores]) -> list[Section]:
    """Arranges the slices and phrases of each model."""
    sections = []
    for name, model in models.items():
        after = f", {name}" if len(models) > 1 else ""
        if model.heuristics:
            sections.append(heuristic_section(model.heuristics, after))
        if model.slices is not None:
            found = model.slices.found[:_MOST_DRAWN]
            points = [Interval(each.feature, name, *each.favour[:3]) for each in found]
            charts = [draw_intervals("Favour", "With 95 % intervals.", points, "mean margins")] if points else []
            grids = [_slice_grid(model.slices)] if found else []
            note = f"{_SLICES} {_count_slices(model.slices)}"
            sections.append(Section(f"Slices{after}", note, charts, grids=grids))
        if model.phrases is not None:
            title = f"Phrases of a file, {_position(model.phrases.position)}{after}"
            columns = ("phrase", "gain", "in chosen", "in rejected", "in both", "adjusted p", "counts")
            ordered = sorted(model.phrases.phrases, key=lambda each: (not each.moves, -abs(each.gain.value)))
            shown = [(each.phrase, *_gain(each), "yes" if each.moves else "no") for each in ordered[:_MOST_ROWS]]
            sections.append(Section(title, _PHRASES, grids=[Grid(columns, shown)]))
        if model.mined is not None:
            grids = [_mined_grid(model.mined)] if model.mined.phrases else []
            title = f"Mined phrases, {_position(model.mined.position)}{after}"
            sections.append(Section(title, f"{_count_mined(model.mined)} {_PHRASES}", grids=grids))
    return sections


_HEURISTICS = (
    "How often each rule takes the right response of the same items. A model that is not above every one of them in "
    "its 95 % interval is not shown to read more than that rule does."
)


def heuristic_section(found: Sequence[SubsetOfPairs], after: str = "") -> Section:
    """Arranges a model beside rules that read nothing."""
    rows = [
        (each.name, str(each.accuracy), *(str(one.accuracy) for one in each.heuristics), str(each.closest.difference))
        for each in found
    ]
    names = [one.name.removeprefix("the ").removeprefix("one with ").capitalize() for one in found[0].heuristics]
    columns = ("Subset", "Right", *names, "Above the best of them")
    return Section(f"Beside rules that read nothing{after}", _HEURISTICS, grids=[Grid(columns, rows)])


def find_shortcut_problems(models: Mapping[str, OfScores]) -> Iterator[Finding]:
    """Says what a model pays for that is no quality."""
    for name, model in models.items():
        if told := not_better(model.heuristics or []):
            yield Finding(
                f"{name}: {told[0].lower()}{told[1:].rstrip('.')}",
                "Give more pairs, or pairs whose right response is no longer and no richer in form than the other.",
            )
        if model.slices is not None and model.slices.found:
            first = model.slices.found[0]
            word = "raises" if first.favour.value > 0 else "lowers"
            yield Finding(
                f"{name}: features of responses that go with its margin: {len(model.slices.found):,}, first of all "
                f"{first.feature} ({first.favour.value:+.2f} mean margins)",
                f"It {word} what has it, whichever response that is. Read such pairs: does the feature stand for "
                f"quality?{'' if model.mined else ' `--mine` says of words whether they alone are paid for.'}",
            )
        if model.phrases is not None:
            moving = [each.phrase for each in model.phrases.phrases if each.moves]
            yield from _moving(name, moving, "phrases of the file")
        if model.mined is not None:
            kept = [each.first.phrase for each in model.mined.phrases if each.is_kept]
            yield from _moving(name, kept, "mined phrases")


def _moving(name: str, phrases: list[str], words: str) -> Iterator[Finding]:
    if phrases:
        shown = ", ".join(f'"{phrase}"' for phrase in phrases[:_NAMED])
        more = f" and {len(phrases) - _NAMED:,} more" if len(phrases) > _NAMED else ""
        yield Finding(
            f"{name}: {words} that move its score whatever the response says: {shown}{more}",
            "A policy that is trained with it can learn to write them. Count them in its responses with the audit "
            "`phrases`, or train the reward model on ties that differ in them alone (`--neutrals inserted_phrase`).",
        )


def _count_slices(slices: SlicesOfPairs) -> str:
    if not slices.num_tested:
        return f"No feature is in enough of the {slices.num_pairs:,} pairs to be tested."
    tested = f"{count(slices.num_tested, 'feature')} {'was' if slices.num_tested == 1 else 'were'} tested"
    return (
        f"{tested} on {count(slices.num_pairs, 'pair')}. Found, those of the same pairs as one: "
        f"{len(slices.found):,}. Features that go with the margin alone and not at similar length: "
        f"{slices.num_by_length:,}."
    )


def _count_mined(mined: MinedPhrases) -> str:
    first, second = mined.num_pairs
    if not mined.phrases:
        return f"The slices of half of the prompts gave no phrase to put in ({mined.num_slices:,} slices)."
    return (
        f"{len(mined.phrases):,} phrases from {mined.num_slices:,} slices of half of the prompts were put into "
        f"{first:,} pairs of that half, and those that moved the margin into {second:,} pairs of the other half. "
        f"Kept, because they moved it there too: {sum(each.is_kept for each in mined.phrases):,}."
    )


def _slice_grid(slices: SlicesOfPairs) -> Grid:
    columns = ("feature", "favour", "chosen alone has it", "pairs", "rejected alone has it", "pairs", "adjusted p",
               "in the same pairs")  # fmt: skip
    rows = [
        (
            each.feature,
            _text(each.favour),
            _text(each.only_chosen),
            f"{each.only_chosen.n:,}",
            _text(each.only_rejected),
            f"{each.only_rejected.n:,}",
            word_p_value(each.adjusted_p_value),
            ", ".join(each.also),
        )
        for each in slices.found[:_MOST_ROWS]
    ]
    return Grid(columns, rows)


def _mined_grid(mined: MinedPhrases) -> Grid:
    columns = ("phrase", "from", "gain", "in chosen", "in rejected", "in both", "adjusted p", "gain, held out",
               "adjusted p, held out", "kept")  # fmt: skip
    rows = [
        (
            each.first.phrase,
            each.feature,
            *_gain(each.first),
            "" if each.second is None else _text(each.second.gain),
            "" if each.second is None else word_p_value(each.second.adjusted_p_value),
            "yes" if each.is_kept else "no",
        )
        for each in sorted(mined.phrases, key=lambda each: not each.is_kept)
    ]
    return Grid(columns, rows)


def _gain(each: GainOfPhrase) -> tuple[str, ...]:
    cells = (_text(cell) for cell in (each.gain, each.chosen, each.rejected, each.both))
    return (*cells, word_p_value(each.adjusted_p_value))


def word_p_value(value: float, form: str = ".2g") -> str:
    """Writes a p-value, or what an estimate writes where too few responses are left to have one.

    Example:
        >>> word_p_value(0.0123), word_p_value(float("nan"))
        ('0.012', 'no data')
    """
    return NO_DATA if math.isnan(value) else format(value, form)


def _text(cell: Estimate) -> str:
    return f"{cell.value:.2f}" if cell.low != cell.low and cell.n > 1 else str(cell)


def _position(position: str) -> str:
    return {"front": "in front", "middle": "in the middle", "end": "at the end"}.get(position, position)
