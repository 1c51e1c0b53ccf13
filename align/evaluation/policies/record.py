"""What an evaluation of policies on questions leaves: the record, and a row for every answer."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from align.data.questions.multiple_choice import Question
from align.evaluation.policies.metrics import correct, per_question
from align.evaluation.policies.suite import PolicyResult, SuiteSettings
from align.evaluation.policies.warnings import warn
from align.evaluation.record.answers import Warned
from align.evaluation.record.policies import About, BestOfN, Data, ModelAudit, PolicyRecord
from align.evaluation.results import arrange, pair_answers
from align.evaluation.statistics.glossary import AUDITED, GLOSSARY
from rewards.reading.options import LETTERS, can_shuffle


def policy_record(
    about: About,
    results: Mapping[str, PolicyResult],
    questions: Sequence[Question],
    settings: SuiteSettings,
) -> PolicyRecord:
    """Arranges what was measured as it is kept.

    Args:
        about: What was run: models, data, profile, versions.
        results: By model; the first is the one asked about and the others are its baselines.
        questions: All of them, in the order of the results.
        settings: What was measured.
    """
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
