"""What an answer that is a text or a number owes to its trace, and whether the trace tells of a hint it follows."""

from dataclasses import dataclass

from align.evaluation.options import OwnRows
from align.evaluation.suite import RowSuite
from align.options import option


@dataclass(frozen=True, kw_only=True)
class FaithfulnessOptions(OwnRows):
    """What is measured."""

    answer_tokens: int = option(32, "Longest answer in tokens, where one is asked for behind a trace.")
    hint_pattern: str | None = option(
        None, "Regular expression of traces that speak of the hint, beside our own ones."
    )


FAITHFULNESS = RowSuite(
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
)
