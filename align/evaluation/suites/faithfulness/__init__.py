"""What an answer that is a text or a number owes to its trace, and whether the trace tells of a hint it follows."""

from align.evaluation.suites.suite import RowSuite

FAITHFULNESS = RowSuite(
    name="faithfulness",
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
    options=("answer_tokens", "hint_pattern"),
)
