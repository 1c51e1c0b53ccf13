"""Public schemas of demonstrations, each turned into ours by one small function."""

from typing import Any

from align.data.problems import BadRow
from align.data.questions.adapters import Adapter, Row, media_of

ASKED = (
    "{question}\nThink about the question deeply before you answer. Write your reasoning inside <think> </think>, and "
    "then only the {answer} inside <answer> </answer>."
)  # as `recipes/acre/qwen2.5-vl-7b.yaml` asks
ANSWERS = {
    "multiple choice": "letter of the right option",
    "numerical": "number",
    "regression": "number",
    "OCR": "text that is read",
    "free-form": "answer as text",
}


def video_r1_cot(row: Row) -> dict[str, Any]:
    r"""Reads Video-R1's demonstrations: the columns of `video_r1`, any `problem_type`, and `process`, the reasoning.

    Example:
        >>> row = {"problem": "1 + 1?", "problem_type": "numerical", "process": "<think>It is 2.</think>",
        ...        "solution": "<answer>2</answer>"}
        >>> video_r1_cot(row)["completion"][0]["content"]
        '<think>It is 2.</think>\n<answer>2</answer>'
    """
    for column in ("problem", "process", "solution"):
        if not isinstance(row[column], str):
            raise BadRow(column, row[column], "the column is not a text", "Write one.")
    kind = row.get("problem_type", "multiple choice")
    if kind not in ANSWERS:
        raise BadRow("problem_type", kind, "the kind of question is unknown", f"Known: {', '.join(ANSWERS)}.")
    question = row["problem"]
    if kind == "multiple choice":
        question += "\nOptions:\n" + "\n".join(map(str, row["options"]))
    asked = ASKED.format(question=question, answer=ANSWERS[kind])
    return {
        "id": row.get("problem_id"),
        "prompt": [{"role": "user", "content": asked}],
        "completion": [{"role": "assistant", "content": f"{row['process']}\n{row['solution']}"}],
        **media_of(row),
    }


DEMONSTRATION_ADAPTERS: dict[str, Adapter] = {"video_r1_cot": video_r1_cot}
