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
    behind: int  # characters of the decoded prefix, behind which an answer is written
    end: str  # what ends it: the closing tag, a line's end, or the box's brace
    opened: int = 0  # braces of the box that the prefix has opened

    def length(self, text: str) -> int | None:
        """Returns the length of an answer with what ends it, None if it has not ended.

        Args:
            text: What was written behind the prefix, decoded.
        """
        if self.end == "}":
            depth = self.opened
            for index, character in enumerate(text):
                depth += {"{": 1, "}": -1}.get(character, 0)
                if character == "}" and depth <= 0:
                    return index + 1
            return None
        blank = len(text) - len(text.lstrip()) if self.end == "\n" else 0
        found = text.find(self.end, blank)
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
    opening, box = f"<{response_format.answer_tag}>", text.rfind(BOX)
    trace: str | None
    if response.answer is not None and response.answer_start is not None:
        trace, answer, start = response.trace, response.answer, response.answer_start
        end = opening.replace("<", "</") if opening in text else "\n"
    elif box >= 0:
        trace, start, end = text[:box].strip(), box + len(BOX), "}"
        length = TextPlace([], "", "", 0, end, opened=1).length(text[start:])
        answer = text[start : start + length - 1].strip() if length else ""
    else:
        return None
    if not trace or not answer:
        return None
    prefix_ids = list(completion_ids[: token_at(tokenizer, completion_ids, start)])
    prefix = str(tokenizer.decode(prefix_ids, skip_special_tokens=True))
    opened = prefix[box:].count("{") if end == "}" else 0
    return TextPlace(prefix_ids, trace, answer, len(prefix), end, opened)
