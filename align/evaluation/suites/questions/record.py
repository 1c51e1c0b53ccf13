"""What an evaluation of policies on questions leaves: the record, and a row for every answer."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from align.data.questions.multiple_choice import Question
from align.evaluation.record.answers import About, BestOfN, Data, ModelAudit, PolicyRecord, Warned
from align.evaluation.results import arrange, pair_answers
from align.evaluation.statistics.glossary import AUDITED, GLOSSARY
from align.evaluation.statistics.metrics import Estimate, wilson
from align.evaluation.suites.questions.metrics import correct, per_question
from align.evaluation.suites.questions.modality import CHANGES
from align.evaluation.suites.questions.suite import MODALITY, PolicyResult, SuiteSettings
from rewards.reading.options import LETTERS, can_shuffle


def policy_record(
    about: About,
    results: Mapping[str, PolicyResult],
    questions: Sequence[Question],
    settings: SuiteSettings,
) -> PolicyRecord:
    """Arranges what was measured as it is kept."""
    measured = {name: result.suites for name, result in results.items()}
    verifier = "shuffle_consistency" if about.verifier is None else about.verifier.path
    arranged, num_samples = arrange(measured), settings.decoding.num_samples
    if any(result.audit for result in results.values()):
        arranged["glossary"] |= {name: GLOSSARY[name] for name in AUDITED}
    right = {name: per_question(correct(result.items), num_samples) for name, result in results.items()}
    ids = [question.id for question in questions]
    return PolicyRecord(
        about=about,
        **arranged,
        paired=[pair_answers("accuracy", ids, right, name) for name in list(results)[1:] if settings.asks_questions],
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
    name: str,
    result: PolicyResult,
    questions: Sequence[Question],
    prompts: Sequence[str],
    num_samples: int,
) -> list[dict[str, Any]]:
    """Lists the answers of one model, one row per question and sample; an image that is no file is None."""
    with_images = any(question.images for question in questions)
    with_cells = any(question.cell for question in questions)
    rows = []
    for i, item in enumerate(result.items):
        question = questions[i // num_samples]
        seconds = item.second_choices
        answers = asdict(item) | {"correct": item.first_choice == item.gold}
        answers["consistent"] = None
        if seconds:
            answers["consistent"] = sum(choice == item.first_choice for choice in seconds) / len(seconds)
        shown: dict[str, Any] = {"question": question.question, "options": list(question.options)}
        shown |= {"model": name, "sample": i % num_samples, "prompt": prompts[i // num_samples]}
        if with_images:
            paths = [os.path.abspath(image) if isinstance(image, str) else None for image in question.images]
            shown["images"] = paths
        if with_cells:
            shown["class"], shown["subgroup"] = question.cell or (None, None)
        rows.append(shown | answers | {column: values[i] for column, values in result.columns.items()})
    return rows


def describe_questions(
    questions: Sequence[Question], fingerprint: str, *, path: str | None, split: str | None, left_out: dict[str, int]
) -> Data:
    """Counts what the questions are, and says where they come from."""
    groups = Counter(question.group for question in questions if question.group is not None)
    letters = Counter(LETTERS[question.answer] for question in questions)
    found = Data(
        path=path,
        split=split,
        left_out=left_out,
        fingerprint=fingerprint,
        questions=len(questions),
        unshufflable=sum(not can_shuffle(question.options) for question in questions),
        groups=dict(sorted(groups.items())),
        gold_letters=dict(sorted(letters.items())),
    )
    if with_images := sum(bool(question.images) for question in questions):
        found.with_images = with_images
    return found


_FEW = 30  # questions in a group
_MANY_UNANSWERED, _FEW_STATED, _MANY_LETTERS = 0.05, 0.5, 0.1


def warn(result: PolicyResult, num_samples: int) -> list[str]:
    """Lists one sentence, with its number, for each thing that limits what the results say."""
    items = result.items
    n = len(items)
    unanswered = sum(item.first_choice is None for item in items)
    questions = items[::num_samples]
    unmovable = sum(item.second_choices == [] for item in questions) if "consistency" in result.suites else 0
    traced = [item for item in items if item.trace]
    stated = sum(item.trace_choice is not None for item in items)
    letters = sum(bool(each) for each in result.columns.get("letter_in_trace", []))
    small = [
        name
        for name, count in Counter(item.group for item in questions if item.group is not None).items()
        if count < _FEW
    ]
    found = []
    if unanswered > _MANY_UNANSWERED * n:
        found.append(
            f"{unanswered:,} of {n:,} responses ({unanswered / n:.0%}) have no valid answer and count as wrong: cut "
            "off before it, or in another form than the profile's tags."
        )
    if "consistency" in result.suites and stated < _FEW_STATED * n:
        found.append(
            f"Only {stated:,} of {n:,} traces state one option, so trace-answer consistency, CR-WA and WR-CA speak of "
            f"{stated / n:.0%} of the responses."
        )
    if traced and letters > _MANY_LETTERS * len(traced):
        share = wilson(letters, len(traced))
        found.append(
            f"{letters:,} of {len(traced):,} traces ({share.value:.0%}) name an option's letter. After a shuffle the "
            "letter is another option, so consistency measures that too."
        )
    if unmovable:
        found.append(
            f"{unmovable:,} of {len(questions):,} questions refer to letters or places and were not shuffled."
        )
    if small and "accuracy" in result.suites:
        found.append(f"Groups with fewer than {_FEW} questions: {', '.join(sorted(small))}.")
    return [*found, *_of_images(result)]


def _of_images(result: PolicyResult) -> Iterator[str]:
    """Says which changes to the images cost no accuracy, as far as can be told, and which raise it."""
    if MODALITY not in result.suites:
        return
    means = result.suites[MODALITY].means
    estimates = {name: means[f"modality_reliance/{name}"].estimate() for name in CHANGES}
    drops = {name: drop for name, drop in estimates.items() if drop.n > 0}
    words = {name: _fall(name, drop, means[f"same_answer_with/{name}"].estimate()) for name, drop in drops.items()}
    free = [name for name, drop in drops.items() if drop.low <= 0 <= drop.high]
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
    if better := [words[name] for name, drop in drops.items() if drop.high < 0]:
        yield f"Accuracy is higher with changed images than with the own ones. The fall is {', '.join(better)}."


def _fall(change: str, drop: Estimate, same: Estimate) -> str:
    value, low, high = (round(100 * number) for number in drop[:3])
    return f"{value} points {CHANGES[change]} ({low} to {high}; {same.value:.0%} of the answers stay)"
