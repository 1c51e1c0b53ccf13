"""Policies answer multiple-choice questions, and again when the options move or the trace changes."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from align.data.questions.multiple_choice import Question, load_questions
from align.data.unread import saying_unread
from align.errors import UserError
from align.evaluation.asking import Asker, Asking, KeptAnswers, Subject
from align.evaluation.divided import current
from align.evaluation.engine import JUDGE, Evaluation, Finished
from align.evaluation.record import Record
from align.evaluation.record.details import Audit, BestOfN, ModelAudit, Unscored
from align.evaluation.record.record import HARNESS, About, AskingProfile, HelperModel, Warned
from align.evaluation.results import arrange, image_paths, pair_answers
from align.evaluation.statistics.metrics import Estimate
from align.evaluation.suite import LoadedRows
from align.evaluation.suites.questions import QuestionOptions
from align.evaluation.suites.questions.answering import judge_traces
from align.evaluation.suites.questions.metrics import correct, per_question
from align.evaluation.suites.questions.modality import CHANGES, count_generations
from align.evaluation.suites.questions.suite import (
    DEFAULT_SUITES,
    MODALITY,
    PolicyResult,
    SuiteSettings,
    Verifier,
    evaluate_suites,
)
from align.evaluation.suites.suite_rows import counted
from align.models.checkpoint import fingerprint, load_tokenizer
from align.models.policies.answer_keys import digest, question_key
from rewards.reading.options import LETTERS, can_shuffle


@dataclass
class QuestionTask:
    """What is asked of questions."""

    settings: SuiteSettings
    harness: Callable[[str, Subject], Any]  # what a task of lm-evaluation-harness gives, by its name
    verifier: Callable[[], Verifier] | None


def load(run: Evaluation, options: QuestionOptions) -> LoadedRows:
    """Reads the questions, and measures how much a policy looks where there is something to see."""
    if math.isnan(options.verifier_threshold):
        raise UserError("`verifier_threshold` must be a number, got nan. Rewards above it are accepted.")
    settings = SuiteSettings(
        tuple(options.suite or DEFAULT_SUITES), run.decoding, options.num_shuffles, options.seed, _pair(options)
    )
    if tasks := [suite for suite in settings.suites if suite.startswith(HARNESS)]:
        from align.evaluation.suites.questions.lm_harness import require_harness

        require_harness()
        if run.engine.backend == "vllm":
            raise UserError(f"The suite {tasks[0]} runs on `--backend transformers` only, got vllm.")
    questions, left_out = _read(run, settings) if settings.asks_questions else ([], {})
    with_images = next((question.id for question in questions if question.images), None)
    if MODALITY in settings.suites and with_images is None:
        raise UserError(f"The suite {MODALITY} changes the images of questions, and none in {run.path} has any.")
    if not options.suite and with_images is not None:
        settings = replace(settings, suites=(*settings.suites, MODALITY))
    if options.verifier is not None and with_images is not None:
        raise UserError(
            f"`--verifier` reads text only, and question {with_images!r} has images. Leave it out: a "
            "sample's score is then the share of shuffles that it survives."
        )
    with_sets = any(each.contrast_set is not None for each in questions)
    content = [
        [*question_key(each), each.answer, each.group, *([each.contrast_set] * with_sets)] for each in questions
    ]
    verifier = None if options.verifier is None else cache(partial(_verifier, run, options.verifier))
    return LoadedRows(
        questions,
        content,
        left_out,
        counted(each.group for each in questions),
        task=QuestionTask(settings, partial(run_harness, run), verifier),
        images="" if with_images is None else f"Question {with_images!r}",
        template=run.prompting.template,
    )


def _read(run: Evaluation, settings: SuiteSettings) -> tuple[Sequence[Question], dict[str, int]]:
    path = run.data("multiple-choice questions", "ask")
    questions, report = saying_unread(
        load_questions(path, adapter=run.adapter, media=run.media, columns=run.columns, **run.reading())
    )
    groups = sorted({question.group for question in questions if question.group is not None})
    if missing := [name for name in settings.pair or () if name not in groups]:
        raise UserError(
            f"`common_group` and `counter_group` must be groups of the questions, got {missing[0]!r}. Groups in "
            f"{path}: {', '.join(groups) or 'none'}."
        )
    return questions, report.reasons


def _verifier(run: Evaluation, path: str) -> Verifier:
    from align.models.reward_model import RewardModel

    engine = run.engine
    how = {"batch_size": engine.batch_size, "ask": KeptAnswers().ask}
    model = RewardModel.load(path, dtype=engine.dtype, device=engine.device, **how)
    template = run.prompting.template(model.tokenizer.chat_template is not None)

    def score(questions: Sequence[Question], responses: Sequence[str]) -> Any:
        scores = model.score([template.render(each.question, each.options) for each in questions], responses)
        unscored = Unscored(0, int(np.isnan(scores).sum()))
        if any(unscored):
            raise UserError(f"`--verifier` {path}: {unscored.sentence(len(scores), 'responses')}")
        return scores

    return Verifier(path, score, run.options.verifier_threshold)


def measure(
    subject: Subject, rows: Sequence[Question], asking: Asking, judge: Asker | None = None
) -> tuple[PolicyResult, list[dict[str, Any]]]:
    """Asks one policy everything; returns what follows, and its answers as rows."""
    task: QuestionTask = asking.task
    policy: Any = subject.policy
    asker = Asker(policy, response_format=asking.response_format, kept=subject.kept)
    helped: dict[str, Any] = {} if judge is None else {"judge": partial(judge_traces, judge)}
    if task.verifier is not None:
        helped["verifier"] = task.verifier()
    result = evaluate_suites(asker, rows, task.settings, **helped)
    for suite in task.settings.suites:
        if suite.startswith(HARNESS):
            from align.evaluation.suites.questions.lm_harness import harness_suite

            run = partial(task.harness, suite.removeprefix(HARNESS), subject)
            result.suites[suite] = harness_suite(current().from_main(run))
    prompts = [policy.show_prompt(question) for question in rows]
    return result, item_rows(asking.name, result, rows, prompts, asking.decoding.num_samples)


def run_harness(run: Any, task: str, subject: Any) -> Any:
    """Runs a task of lm-evaluation-harness on a model, unless its answers are kept."""
    from align.evaluation.suites.questions.lm_harness import harness_version, run_task

    key = digest([subject.checkpoint.fingerprint, run.engine.dtype, task, None, run.max_rows, harness_version()])
    is_file = Path(task).is_file()  # which may include others, Python and rows: what it says is not known
    kept = None if is_file else run.cache.get(key)
    if kept is None:
        how = {"batch_size": run.engine.batch_size, "max_rows": run.max_rows}
        kept = run_task(task, subject.model, load_tokenizer(subject.checkpoint), **how)
        if not is_file:
            run.cache.put({key: kept})
    return kept


def finish(
    run: Evaluation, loaded: LoadedRows, answers: Mapping[str, tuple[PolicyResult, list[dict[str, Any]]]]
) -> Finished:
    """Arranges what was answered."""
    options, settings, questions = run.options, loaded.task.settings, loaded.rows
    results = {name: result for name, (result, _) in answers.items()}
    common, counter = settings.pair or (None, None)
    verifier: HelperModel | None = None
    if options.verifier is not None:
        verifier = HelperModel(path=options.verifier, fingerprint=fingerprint(options.verifier))
        verifier.threshold = options.verifier_threshold
    profile = AskingProfile(**asdict(settings.decoding) | asdict(run.prompting), num_shuffles=settings.num_shuffles)
    if loaded.images:
        profile.media = run.media.model_dump()
    about = run.about(
        loaded,
        settings.suites,
        profile=profile,
        judge=run.source(JUDGE),
        verifier=verifier,
        common_group=common,
        counter_group=counter,
    )
    about.data.unshufflable = sum(not can_shuffle(each.options) for each in questions)
    about.data.gold_letters = counted(LETTERS[each.answer] for each in questions)
    if with_images := sum(bool(each.images) for each in questions):
        about.data.with_images = with_images
    for asked in about.models:
        if MODALITY in results[asked.name].suites:
            asked.extra_generations = count_generations(results[asked.name].columns, settings.decoding)
    rows = [row for _, of_model in answers.values() for row in of_model]
    return Finished(policy_record(about, results, questions, settings), rows)


def _pair(options: QuestionOptions) -> tuple[str, str] | None:
    common, counter = options.common_group, options.counter_group
    if common is None and counter is None:
        return None
    if common is None or counter is None:
        raise UserError("`--common_group` and `--counter_group` go together. Give both.")
    return common, counter


def policy_record(
    about: About, results: Mapping[str, PolicyResult], questions: Sequence[Question], settings: SuiteSettings
) -> Record:
    """Arranges what was measured as it is kept."""
    measured = {name: result.suites for name, result in results.items()}
    verifier = "shuffle_consistency" if about.verifier is None else about.verifier.path
    num_samples = settings.decoding.num_samples
    has_audit = any(result.audit for result in results.values())
    also = ("coverage", "accuracy_of_answered", *Audit.model_fields) if has_audit else ()
    right = {
        name: {"accuracy": per_question(correct(result.items), num_samples)}
        for name, result in results.items()
        if settings.asks_questions
    }
    ids = [question.id for question in questions]
    return Record(
        kind="policy",
        about=about,
        **arrange(measured, also=also),
        paired=list(pair_answers(right, ids)) if right else [],
        curves=[
            BestOfN(model=name, curve="best_of_n", points=result.curve)
            for name, result in results.items()
            if result.curve
        ],
        audits=[
            ModelAudit(model=name, verifier=verifier, **dict(result.audit))
            for name, result in results.items()
            if result.audit is not None
        ],
        warnings=[
            Warned(model=name, text=text) for name, result in results.items() for text in warn(result, num_samples)
        ],
    )


def item_rows(
    name: str, result: PolicyResult, questions: Sequence[Question], prompts: Sequence[str], num_samples: int
) -> list[dict[str, Any]]:
    """Lists the answers of one model, one row per question and sample; an image that is no file is None."""
    with_images = any(question.images for question in questions)
    with_sets = any(question.contrast_set is not None for question in questions)
    rows = []
    for i, item in enumerate(result.items):
        question = questions[i // num_samples]
        same = [choice == item.first_choice for choice in item.second_choices or ()]
        answers = asdict(item) | {"correct": item.first_choice == item.gold}
        answers["consistent"] = sum(same) / len(same) if same else None
        shown: dict[str, Any] = {"question": question.question, "options": list(question.options)}
        shown |= {"model": name, "sample": i % num_samples, "prompt": prompts[i // num_samples]}
        if with_images:
            shown["images"] = image_paths(question.images)
        if with_sets:
            shown["contrast_set"] = question.contrast_set
        rows.append(shown | answers | {column: values[i] for column, values in result.columns.items()})
    return rows


_FEW = 30  # questions in a group
_MANY_UNANSWERED, _FEW_STATED, _MANY_LETTERS = 0.05, 0.5, 0.1


def warn(result: PolicyResult, num_samples: int) -> Iterator[str]:
    """Yields one sentence, with its number, for each thing that limits what the results say."""
    items, n, has_shuffles = result.items, len(result.items), "consistency" in result.suites
    if (unanswered := sum(item.first_choice is None for item in items)) > _MANY_UNANSWERED * n:
        yield (
            f"{unanswered:,} of {n:,} responses ({unanswered / n:.0%}) have no valid answer and count as wrong: cut "
            "off before it, or in another form than the profile's tags."
        )
    if has_shuffles and (stated := sum(item.trace_choice is not None for item in items)) < _FEW_STATED * n:
        yield (
            f"Only {stated:,} of {n:,} traces state one option, so trace-answer consistency, CR-WA and WR-CA speak of "
            f"{stated / n:.0%} of the responses."
        )
    traced, letters = (
        sum(bool(item.trace) for item in items),
        sum(map(bool, result.columns.get("letter_in_trace", ()))),
    )
    if traced and letters > _MANY_LETTERS * traced:
        yield (
            f"{letters:,} of {traced:,} traces ({letters / traced:.0%}) name an option's letter. After a shuffle the "
            "letter is another option, so consistency measures that too."
        )
    questions = items[::num_samples]
    if has_shuffles and (unmovable := sum(item.second_choices == [] for item in questions)):
        yield f"{unmovable:,} of {len(questions):,} questions refer to letters or places and were not shuffled."
    counts = Counter(item.group for item in questions if item.group is not None)
    small = sorted(name for name, count in counts.items() if count < _FEW)
    if small and "accuracy" in result.suites:
        yield f"Groups with fewer than {_FEW} questions: {', '.join(small)}."
    yield from _of_images(result)


def _of_images(result: PolicyResult) -> Iterator[str]:
    """Says which changes to the images cost no accuracy, as far as can be told, and which raise it."""
    if MODALITY not in result.suites:
        return
    means = result.suites[MODALITY].means
    estimates = {name: means[f"modality_reliance/{name}"].estimate() for name in CHANGES}
    drops = {name: drop for name, drop in estimates.items() if drop.n > 0}
    words = {name: _fall(name, drop, means[f"same_answer_with/{name}"].estimate()) for name, drop in drops.items()}
    free = [name for name, drop in drops.items() if drop.verdict() is None]
    exchanged = [name for name in free if name != "shuffled_frames"]
    if exchanged:
        yield (
            "No fall in accuracy can be told when images are taken away or exchanged. It is "
            f"{', '.join(words[name] for name in exchanged)}: the text alone may give the answers away, or there are "
            "too few questions to tell."
        )
    if "shuffled_frames" in free:
        yield (
            "No fall in accuracy can be told when frames are shuffled. It is "
            f"{words['shuffled_frames']}: the policy may not use their order, or the questions do not need it."
        )
    if better := [words[name] for name, drop in drops.items() if drop.verdict() == "below"]:
        yield f"Accuracy is higher with changed images than with the own ones. The fall is {', '.join(better)}."


def _fall(change: str, drop: Estimate, same: Estimate) -> str:
    value, low, high = (round(100 * number) for number in drop[:3])
    return f"{value} points {CHANGES[change]} ({low} to {high}; {same.value:.0%} of the answers stay)"
