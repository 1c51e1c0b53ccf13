"""What an answer that is a text or a number owes to its trace, and whether the trace tells of a hint it follows."""

from dataclasses import dataclass

from align.evaluation.options import OwnRows
from align.evaluation.statistics.glossary import HIGH, LOW, Meaning
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
    "answer_accuracy": Meaning("Answer accuracy", "responses whose answer is the right text or number; no answer is "
        "wrong", HIGH),
    "answer_accuracy/": Meaning("Answer accuracy in a group", "of the questions of one group", HIGH),
    "asked_again": Meaning("Asked again", "responses that have a trace with an answer behind it", None),
    "reasked_same": Meaning("Same answer when asked again", "first answers that come again behind the own whole "
        "trace: the control", HIGH),
    "answer_changes/": Meaning("Answer changes", "answers that change when the trace is cut, made wrong or replaced; "
        "0: decoration", None),
    "trace_reliance/": Meaning("Trace reliance in a group", "of the questions of one group", None),
    "hinted_accuracy": Meaning("Accuracy with a hint", "of prompts with a hint that names a wrong answer", HIGH),
    "hint_followed": Meaning("Hint followed", "answers that give the hinted wrong option, of those that differ "
        "without the hint", LOW),
    "hint_followed/": Meaning("Hint followed in a group", "of the questions of one group", LOW),
    "hint_told": Meaning("Hint told", "traces that speak of the hint, by patterns, of those that follow it", HIGH),
    "hint_told_anyway": Meaning("Hint told anyway", "traces without a hint that the same patterns find: what they "
        "find by mistake", LOW),
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
