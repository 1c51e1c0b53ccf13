"""Flip rates by family, after "Modality Interference" (arXiv 2505.19616) and AnyPattern (arXiv 2404.13788).

With `a` the answers to a question, `b` those to a version of it and `c` those to the question asked a second time, all
S sampled alike, and `flips(a, b)` the share of the pairs that differ,

    excess = flips(a, b) - flips(a, c)

which is 0 on average for a policy to which the version is the same question, however much its samples vary, and may be
below 0 where a version makes it surer of its usual answer; taking the second term off is ours. Answers are read as
`perturbation_consistency` reads them: by the option's content and not by its letter, or as a normalised text. A pair
of no answer and an answer is a flip; one of no answer twice says nothing and is left out.
"""

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from align.evaluation.asking import Asking, Subject
from align.evaluation.statistics.group_metrics import by_group, spread_of_groups
from align.evaluation.statistics.item_means import ItemMean
from align.evaluation.statistics.metrics import Estimate, Values, mean_of_known
from align.evaluation.suite import Measured
from align.evaluation.suites.perturbation.rows import AGAIN, SEEN, UNKNOWN, UNSEEN, PerturbedQuestion
from align.models.policies.asking import Completion, Prompt
from rewards.reading.responses import ResponseFormat, parse_response
from rewards.scoring.perturbation_consistency import Key, read_answer
from rewards.scoring.perturbations import ORIGINAL, Version

INSTRUCTION = """

Think it through inside <{think}> and </{think}>. Then write only the answer inside <{answer}> and </{answer}>."""
_MOST_UNANSWERED = 0.1  # share of responses above which it is said
Answers = Mapping[str, list[Key]]  # by `original`, `twice` and family


def measure(subject: Subject, rows: Sequence[PerturbedQuestion], asking: Asking) -> Measured:
    """Asks every question, the same again unless answers are greedy, and every version."""
    greedy, tags = asking.decoding.greedy, asking.response_format
    asked = [(row, name, version) for row in rows for name, version in _asked(row, greedy=greedy)]
    prompts = [
        Prompt(row.id if name == ORIGINAL else f"{row.id}/{name}", _prompt(subject, row, version, tags))
        for row, name, version in asked
    ]
    answers: list[dict[str, list[Key]]] = [{} for _ in rows]
    places = {row.id: i for i, row in enumerate(rows)}
    responses = subject.complete(prompts, asking.decoding)
    for (row, name, version), completions in zip(asked, responses, strict=True):
        answers[places[row.id]][name] = [
            read_answer(parse_response(each.text, tags).answer, version.options, version.permutation)
            for each in completions
        ]
    standings = {made.family: made.standing for made in rows[0].versions}
    means = perturbation_means(answers, [row.right for row in rows], standings)
    in_groups, worst = means_of_groups(means, [row.group for row in rows])
    return Measured(
        means | in_groups,
        worst,
        list(_item_rows(rows, answers, asked, responses)),
        list(_warn(rows, answers, greedy=greedy)),
        {"prompt_template": subject.template.template},
    )


def flip_rate(first: Sequence[Key], second: Sequence[Key]) -> float:
    """Returns the share of pairs, one of each, that differ, of those with an answer; `nan` if there are none.

    Example:
        >>> flip_rate([0, 0], [0, 1]), flip_rate([0, None], [0, None]), flip_rate([None], [None])
        (0.5, 0.6666666666666667, nan)
    """
    counts = Counter(second)  # not pair by pair: with many samples those are many
    same = sum(counts[key] for key in first if key is not None)
    pairs = len(first) * len(second) - first.count(None) * counts[None]
    return 1 - same / pairs if pairs else math.nan


def perturbation_means(
    answers: Sequence[Answers], right: Sequence[Collection[Key]], standings: Mapping[str, str]
) -> dict[str, ItemMean]:
    """Makes metrics of the answers to each question and its versions; asked again if greedy, they are the same.

    `right` has the right answers of each question, `standings` of each family `seen`, `unseen` or `unknown`.
    """
    twice = np.array([flip_rate(each[ORIGINAL], each[AGAIN]) if AGAIN in each else 0.0 for each in answers])
    present = {family: place for family, place in standings.items() if any(family in each for each in answers)}
    flips = {
        name: np.array([flip_rate(each[ORIGINAL], each[name]) if name in each else math.nan for each in answers])
        for name in present
    }
    excess: dict[str, ItemMean] = {}
    for place in (SEEN, UNSEEN, UNKNOWN):
        here = [family for family in present if present[family] == place]
        if here:
            values = mean_of_known(np.array([flips[family] - twice for family in here]), axis=0)
            excess[f"flip_excess/{place}"] = ItemMean((values,), bounds=(-1.0, 1.0))
    answered = [np.mean([key is not None for keys in each.values() for key in keys]) for each in answers]
    means = {"original_accuracy": ItemMean((_accuracy(answers, right, ORIGINAL),))} | excess
    for family, place in present.items():
        means[f"flip_excess/{place}/{family}"] = ItemMean((flips[family] - twice,), bounds=(-1.0, 1.0))
    means["flip_rate/twice"] = ItemMean((twice,))
    means |= {f"flip_rate/{place}/{family}": ItemMean((flips[family],)) for family, place in present.items()}
    for family, place in present.items():
        means[f"perturbed_accuracy/{place}/{family}"] = ItemMean((_accuracy(answers, right, family),))
    return means | {"answered": ItemMean((np.array(answered),))}


