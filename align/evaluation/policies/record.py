"""What an evaluation of policies leaves: `evaluation.json` and `items.parquet`."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from align.data.questions.multiple_choice import Question
from align.errors import UserError
from align.evaluation.divided.division import end_of_part
from align.evaluation.policies.metrics import SuiteResult, correct, per_question
from align.evaluation.policies.suite import PolicyResult, SuiteSettings
from align.evaluation.policies.warnings import warn
from align.evaluation.record import EVALUATION_FILE, ITEMS_FILE, write_record
from align.evaluation.record.answers import Answers, Comparison, PairedAnswers, Warned
from align.evaluation.record.policies import About, BestOfN, Data, ModelAudit, PolicyRecord
from align.evaluation.statistics.comparison import compare_accuracy
from align.evaluation.statistics.glossary import AUDITED, GLOSSARY, Meaning, explain
from align.evaluation.statistics.metrics import Estimate
from align.whole_files import whole_file
from rewards.reading.options import LETTERS, can_shuffle

Suites = Mapping[str, Mapping[str, SuiteResult]]  # by model, then suite
VALUES = "reward/"  # how columns with the values of a reward begin


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
    return PolicyRecord(
        about=about,
        suites=summarise_suites(measured),
        comparisons=compare_suites(measured),
        paired=_pairs(results, questions, settings.decoding.num_samples) if settings.asks_questions else [],
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
        glossary=used_glossary(measured, audited=any(result.audit for result in results.values())),
        warnings=[
            Warned(model=name, text=text)
            for name, result in results.items()
            for text in warn(result, settings.decoding.num_samples)
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


def save_policy_evaluation(folder: Path, record: Answers, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes both files, each whole or not at all; of several processes one does.

    Raises:
        UserError: If they cannot be written.
        EndOfPart: In the processes that do not.
    """
    end_of_part()
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = list(dict.fromkeys(name for row in rows for name in row))
    table = pa.table({name: _column(name, [row.get(name) for row in rows]) for name in names})
    try:
        with whole_file(folder / ITEMS_FILE) as draft:
            pq.write_table(table, draft)
            write_record(folder / EVALUATION_FILE, record)
    except OSError as error:
        raise UserError(
            f"The results cannot be written to {folder}: {error}. Free space there and give the same command again; "
            "no answer is asked for twice."
        ) from error


def summarise_suites(measured: Suites) -> dict[str, dict[str, dict[str, Estimate]]]:
    """Arranges estimates by suite, model and metric; the suites are those of the first model."""
    names = next(iter(measured.values()))
    return {suite: {name: suites[suite].summary() for name, suites in measured.items()} for suite in names}


def compare_suites(measured: Suites) -> list[Comparison]:
    """Lists the differences of the first model to each other one, on the same items."""
    model, *baselines = measured
    return [
        Comparison(model=model, baseline=baseline, suite=suite, metric=metric, difference=difference)
        for baseline in baselines
        for suite, own in measured[model].items()
        for metric, difference in own.differences(measured[baseline][suite]).items()
    ]


def used_glossary(measured: Suites, *, audited: bool = False) -> dict[str, Meaning]:
    """Keeps the entries that explain something that was measured."""
    metrics = {
        metric for suites in measured.values() for suite in suites.values() for metric in (*suite.means, *suite.others)
    }
    used = {explain(metric) for metric in metrics}
    names = [name for name, meaning in GLOSSARY.items() if meaning in used]
    if audited:
        names += [name for name in AUDITED if name not in names]
    return {name: GLOSSARY[name] for name in names}


def _pairs(
    results: Mapping[str, PolicyResult], questions: Sequence[Question], num_samples: int
) -> list[PairedAnswers]:
    model, *baselines = results
    ids = [question.id for question in questions]
    right = {name: per_question(correct(result.items), num_samples) for name, result in results.items()}
    return [
        PairedAnswers(
            model=model,
            baseline=name,
            metric="accuracy",
            **compare_accuracy(ids, right[model], right[name])._asdict(),
        )
        for name in baselines
    ]


def _column(name: str, values: Sequence[Any]) -> Any:
    import pyarrow as pa

    kinds = {type(value) for value in values if value is not None}
    if float in kinds:
        return pa.array(values, type=pa.float64())
    if kinds in ({bool}, {int}):
        return pa.array(values, type=pa.bool_() if kinds == {bool} else pa.int64())
    return pa.array(values, type=_type(name))


def _type(name: str) -> Any:
    """Returns the column's type, which rows of nulls would not tell."""
    import pyarrow as pa

    if name in ("options", "images", "asked_with"):
        return pa.list_(pa.string())
    if name in ("permutations", "rotations"):
        return pa.list_(pa.list_(pa.int64()))
    if name in ("second_choices", "rotation_choices"):
        return pa.list_(pa.int64())
    if name in ("sample", "gold") or name.endswith("_choice"):
        return pa.int64()
    if name in ("consistent", "proxy") or name.startswith(VALUES):
        return pa.float64()
    if name in ("correct", "accepted", "letter_in_trace", "answer_in_trace"):
        return pa.bool_()
    return pa.string()
