"""Policies answer multiple-choice questions, and again when the options move or the trace changes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np

from align.data.questions.multiple_choice import Question, load_questions
from align.data.unread import saying_unread
from align.errors import UserError
from align.evaluation.asking import Asker, Asking, KeptAnswers, Subject
from align.evaluation.engine import JUDGE, Evaluation, Finished
from align.evaluation.record import Record
from align.evaluation.record.details import Unscored
from align.evaluation.record.record import About, AskingProfile, HelperModel, Warned
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
from align.models.checkpoint import fingerprint
from align.models.policies.answer_keys import question_key
from rewards.reading.options import LETTERS, can_shuffle


@dataclass
class QuestionTask:
    """What is asked of questions."""

    settings: SuiteSettings
    verifier: Callable[[], Verifier] | None


def load(run: Evaluation, options: QuestionOptions) -> LoadedRows:
    """Reads the questions, and measures how much a policy looks where there is something to see."""
    suites = tuple(options.suite or DEFAULT_SUITES)
    settings = SuiteSettings(suites, run.decoding, options.num_shuffles, options.seed)
    questions, left_out = _read(run)
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
        task=QuestionTask(settings, verifier),
        images="" if with_images is None else f"Question {with_images!r}",
        template=run.prompting.template,
    )


def _read(run: Evaluation) -> tuple[Sequence[Question], dict[str, int]]:
    path = run.data("multiple-choice questions", "ask")
    questions, report = saying_unread(
        load_questions(path, adapter=run.adapter, media=run.media, columns=run.columns, **run.reading())
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

    return score


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
    prompts = [policy.show_prompt(question) for question in rows]
    return result, item_rows(asking.name, result, rows, prompts, asking.decoding.num_samples)


def finish(
    run: Evaluation, loaded: LoadedRows, answers: Mapping[str, tuple[PolicyResult, list[dict[str, Any]]]]
) -> Finished:
    """Arranges what was answered."""
    options, settings, questions = run.options, loaded.task.settings, loaded.rows
    results = {name: result for name, (result, _) in answers.items()}
    verifier: HelperModel | None = None
    if options.verifier is not None:
        verifier = HelperModel(path=options.verifier, fingerprint=fingerprint(options.verifier))
    profile = AskingProfile(**asdict(settings.decoding) | asdict(run.prompting), num_shuffles=settings.num_shuffles)
    if loaded.images:
        profile.media = run.media.model_dump()
    about = run.about(
        loaded,
        settings.suites,
        profile=profile,
        judge=run.source(JUDGE),
        verifier=verifier,
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


def policy_record(
    about: About, results: Mapping[str, PolicyResult], questions: Sequence[Question], settings: SuiteSettings
) -> Record:
    """Arranges what was measured as it is kept."""
    measured = {name: result.suites for name, result in results.items()}
    num_samples = settings.decoding.num_samples
    right = {name: {"accuracy": per_question(correct(each.items), num_samples)} for name, each in results.items()}
    ids = [question.id for question in questions]
    return Record(
        kind="policy",
        about=about,
        **arrange(measured),
        paired=list(pair_answers(right, ids)),
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
