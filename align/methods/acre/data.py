"""The recipe's data: read, validated row by row, and looked at for a planted answer position."""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple, cast

from align.checks.finding import Finding
from align.data.problems import DataReport
from align.data.questions.balance import letter_balance
from align.data.questions.multiple_choice import Question, load_questions
from align.data.questions.rows import questions_to_rows
from align.data.questions.templates import PromptTemplate
from align.recipe.dataset import DatasetConfig, MultipleChoiceDatasetConfig
from align.recipe.recipe import Recipe
from rewards.options import LETTERS

_SHOWN_REASONS = 3  # that a sentence about rows left out shows a row of


class Loaded(NamedTuple):
    """Questions and the rows a trainer reads."""

    questions: list[Question]
    report: DataReport
    rows: list[dict[str, Any]]
    eval_rows: list[dict[str, Any]]
    template: PromptTemplate
    fingerprints: dict[str, str]  # SHA-256 of each local file
    eval_report: DataReport | None = None  # None without rows for evaluation


def load_data(recipe: Recipe) -> Loaded:
    """Reads the questions of a recipe and renders their prompts.

    Raises:
        DataError: If the data cannot be read, or has rows that cannot be used and should not be skipped.
    """
    data = cast(MultipleChoiceDatasetConfig, recipe.dataset)
    template = PromptTemplate(data.prompt_template, data.system_prompt, data.conversational)
    questions, report = load_questions(
        data.path,
        adapter=data.adapter,
        split=data.split,
        on_bad_rows=data.on_bad_rows,
        max_rows=data.max_rows,
        media=data,
        columns=data.columns,
    )
    rows, _ = questions_to_rows(questions, template, shuffle_options=data.shuffle_options, seed=data.seed)
    eval_rows, eval_report = _eval_rows(data, template)
    return Loaded(questions, report, rows, eval_rows, template, fingerprints(data), eval_report)


def check_data(recipe: Recipe, data: Loaded) -> list[Finding]:
    """Counts rows, rows left out, and rows that cannot be shuffled; warns about unbalanced answer letters."""
    findings = check_counts(recipe.dataset, data.report, len(data.eval_rows), data.eval_report)
    if cast(MultipleChoiceDatasetConfig, recipe.dataset).shuffle_options:
        return findings
    for balance in letter_balance(data.questions):
        if balance.unbalanced:
            shares = ", ".join(f"{LETTERS[i]} {count}" for i, count in enumerate(balance.counts))
            text = (
                f"The right answers are not balanced over the letters ({shares}; chi-square "
                f"p {_p_text(balance.p_value)}). A policy can learn the place. "
                f"`dataset.shuffle_options: true` removes this at no cost."
            )
            findings.append(Finding("warning", "data", text, {"counts": balance.counts, "p_value": balance.p_value}))
    return findings


def check_counts(
    dataset: DatasetConfig, report: DataReport, num_eval_rows: int, eval_report: DataReport | None = None
) -> list[Finding]:
    """Counts the rows that were read, and those left out with their reasons, of both files."""
    counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in report.counts.items())
    findings = [Finding("ok", "data", f"{report.file}: {counts}.", dict(report.counts))]
    if report.problems:
        findings.append(_left_out(report, "rows"))
    if num_eval_rows:
        findings.append(Finding("ok", "data", f"{dataset.eval_path}: {num_eval_rows} for evaluation."))
    if eval_report is not None and eval_report.problems:
        findings.append(_left_out(eval_report, "rows for evaluation"))
    return findings


def _left_out(report: DataReport, what: str) -> Finding:
    """Counts rows left out by reason, and shows the first of the most frequent reasons with its remedy."""
    reasons = "; ".join(f"{count} x {rule}" for rule, count in report.reasons.items())
    firsts = {problem.rule: str(problem) for problem in reversed(report.problems)}
    others = [firsts[rule] for rule in report.reasons if rule != report.problems[0].rule][: _SHOWN_REASONS - 1]
    shown = " Then: ".join([str(report.problems[0]), *others])
    text = f"{len(report.problems)} {what} are left out ({reasons}), of {report.num_read}. The first: {shown}"
    return Finding("warning", "data", text, report.reasons)


def fingerprints(data: DatasetConfig) -> dict[str, str]:
    """Computes the SHA-256 of each local file of a data set, by file name."""
    files = [Path(path) for path in (data.path, data.eval_path) if path is not None and Path(path).is_file()]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _p_text(p_value: float | None) -> str:
    return f"= {p_value:.1g}" if p_value else "< 1e-300"


def _eval_rows(
    data: MultipleChoiceDatasetConfig, template: PromptTemplate
) -> tuple[list[dict[str, Any]], DataReport | None]:
    if data.eval_path is None:
        return [], None
    questions, report = load_questions(
        data.eval_path,
        adapter=data.adapter,
        split=data.eval_split,
        on_bad_rows=data.on_bad_rows,
        media=data,
        columns=data.columns,
    )
    return questions_to_rows(questions, template)[0], report
