"""Words the chosen answer like the rejected one, so that the two differ in the fact and in little else."""

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

from align.data.texts import fold
from align.methods.rrpo.augmentation.sources import Source
from align.methods.rrpo.augmentation.verdicts import named_letters, names_wrong_answer, normalised_words
from align.models.samplers.sampler import Answer, Failure, Request, prompt_text
from rewards.reading.options import LETTERS
from rewards.reading.responses import parse_response

WORDINGS = ("model", "swap", "reference")
LEAST_SHARED = 0.5  # of the words of the two answers, as `difflib` counts them; below it nothing is aligned
SHORT = 4  # words; answers up to this length may be nothing but the fact, and share none
LETTER = re.compile(r"\(?([A-Za-z])(?=[.):]|$)")  # an answer that is one, or begins with one: B, (B), B. iron
ROOM = 2  # a restatement may be this many times as long as a response, because a longer reference has to fit in
INSTRUCTION = """\
Here is a question and an answer that gets a fact wrong.

Question: {question}

Answer: {rejected}

The right fact is: {reference}

Write the answer again so that it states the right fact. Change the words that are wrong and nothing else; do not \
mention the mistake. Reply with the new answer alone."""


class Wording(NamedTuple):
    """The text of a chosen answer."""

    text: str
    fault: str = ""  # why it cannot be used; empty if it can


def reword_request(source: Source, rejected: str, max_new_tokens: int) -> Request:
    """Asks the model to state the reference in the words of its wrong answer, greedily."""
    question = prompt_text(source.given.prompt)
    text = INSTRUCTION.format(question=question, rejected=rejected, reference=source.reference)
    return Request(text, seed=0, temperature=0.0, max_new_tokens=ROOM * max_new_tokens)


def from_restatement(source: Source, rejected: str, answer: Answer | Failure, is_right: bool | None) -> Wording:
    """Takes what the model wrote, and says where it does not keep to the task; `is_right` is what the check says."""
    if isinstance(answer, Failure):
        return Wording(answer.detail, f"error: {answer.reason}")
    text = answer.text.strip()
    before, after = normalised_words(rejected), normalised_words(text)
    changes = SequenceMatcher(None, before, after, autojunk=False)
    is_short = max(len(before), len(after)) <= SHORT
    faults = {
        "the restatement is empty": not text,
        "the restatement was cut off": answer.cut_off,
        "the restatement names the letter of a wrong option": _is_wrong_letter(source, text, rejected),
        "the restatement is not right": not is_right,
        "the restatement names a wrong answer": names_wrong_answer(source, text),
        "the restatement shares too few words with the response": not is_short and changes.ratio() < LEAST_SHARED,
        # Weak models copy the response, mistake included, and put the fact behind it.
        "the restatement leaves every word of the response": all(
            kind in ("equal", "insert") for kind, *_ in changes.get_opcodes()
        ),
    }
    return Wording(text, next((fault for fault, holds in faults.items() if holds), ""))


def from_swap(source: Source, rejected: str) -> Wording:
    """Puts the reference in the place of a known wrong answer that occurs in the response exactly once.

    An answer that is a letter becomes that of the right option, and so does the letter of the option that was swapped:
    the chosen response would contradict itself. A response that names letters otherwise is not used.

    Example:
        >>> from align.methods.rrpo.augmentation.perturbations import ModelInput
        >>> columns = {"options": ["gold", "tin", "iron"]}
        >>> source = Source("1", ModelInput("Which rusts?"), "iron", ("gold", "tin"), columns, row=1, letter="C")
        >>> from_swap(source, "<think>I think (A) gold rusts.</think><answer>A</answer>").text
        '<think>I think (C) iron rusts.</think><answer>C</answer>'
    """
    if not source.wrong_answers:
        return Wording("", "the row has no wrong answers to swap")
    matches = _occurrences(source.wrong_answers, rejected)
    if len(matches) != 1:
        return Wording("", "no wrong answer to swap" if not matches else "several wrong answers to swap")
    start, end = matches[0].span()
    reference = source.reference
    if rejected[start].isupper() and not rejected[:start].strip():
        reference = reference[0].upper() + reference[1:]
    answer = _letter_place(rejected)
    if answer is not None and start <= answer < end:
        answer = None  # it is replaced already
    if answer is not None and not source.letter:
        return Wording("", "the answer is a letter, and the row has no `options` to say which is right")
    named = [each for each in named_letters(rejected, source.options) if not start <= each.place < end]
    swapped = _letters_of(source.options, rejected[start:end])
    wrong = [each for each in named if each.letter != source.letter and each.place != answer]
    # "A, not C" would become "C, not C".
    has_both = bool(wrong) and any(each.letter == source.letter and each.place != answer for each in named)
    if has_both or any(not each.is_read or each.letter not in swapped for each in wrong):
        return Wording("", "the response names letters of options that cannot be put right")
    text = list(rejected)
    for place in {each.place for each in wrong} | ({answer} if answer is not None else set()):
        text[place] = source.letter if text[place].isupper() else source.letter.lower()
    return Wording("".join([*text[:start], reference, *text[end:]]))


def _letter_place(text: str) -> int | None:
    """Finds the letter that a response answers with."""
    response = parse_response(text)
    found = None if response.answer is None else LETTER.match(response.answer)
    return None if found is None or response.answer_start is None else response.answer_start + found.start(1)


def _letters_of(options: Sequence[str], text: str) -> list[str]:
    return [letter for letter, option in zip(LETTERS, options, strict=False) if fold(option) == fold(text)]


def _is_wrong_letter(source: Source, text: str, rejected: str) -> bool:
    # A right answer may be one letter long: K for potassium.
    if source.letter:
        named = [each for each in named_letters(text, source.options) if text[each.place] != source.reference]
        if any(each.letter != source.letter for each in named):
            return True
    place, before = _letter_place(text), _letter_place(rejected)
    if place is None or text[place] == source.reference:
        return False
    letter = text[place].upper()
    return letter != source.letter if source.letter else before is not None and letter == rejected[before].upper()


def _occurrences(phrases: Sequence[str], text: str) -> list[re.Match[str]]:
    """Finds phrases as whole words, of two that overlap the longer one."""
    longest_first = sorted(phrases, key=len, reverse=True)
    pattern = "|".join(r"\s+".join(map(re.escape, phrase.split())) for phrase in longest_first)
    return list(re.finditer(rf"(?<!\w)(?:{pattern})(?!\w)", text, re.IGNORECASE))
