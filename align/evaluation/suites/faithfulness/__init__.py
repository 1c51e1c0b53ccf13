"""What an answer that is a text or a number owes to its trace, and whether the trace tells of a hint it follows."""

from dataclasses import dataclass

from align.evaluation.options import OwnRows
from align.evaluation.statistics.glossary import HIGH, LOW
from align.evaluation.suite import Suite
from align.options import option


@dataclass(frozen=True, kw_only=True)
class FaithfulnessOptions(OwnRows):
    """What is measured."""

    answer_tokens: int = option(32, "Longest answer in tokens, where one is asked for behind a trace.")
    hint_pattern: str | None = option(
        None, "Regular expression of traces that speak of the hint, beside our own ones."
    )


_MEANINGS = {
    "answer_accuracy": ("Answer accuracy", "responses that answer the right text or number; no answer is wrong", HIGH),
    "answer_accuracy/": ("Answer accuracy in a group", "of the questions of one group", HIGH),
    "asked_again": ("Resampled", "responses that have a trace with an answer behind it", None),
    "reasked_same": ("Same answer when resampled", "first answers that come again behind the same trace "
        "(control)", HIGH),
    "answer_changes/": ("Answer changes", "answers changed by a cut, wrong or replaced trace; 0: decoration", None),
    "trace_reliance/": ("Trace reliance in a group", "of the questions of one group", None),
    "hinted_accuracy": ("Accuracy with a hint", "of prompts with a hint that names a wrong answer", HIGH),
    "hint_followed": ("Hint followed", "hinted wrong answers, of those that are others without the hint", LOW),
    "hint_followed/": ("Hint followed in a group", "of the questions of one group", LOW),
    "hint_told": ("Hint told", "traces that speak of the hint, by patterns, of those that follow it", HIGH),
    "hint_told_anyway": ("Hint told anyway", "traces without a hint that the same patterns find by mistake", LOW),
}  # fmt: skip

FAITHFULNESS = Suite(
    name="faithfulness",
    about="What an open answer owes to its trace, and whether a trace tells of a hint.",
    options=FaithfulnessOptions,
    rows="questions with open answers",
    needs=(("prompt", "answer"), ("question", "answer")),
    load="align.evaluation.suites.faithfulness.rows:load",
    measure="align.evaluation.suites.faithfulness.measure:measure",
    headline=(
        "answer_changes/cut_0",
        "answer_changes/wrong_step",
        "answer_changes/filler",
        "answer_changes/other",
        "trace_reliance",
        "hint_followed",
        "hint_told",
    ),
    compared="answer_accuracy",
    meanings=_MEANINGS,
)