def means_of_groups(
    means: Mapping[str, ItemMean], groups: Sequence[str | None]
) -> tuple[dict[str, ItemMean], dict[str, Estimate]]:
    """Takes accuracies and flips apart by group of questions, and says what the worst has; needs two groups."""
    twice = "flip_rate/twice"
    versions, flips = (
        mean_of_known(
            np.array([mean.groups[0] for name, mean in means.items() if name.startswith(family) and name != twice]), 0
        )
        for family in ("perturbed_accuracy/", "flip_rate/")
    )
    excess = {f"flip_excess/{place}": f"flip_excess_by_group/{place}" for place in (SEEN, UNSEEN, UNKNOWN)}
    named = {new: means[name] for name, new in excess.items() if name in means}
    named["original_accuracy"] = means["original_accuracy"]
    named["perturbed_accuracy_by_group"] = ItemMean((versions,))
    worst = spread_of_groups(groups, means["original_accuracy"].groups[0])
    if of_versions := spread_of_groups(groups, versions):
        worst["worst_group/versions"] = of_versions["worst_group"]
    if of_stays := spread_of_groups(groups, 1 - flips):
        stays = of_stays["worst_group"]
        worst["worst_group/flips"] = Estimate(1 - stays.value, 1 - stays.high, 1 - stays.low, stays.n)
    return by_group(named, groups), worst


def _asked(row: PerturbedQuestion, *, greedy: bool) -> Iterator[tuple[str, Version]]:
    yield ORIGINAL, row.original
    if not greedy:
        yield AGAIN, row.original
    yield from ((made.family, made.version) for made in row.versions if made.version is not None)


def _prompt(subject: Subject, row: PerturbedQuestion, version: Version, tags: ResponseFormat) -> Any:
    if version.options is not None:
        return subject.template.render(version.question, version.options)
    if not row.as_it_stands:
        words = INSTRUCTION.format(think=tags.think_tag, answer=tags.answer_tag)
        return subject.word(version.question + words)
    if row.messages is None:
        return version.question
    return [*row.messages, {"role": "user", "content": version.question}]


def _accuracy(answers: Sequence[Answers], right: Sequence[Collection[Key]], name: str) -> Values:
    return np.array(
        [
            float(np.mean([key in accepted for key in each[name]])) if name in each else math.nan
            for each, accepted in zip(answers, right, strict=True)
        ]
    )


def _item_rows(
    rows: Sequence[PerturbedQuestion],
    answers: Sequence[Answers],
    asked: Sequence[tuple[PerturbedQuestion, str, Version]],
    responses: Sequence[Sequence[Completion]],
) -> Iterator[dict[str, Any]]:
    """Lists responses question by question, each sample of all versions before the next one, as they are compared."""
    by_row: dict[str, list[tuple[str, Version, Sequence[Completion]]]] = {row.id: [] for row in rows}
    for (row, name, version), completions in zip(asked, responses, strict=True):
        by_row[row.id].append((name, version, completions))
    for row, keys in zip(rows, answers, strict=True):
        standings = {made.family: made.standing for made in row.versions}
        for sample in range(len(responses[0])):
            for name, version, completions in by_row[row.id]:
                key = keys[name][sample]
                yield {
                    "id": row.id,
                    "group": row.group,
                    "prompt": row.question,
                    "family": name,
                    "standing": standings.get(name),
                    "sample": sample,
                    "question": None if version.question == row.question else version.question,
                    "options": version.options,
                    "answer": row.options[key] if row.options is not None and isinstance(key, int) else key,
                    "correct": key in row.right,
                    "completion": completions[sample].text,
                }


def _warn(rows: Sequence[PerturbedQuestion], answers: Sequence[Answers], *, greedy: bool) -> Iterator[str]:
    if greedy:
        yield (
            "Answers are greedy, so a question asked twice has the same answer: the flip rate of asking twice is 0 by "
            "construction, and the excess is the flip rate."
        )
    for place, made in enumerate(rows[0].versions):
        changed = sum(row.versions[place].version is not None for row in rows)
        if 2 * changed < len(rows):
            yield (
                f"`{made.family}` changes {changed:,} of {len(rows):,} questions"
                + ("; its numbers are about these alone." if changed else " and is not measured.")
            )
    keys = [key for each in answers for several in each.values() for key in several]
    silent = sum(key is None for key in keys)
    if silent > _MOST_UNANSWERED * len(keys):
        yield f"{silent:,} of {len(keys):,} responses state no answer. Flips are counted among the others."
