"""What log-probs and a judge say about a policy on pairs: metrics by name, the record, and a row of each pair."""

import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from align.data.conversations import conversation_text
from align.data.pairs.preferences import PreferencePair
from align.data.questions.multiple_choice import Question
from align.evaluation.asking import Asker
from align.evaluation.record.answers import AboutPairs, Items, PairsRecord, Warned
from align.evaluation.results import arrange, pair_answers
from align.evaluation.statistics.group_metrics import by_group, spread_of_groups
from align.evaluation.statistics.item_means import ItemMean, cluster_codes
from align.evaluation.statistics.metrics import Values
from align.evaluation.suite import Measured
from align.evaluation.suites.pairs.terms import PairTerms, SideTerms
from align.models.policies.answer_keys import digest, image_names
from align.models.policies.asking import LetterQuestion

ACCURACY = "implicit_reward_accuracy"


def implicit_accuracy(chosen: Values, rejected: Values) -> Values:
    """Returns, per pair, 1 if the chosen response gained more log-prob than the rejected one, and 0.5 for a tie.

    Both are `(N,)` changes of log-prob from the reference, the implicit reward of DPO by beta; nan where one is nan.

    Example:
        >>> implicit_accuracy(np.array([1.0, -3.0, 0.0, np.nan]), np.array([-1.0, -2.0, 0.0, 1.0]))
        array([1. , 0. , 0.5, nan])
    """
    margin = chosen - rejected
    return np.where(np.isnan(margin), np.nan, (np.sign(margin) + 1) / 2)


def pair_values(terms: Sequence[PairTerms]) -> dict[str, Values]:
    """Returns each metric as `(N,)` values of pairs, nan where it does not speak of one, as of marks without any."""
    chosen, rejected = [each.chosen for each in terms], [each.rejected for each in terms]
    has_marks = [bool(a.marked or b.marked) for a, b in zip(chosen, rejected, strict=True)]

    def kept(values: list[float], where: Sequence[bool]) -> Values:
        return np.array([value if keep else math.nan for value, keep in zip(values, where, strict=True)])

    whole = [np.array([each.change for each in side]) for side in (chosen, rejected)]
    marked = [kept([each.marked_change for each in side], has_marks) for side in (chosen, rejected)]
    shared = [each.change - each.marked_change for each in chosen]
    has_shared = [marks and each.tokens > each.marked for marks, each in zip(has_marks, chosen, strict=True)]
    return {
        ACCURACY: implicit_accuracy(*whole),
        f"{ACCURACY}/marked": implicit_accuracy(*marked),
        "logp_change/chosen": whole[0],
        "logp_change/rejected": whole[1],
        "logp_change/chosen_marked": marked[0],
        "logp_change/rejected_marked": marked[1],
        "logp_change/shared": kept(shared, has_shared),
        "kl_per_token/chosen": np.array([each.kl / max(each.tokens, 1) for each in chosen]),
        "kl_per_token/rejected": np.array([each.kl / max(each.tokens, 1) for each in rejected]),
    }


def pairs_suite(
    terms: Sequence[PairTerms], groups: Sequence[str | None] = (), prompts: Sequence[Any] = ()
) -> Measured:
    """Measures implicit-reward accuracy, log-prob changes in nats, KL per token; pairs of one prompt are one item."""
    codes = cluster_codes(prompts) if prompts else np.arange(len(terms))
    bounds = {ACCURACY: (0.0, 1.0), "kl_per_token": (0.0, math.inf)}
    means = {
        name: ItemMean((values,), bounds=bounds.get(name.partition("/")[0]), clusters=(codes,))
        for name, values in pair_values(terms).items()
    }
    right = means[ACCURACY]
    spread = spread_of_groups(groups, right.groups[0], codes)
    worst = {f"worst_group/{ACCURACY}": spread["worst_group"]} if spread else {}
    return Measured(means | by_group({f"{ACCURACY}_by_group": right}, groups), worst)


EQUAL = "Both are equally good"
ORDERS = ((0, 1, 2), (1, 0, 2))  # ours first, then theirs first; a tie stays the last option
INSTRUCTION = """Below is a request, and after it two responses. Say which response answers the request better. The \
order in which they stand means nothing.

Request: {prompt}

Which is the better response?"""


class Judgement(NamedTuple):
    """What a judge said of a pair of responses, ours and theirs, in both orders: 0 ours, 1 theirs, 2 equal."""

    ours_first: int
    theirs_first: int

    @property
    def worth(self) -> float:
        """Ours preferred 1, a tie 0.5, theirs 0, on average over the orders: a judge who follows the order is 0.5."""
        return sum((1.0, 0.0, 0.5)[choice] for choice in self) / 2

    @property
    def disagrees(self) -> bool:
        """Whether the order changed the answer."""
        return self.ours_first != self.theirs_first


def judge_responses(
    asker: Asker,
    ids: Sequence[str],
    prompts: Sequence[str],
    ours: Sequence[str],
    theirs: Sequence[str],
    images: Sequence[tuple[Any, ...]] | None = None,
) -> list[Judgement]:
    """Asks a judge about each pair of responses twice, in one forward pass each; equal texts are a tie unasked."""
    shown = images or [()] * len(ids)
    groups = [_group(*row) for row in zip(ids, prompts, ours, theirs, shown, strict=True)]
    asked = [i for i, group in enumerate(groups) if group]
    answers = dict(zip(asked, asker.choose("judging", [groups[i] for i in asked]), strict=True))
    return [Judgement(*answers[i]) if i in answers else Judgement(2, 2) for i in range(len(groups))]


def judged_suite(judged: Mapping[str, Sequence[Judgement]], prompts: Sequence[Any] = ()) -> Measured:
    """Measures win rate, ties, and changes by order, by what was compared with; pairs of one prompt are one item."""
    clusters = (cluster_codes(prompts),) if prompts else None
    values = {}
    for name, judgements in judged.items():
        values[f"judged_win_rate/{name}"] = [each.worth for each in judgements]
        values[f"judged_ties/{name}"] = [float(each == (2, 2)) for each in judgements]
        values[f"judge_order_disagreement/{name}"] = [float(each.disagrees) for each in judgements]
    return Measured({name: ItemMean((np.array(each),), clusters=clusters) for name, each in values.items()})


def _group(name: str, prompt: str, ours: str, theirs: str, images: tuple[Any, ...]) -> list[LetterQuestion]:
    if ours == theirs:
        return []
    text = INSTRUCTION.format(prompt=prompt)
    question = Question(name, text, (ours, theirs, EQUAL), 0, None, images, 0)
    return [LetterQuestion(question, order, "The better response is option ") for order in ORDERS]


PAIRS, JUDGE = "pairs", "judge"  # suites


def pairs_record(
    about: AboutPairs,
    terms: Mapping[str, Sequence[PairTerms]],
    judged: Mapping[str, Sequence[Judgement]],
    ids: Sequence[str],
    groups: Sequence[str | None] = (),
    prompts: Sequence[Any] = (),
) -> PairsRecord:
    """Arranges what was measured as it is kept; the first model is the one asked about (`prompts`: `pairs_suite`)."""
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
