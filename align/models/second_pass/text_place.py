"""Where a response puts an answer that is a text, in tokens, so that another can be written in the same place."""

from collections.abc import Sequence
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from align.models.second_pass.answer_place import token_at
from rewards.reading.responses import ResponseFormat, parse_response

BOX = "\\boxed{"


class TextPlace(NamedTuple):
    """A response cut before its answer."""

    prefix_ids: list[int]
    trace: str
    answer: str
    start: int  # character of a decoded response from which its end is looked for: behind the prefix, or at the box
    end: str  # what ends it: the closing tag, a line's end, or the box's brace

    def length(self, text: str) -> int | None:
        """Returns how long a response is once its answer has ended, None if it has not.

        Args:
            text: The decoded response: the same up to the answer, and then another one.
        """
        if self.end == "}":
            depth = 0
            for index in range(self.start, len(text)):
                depth += {"{": 1, "}": -1}.get(text[index], 0)
                if text[index] == "}" and depth <= 0:
                    return index + 1
            return None
        blank = len(text[self.start :]) - len(text[self.start :].lstrip()) if self.end == "\n" else 0
        found = text.find(self.end, self.start + blank)
        return None if found < 0 else found + len(self.end)


def text_place(
    tokenizer: PreTrainedTokenizerBase, completion_ids: Sequence[int], response_format: ResponseFormat
) -> TextPlace | None:
    r"""Cuts a response before its answer, which is in its tags, on a line `Answer: x`, or in the last `\boxed{}`.

    The tokens of the response are reused as generated. A token that carries the end of the opening tag and the
    beginning of the answer is written anew with the answer. None if there is no trace, or no answer behind it.
    """
    text = str(tokenizer.decode(list(completion_ids), skip_special_tokens=True))
    response = parse_response(text, response_format)
    if response.answer is not None and response.answer_start is not None:
        start, trace, answer = response.answer_start, response.trace, response.answer
        end = "\n" if f"<{response_format.answer_tag}>" not in text else f"</{response_format.answer_tag}>"
    else:
        start = text.rfind(BOX)
        trace, end = text[:start].strip() if start >= 0 else None, "}"
        length = TextPlace([], "", "", start, end).length(text) if start >= 0 else None
        answer = text[start + len(BOX) : length - 1].strip() if length else ""
    if not trace or not answer:
        return None
    first = start + len(BOX) if end == "}" else start
    prefix_ids = list(completion_ids[: token_at(tokenizer, completion_ids, first)])
    behind = len(str(tokenizer.decode(prefix_ids, skip_special_tokens=True)))
    return TextPlace(prefix_ids, trace, answer, min(start, behind), end)
