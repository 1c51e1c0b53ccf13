"""Where a response puts its letter, or a text that answers, in tokens, so that another can stand in its place."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from rewards.reading.options import LETTERS
from rewards.reading.responses import Response, ResponseFormat, parse_response


class AnswerPlace(NamedTuple):
    """A response cut before the letter of its answer."""

    prefix_ids: list[int]
    letter_ids: list[int]  # the token that each live letter would have there, K of them


def answer_place(
    tokenizer: PreTrainedTokenizerBase, completion_ids: Sequence[int], text: str, response: Response, num_options: int
) -> AnswerPlace:
    """Cuts a response before its letter and lists the tokens of all K live letters there.

    The tokens of the response are reused as generated, so that the second pass reads the same trace and not a
    re-tokenised copy. Where that is impossible (the answer was given as text, or ">B" is one token and ">C" is two),
    the text before the answer is tokenised anew. `text` is decoded without special tokens, and `response` has an
    answer. Raises `ValueError` if the tokenizer has no single token for one of the letters.
    """
    if response.answer is None or response.answer_start is None:
        raise ValueError(f"A second answer needs a first one, and this response has none: {text[-80:]!r}.")
    letter = re.match(r"\(?\s*([A-Za-z])(?![A-Za-z])", response.answer)
    if letter is not None:
        index = token_at(tokenizer, completion_ids, response.answer_start + letter.start(1))
        siblings = _sibling_letters(tokenizer, completion_ids[index], letter[1], num_options)
        if siblings is not None:
            return AnswerPlace(list(completion_ids[:index]), siblings)
    return retokenised_place(tokenizer, text[: response.answer_start], num_options)


def retokenised_place(tokenizer: PreTrainedTokenizerBase, prefix: str, num_options: int) -> AnswerPlace:
    """Tokenises the text before the letter anew; for texts that were edited after they were generated."""
    spellings = [(prefix, "")]
    if prefix.endswith(" "):  # most vocabularies hold " B" as one token, and the model has only seen that one here
        spellings.insert(0, (prefix[:-1], " "))
    for text, space in spellings:
        ids = [tokenizer.encode(space + letter, add_special_tokens=False) for letter in LETTERS[:num_options]]
        if all(len(letter) == 1 and letter[0] != tokenizer.unk_token_id for letter in ids):
            return AnswerPlace(tokenizer.encode(text, add_special_tokens=False), [letter[0] for letter in ids])
    raise ValueError(
        f"The second pass reads the answer from one token, but {type(tokenizer).__name__} spells some of the letters "
        f"{', '.join(LETTERS[:num_options])} with several. Use a tokenizer with single-token letters, or "
        f"`second_pass: off`."
    )


def token_at(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], offset: int) -> int:
    """Finds the token that carries character `offset` of the decoded text, by bisection over prefixes."""
    low, high = 0, len(ids)
    while low < high:
        middle = (low + high) // 2
        if len(tokenizer.decode(list(ids[:middle]), skip_special_tokens=True)) > offset:
            high = middle
        else:
            low = middle + 1
    return low - 1


def _sibling_letters(
    tokenizer: PreTrainedTokenizerBase, token_id: int, letter: str, num_options: int
) -> list[int] | None:
    token = str(tokenizer.convert_ids_to_tokens(token_id))
    if token.count(letter) != 1:
        return None
    letters = LETTERS[:num_options] if letter.isupper() else LETTERS[:num_options].lower()
    ids = [tokenizer.convert_tokens_to_ids(token.replace(letter, other)) for other in letters]
    known = [other for other in ids if isinstance(other, int) and other != tokenizer.unk_token_id]
    return known if len(set(known)) == num_options else None


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
        """Counts the characters of an answer behind the prefix, with what ends it; None if it has not ended."""
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
