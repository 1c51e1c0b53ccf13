"""What an evaluation of policies on pairs leaves: the record, and a row for every pair and model."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from align.data.conversations import conversation_text
from align.data.pairs.preferences import PreferencePair
from align.evaluation.pairs.judging import Judgement, judged_suite
from align.evaluation.pairs.suite import ACCURACY, pair_values, pairs_suite
from align.evaluation.pairs.terms import PairTerms, SideTerms
from align.evaluation.record.answers import Items, Warned
from align.evaluation.record.pairs import AboutPairs, PairsRecord
from align.evaluation.results import arrange, pair_answers
from align.evaluation.statistics.item_means import cluster_codes
from align.evaluation.suite import Measured
from align.models.policies.answer_keys import digest, image_names

PAIRS, JUDGE = "pairs", "judge"  # suites


def pairs_record(
    about: AboutPairs,
    terms: Mapping[str, Sequence[PairTerms]],
    judged: Mapping[str, Sequence[Judgement]],
    ids: Sequence[str],
    groups: Sequence[str | None] = (),
    prompts: Sequence[Any] = (),
) -> PairsRecord:
    """Arranges what was measured as it is kept.

    Args:
        about: What was run.
        terms: Of each model; the first is the one asked about.
        judged: What the judge said of the first model against others, by their names.
        ids: Of the pairs.
        groups: Of the pairs.
        prompts: Of the pairs: those of one prompt are one item. Without it each pair is.
    """
    measured: dict[str, dict[str, Measured]] = {
        name: {PAIRS: pairs_suite(each, groups, prompts)} for name, each in terms.items()
    }
    model, *baselines = terms
    if judged:
        measured[model][JUDGE] = judged_suite(judged, prompts)
    num_prompts = len(set(cluster_codes(prompts).tolist())) if prompts else len(ids)
    right = {name: pair_values(each)[ACCURACY] for name, each in terms.items()}
    return PairsRecord(
        about=about,
        **arrange(measured),
        paired=[pair_answers(ACCURACY, ids, right, name, are_apart=num_prompts == len(ids)) for name in baselines],
        warnings=[
            *_warn_of_prompts(list(terms), len(ids), num_prompts),
            *(each for name, values in terms.items() for each in _warn(name, values)),
        ],
    )


def pair_rows(
    model: str,
    pairs: Sequence[PreferencePair],
    terms: Sequence[PairTerms],
    responses: Sequence[str] | None,
    judged: Mapping[str, Sequence[Judgement]],
) -> list[dict[str, Any]]:
    """Lists the pairs with what one model makes of them, and its own responses where a judge compared some."""
    values = pair_values(terms)
    rows = []
    for i, (pair, each) in enumerate(zip(pairs, terms, strict=True)):
        row: dict[str, Any] = {
            "id": pair.id,
            "model": model,
            "prompt": conversation_text(pair.prompt),
            "group": pair.group,
        }
        row |= {"chosen": pair.chosen, "rejected": pair.rejected, "correct": bool(values[ACCURACY][i] == 1)}
        row |= {"margin": each.chosen.change - each.rejected.change, "margin_marked": None}
        if not np.isnan(values[f"{ACCURACY}/marked"][i]):
            row["margin_marked"] = each.chosen.marked_change - each.rejected.marked_change
        row |= {name: _number(found[i]) for name, found in values.items() if not name.startswith(ACCURACY)}
        if any(other.images for other in pairs):
            row["images"] = [os.path.abspath(image) if isinstance(image, str) else None for image in pair.images]
        if responses is not None:
            row["completion"] = responses[i]
            row |= {f"judged/{name}": found[i].worth for name, found in judged.items()}
        rows.append(row)
    return rows


def describe_pairs(
    pairs: Sequence[PreferencePair], *, path: str, split: str | None, left_out: dict[str, int]
) -> Items:
    """Says what the pairs are and where they come from."""
    content = [pair_key(pair) for pair in pairs]
    groups = dict(sorted(Counter(pair.group for pair in pairs if pair.group is not None).items()))
    return Items(
        path=path, split=split, left_out=left_out, fingerprint=digest(content), questions=len(pairs), groups=groups
    )


def pair_key(pair: PreferencePair) -> list[Any]:
    """Lists what a model's reading of a pair depends on."""
    spans = [list(map(list, pair.chosen_spans)), list(map(list, pair.rejected_spans)), pair.spans_from]
    seen: list[Any] = [pair.id, pair.prompt, pair.chosen, pair.rejected, spans]
    if pair.images:
        seen.append(image_names(pair.images))
    return [*seen, dict(pair.template)] if pair.template else seen


def prompt_of(pair: PreferencePair) -> list[Any]:
    """Lists what makes the prompt of a pair another one: images under the same words do."""
    return [pair.prompt, image_names(pair.images)]


def _warn_of_prompts(names: Sequence[str], num_pairs: int, num_prompts: int) -> Iterator[Warned]:
    if num_prompts < num_pairs:
        prompts = "1 prompt" if num_prompts == 1 else f"{num_prompts:,} prompts"
        text = (
            f"{num_pairs:,} pairs are of {prompts}. Pairs of one prompt are one item in intervals and differences, "
            "and there is no McNemar test, which takes each pair to stand alone."
        )
        yield Warned(model=", ".join(names), text=text)


def _warn(name: str, terms: Sequence[PairTerms]) -> list[Warned]:
    ties = sum(each.chosen.change == each.rejected.change for each in terms)
    bare = sum(not (each.chosen.marked or each.rejected.marked) for each in terms)
    found = []
    if ties:
        same = " It is its own reference." if ties == len(terms) else ""
        found.append(f"{ties:,} of {len(terms):,} pairs are ties, which count half.{same}")
    if bare:
        found.append(f"{bare:,} of {len(terms):,} pairs have no marked token; marked tokens are those of others.")
    return [Warned(model=name, text=text) for text in found]


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def written_terms(terms: PairTerms) -> list[list[float]]:
    """Writes terms as they are kept."""
    return [list(side) for side in terms]


def read_terms(kept: Any) -> PairTerms:
    """Reads terms that were kept; what is added to a pair's terms later has another key."""
    return PairTerms(*(SideTerms(*side) for side in kept))
