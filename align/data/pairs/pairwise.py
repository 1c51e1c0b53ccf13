"""The question that a pairwise preference model (PairPM) is asked."""

from collections.abc import Mapping, Sequence
from typing import Any

from align.data.conversations import conversation_text
from align.errors import UserError

Messages = Sequence[Mapping[str, Any]]
LABELS = ("A", "B")
ADAPTER_MARK = "pairwise.json"  # beside an adapter, whose folder has no config of the model
TEMPLATE = """Read the question and two answers to it. Say which answer is better.

<question>
{question}
</question>

<answer A>
{first}
</answer A>

<answer B>
{second}
</answer B>

Write A or B.
"""


def pairwise_prompt(prompt: str | Messages, first: str | Messages, second: str | Messages) -> str | Messages:
    """Writes a prompt and answers A and B as one question whose answer is `A` or `B`, in the form of the prompt.

    Example:
        >>> print(pairwise_prompt("2 + 2?", "Four.", "Five.").splitlines()[3])
        2 + 2?
    """
    question, *answers = (conversation_text(part, "\n\n") for part in (prompt, first, second))
    text = TEMPLATE.format(question=question, first=answers[0], second=answers[1])
    return text if isinstance(prompt, str) else [{"role": "user", "content": text}]


def label_ids(tokenizer: Any) -> tuple[int, int]:
    """Finds the tokens of the two labels."""
    ids = [tokenizer(label, add_special_tokens=False)["input_ids"] for label in LABELS]
    if [len(tokens) for tokens in ids] != [1, 1] or ids[0] == ids[1]:
        raise UserError(
            f"A pairwise model needs one token for each of {LABELS[0]} and {LABELS[1]}, got {ids} from this "
            "tokenizer. Use another model, or `model_type: scalar`."
        )
    return ids[0][0], ids[1][0]
