"""Policies read pairs: what each learnt to prefer, how far it moved, and what a judge prefers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from align.console import say
from align.data.conversations import conversation_text
from align.data.pairs.preferences import PreferencePair, load_preferences
from align.data.questions.multiple_choice import Question
from align.data.unread import saying_unread
from align.evaluation.asking import Asker, Asking, Subject
from align.evaluation.divided import end_of_part
from align.evaluation.engine import JUDGE, REFERENCE, Evaluation, Finished
from align.evaluation.heuristics import against_heuristics, heuristics_as_the_judge, heuristics_on_pairs
from align.evaluation.record import Record
from align.evaluation.record.details import not_better
from align.evaluation.record.record import About, AskingProfile, Warned
from align.evaluation.results import arrange, image_paths, number, pair_answers
from align.evaluation.statistics.group_metrics import by_group, spread_of_groups
from align.evaluation.statistics.item_means import ItemMean, cluster_codes
from align.evaluation.statistics.metrics import Values, pair_accuracy
from align.evaluation.suite import LoadedRows, Measured
from align.evaluation.suites.pairs import PairSuiteOptions
from align.evaluation.suites.suite_rows import counted
from align.models.pair_terms import PairTerms, SideTerms, pair_terms, tokenize_image_pair, tokenize_pair
from align.models.policies.answer_keys import image_names, shown_names
from align.models.policies.asking import LetterQuestion, Prompt

SIDES = ("chosen", "rejected")
HABIT = 2 / 3  # share of its decisions that a rule says, too, above which a judge may follow it
CHOSEN = "chosen"  # what a response is compared with where there is no baseline
PAIRS_AT_ONCE = 64


@dataclass
class PairTask:
    """What is asked of pairs."""

    precision: str  # of the weights
    answers: bool  # whether prompts are answered, for a judge to compare


@dataclass
class ReadPairs:
    """What one policy makes of the pairs."""

    terms: list[PairTerms]
    responses: list[str] | None  # where a judge compares them


def load(run: Evaluation, options: PairSuiteOptions) -> LoadedRows:
    """Reads the pairs."""
    pairs, report = saying_unread(
        load_preferences(
            run.data("pairs", "read"), adapter=run.adapter, media=run.media, columns=run.columns, **run.reading()
        )
    )
    with_images = next((pair.id for pair in pairs if pair.images), None)
    return LoadedRows(
        pairs,
        list(map(pair_key, pairs)),
        report.reasons,
        counted(pair.group for pair in pairs),
        task=PairTask(run.engine.dtype, options.judge is not None),
        images="" if with_images is None else f"Pair {with_images!r}",
        shown_to=(REFERENCE, JUDGE),
    )


def measure(subject: Subject, rows: Sequence[PreferencePair], asking: Asking, reference: Subject) -> ReadPairs:
    """Reads the pairs beside the reference, and answers their prompts if a judge compares answers."""
    identity = [subject.checkpoint.fingerprint, reference.checkpoint.fingerprint, asking.task.precision]
    terms = _read(subject, reference, rows, identity)
    if not asking.task.answers:
        return ReadPairs(terms, None)
    answers = subject.complete(prompts_of(rows), asking.decoding)
    return ReadPairs(terms, [each[0].text for each in answers])


def _read(
    subject: Subject, reference: Subject, pairs: Sequence[PreferencePair], identity: list[str]
) -> list[PairTerms]:
    with_images = any(pair.images for pair in pairs)
    tokenize = tokenize_image_pair if with_images else tokenize_pair
    kind = "terms of pairs with images" if with_images else "pair terms"

    def ask(part: list[int]) -> list[Any]:
        tokens = [tokenize(subject.tokenizer, pairs[i]) for i in part]
        return [[list(side) for side in each] for each in pair_terms(subject.model, reference.model, tokens)]

    contents = [[*identity, kind, subject.tokenizer.chat_template, pair_key(pair)] for pair in pairs]
    lengths = [len(pair.chosen) + len(pair.rejected) for pair in pairs]
    found = subject.kept.ask("reading pairs", ask, contents, lengths, PAIRS_AT_ONCE)
    return [PairTerms(*(SideTerms(*side) for side in each)) for each in found]  # another key, if terms are added


def finish(run: Evaluation, loaded: LoadedRows, read: Mapping[str, ReadPairs]) -> Finished:
    """Has a judge compare responses, if there is one, and arranges what was measured."""
    pairs, first = loaded.rows, next(iter(read))
    judged = _judge(run, loaded, read) if JUDGE in run.helpers else {}
    end_of_part()
    terms = {name: each.terms for name, each in read.items()}
    ids, groups = [pair.id for pair in pairs], [pair.group for pair in pairs]
    about = run.about(
        loaded,
        ["pairs", "judge"] if judged else ["pairs"],
        reference=run.source(REFERENCE),
        judge=run.source(JUDGE),
        profile=AskingProfile(**asdict(run.decoding)) if judged else None,
        with_marks=sum(bool(each.chosen.marked or each.rejected.marked) for each in terms[first]),
    )
    record = pairs_record(about, terms, judged, ids, groups, list(map(prompt_of, pairs)))
    prompts, codes = [pair.prompt for pair in pairs], cluster_codes(list(map(prompt_of, pairs)))
    taken = heuristics_on_pairs(prompts, *([getattr(pair, side) for pair in pairs] for side in SIDES))
    record.heuristics = {
        name: against_heuristics(pair_values(each)[ACCURACY], taken, codes, groups) for name, each in terms.items()
    }
    record.warnings += [
        Warned(model=name, text=told) for name, found in record.heuristics.items() if (told := not_better(found))
    ]
    for other, judgements in judged.items():
        ours, worth = read[first].responses or [], np.array([each.worth for each in judgements])
        habits = heuristics_as_the_judge(prompts, ours, _responses(pairs, read, other), worth, codes)
        sentences = (
            f"Of the pairs with {other} that the judge decides, it prefers {name} in {share}. Look whether that "
            "response is better there, or only looks so."
            for name, share in habits.items()
            if share.low > HABIT
        )
        record.warnings += [Warned(model=first, text=text) for text in sentences]
    rows = [
        row
        for name, each in read.items()
        for row in pair_rows(name, pairs, each.terms, each.responses, judged if name == first else {})
    ]
    return Finished(record, rows)


def _judge(run: Evaluation, loaded: LoadedRows, read: Mapping[str, ReadPairs]) -> dict[str, "list[Judgement]"]:
    """Asks a judge about the responses of the first model, against those of each baseline or the chosen ones."""
    pairs, (first, *baselines) = loaded.rows, read
    prompts, ids = [conversation_text(pair.prompt) for pair in pairs], [pair.id for pair in pairs]
    shown = [pair.images for pair in pairs]
    say(f"Judging with {run.helpers[JUDGE].path}")
    with run.judge(images=any(shown)) as asker:
        run.stages.start(JUDGE)
        ours = read[first].responses or []
        return {
            name: judge_responses(asker, ids, prompts, ours, _responses(pairs, read, name), shown)
            for name in baselines or [CHOSEN]
        }


def _responses(pairs: Sequence[PreferencePair], read: Mapping[str, ReadPairs], name: str) -> list[str]:
    """Returns what the responses of the first model are compared with: those of a baseline, else the chosen ones."""
    return (read[name].responses if name in list(read)[1:] else None) or [pair.chosen for pair in pairs]


def prompts_of(pairs: Sequence[PreferencePair]) -> list[Prompt]:
    """Takes what a policy answers out of pairs, with what each row tells the chat template."""
    return [Prompt(pair.id, pair.prompt, pair.images, template=pair.template, video=pair.video) for pair in pairs]


ACCURACY = "implicit_reward_accuracy"


def pair_values(terms: Sequence[PairTerms]) -> dict[str, Values]:
    """Returns each metric as `(N,)` values of pairs, nan where it does not speak of one, as of marks without any.

    A pair is right if the chosen response gained more log-prob from the reference, the implicit reward of DPO by beta.
    """
    chosen, rejected = [each.chosen for each in terms], [each.rejected for each in terms]
    has_marks = [bool(a.marked or b.marked) for a, b in zip(chosen, rejected, strict=True)]

    def kept(values: list[float], where: Sequence[bool]) -> Values:
        return np.array([value if keep else math.nan for value, keep in zip(values, where, strict=True)])

    whole = [np.array([each.change for each in side]) for side in (chosen, rejected)]
    marked = [kept([each.marked_change for each in side], has_marks) for side in (chosen, rejected)]
    shared = [each.change - each.marked_change for each in chosen]
    has_shared = [marks and each.tokens > each.marked for marks, each in zip(has_marks, chosen, strict=True)]
    return {
        ACCURACY: pair_accuracy(whole[0] - whole[1]),
        f"{ACCURACY}/marked": pair_accuracy(marked[0] - marked[1]),
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


def pairs_record(
    about: About,
    terms: Mapping[str, Sequence[PairTerms]],
    judged: Mapping[str, Sequence[Judgement]],
    ids: Sequence[str],
    groups: Sequence[str | None] = (),
    prompts: Sequence[Any] = (),
) -> Record:
    """Arranges what was measured as it is kept; the first model is the one asked about (`prompts`: `pairs_suite`)."""
    measured = {name: {"pairs": pairs_suite(each, groups, prompts)} for name, each in terms.items()}
    if judged:
        measured[next(iter(terms))]["judge"] = judged_suite(judged, prompts)
    num_prompts = len(set(cluster_codes(prompts).tolist())) if prompts else len(ids)
    right = {name: {ACCURACY: pair_values(each)[ACCURACY]} for name, each in terms.items()}
    warnings = [each for name, values in terms.items() for each in _warn(name, values)]
    if num_prompts < len(ids):
        shown = "1 prompt" if num_prompts == 1 else f"{num_prompts:,} prompts"
        text = (
            f"{len(ids):,} pairs are of {shown}. Pairs of one prompt are one item in intervals and differences, "
            "and there is no McNemar test, which takes each pair to stand alone."
        )
        warnings.insert(0, Warned(model=", ".join(terms), text=text))
    paired = list(pair_answers(right, ids, are_apart=num_prompts == len(ids)))
    return Record(kind="pairs", about=about, **arrange(measured), paired=paired, warnings=warnings)


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
        row: dict[str, Any] = {"id": pair.id, "model": model, "prompt": conversation_text(pair.prompt)}
        row |= {
            "group": pair.group,
            "chosen": pair.chosen,
            "rejected": pair.rejected,
            "correct": bool(values[ACCURACY][i] == 1),
        }
        row |= {"margin": each.chosen.change - each.rejected.change, "margin_marked": None}
        if not np.isnan(values[f"{ACCURACY}/marked"][i]):
            row["margin_marked"] = each.chosen.marked_change - each.rejected.marked_change
        row |= {name: number(found[i]) for name, found in values.items() if not name.startswith(ACCURACY)}
        if any(other.images for other in pairs):
            row["images"] = image_paths(pair.images)
        if responses is not None:
            row["completion"] = responses[i]
            row |= {f"judged/{name}": found[i].worth for name, found in judged.items()}
        rows.append(row)
    return rows


def pair_key(pair: PreferencePair) -> list[Any]:
    """Lists what a model's reading of a pair depends on."""
    spans = [list(map(list, pair.chosen_spans)), list(map(list, pair.rejected_spans)), pair.spans_from]
    seen: list[Any] = [pair.id, pair.prompt, pair.chosen, pair.rejected, spans, *shown_names(pair.images, pair.video)]
    return [*seen, dict(pair.template)] if pair.template else seen


def prompt_of(pair: PreferencePair) -> list[Any]:
    """Lists what makes the prompt of a pair another one: images under the same words do."""
    return [pair.prompt, image_names(pair.images)]


def _warn(name: str, terms: Sequence[PairTerms]) -> list[Warned]:
    ties = sum(each.chosen.change == each.rejected.change for each in terms)
    bare = sum(not (each.chosen.marked or each.rejected.marked) for each in terms)
    found = []
    if ties:
        same = " It is its own reference." if ties == len(terms) else ""
        found.append(f"{ties:,} of {len(terms):,} pairs are ties, which count half.{same}")
    if bare:
        found.append(f"{bare:,} of {len(terms):,} pairs have no marked token; marked tokens are those of the rest.")
    return [Warned(model=name, text=text) for text in found]
