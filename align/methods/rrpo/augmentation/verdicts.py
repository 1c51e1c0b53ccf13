"""Decides which responses are wrong, by letter or words, and words the right answer like the wrong one."""

import math
import re
import unicodedata
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Any, NamedTuple

from align.data.conversations import last_text
from align.data.texts import fold
from align.errors import UserError
from align.methods.rrpo.augmentation.sources import Source
from align.models.samplers.sampler import Answer, Failure, Request
from rewards.catalog import resolve_reward
from rewards.reading.options import LETTERS
from rewards.reading.responses import parse_response
from rewards.reading.traces import letter_mentions, text_mentions
from rewards.running.contract import check_reward
from rewards.running.contract.calls import call_arguments, call_reward

# What is only for show; a tag ends a line, so that what it holds stands alone.
MARKUP = re.compile(r"[*_`$\"\u201c\u201d\u2018{}\[\]]|\\(?:boxed|text\w*|mathrm)\b|(?<!\w)['\u2019]|['\u2019](?!\w)")
TAG = re.compile(r"</?\w[\w-]*>")
NOUN = r"(?i:options?|choices?|answers?|alternatives?|letters?)"
# In either case: at the start of a line or alone on it, in brackets, and behind a noun where a clause ends.
READ = (
    re.compile(r"^[ \t>#\u2022-]*(?:\(\s*)?([A-Za-z])(?:\s*[.):](?!\w)|[ \t]*$)", re.MULTILINE),
    re.compile(r"(?<!\w)\(\s*([A-Za-z])\s*\)"),
    re.compile(rf"\b{NOUN}(?i:\s++is)?\s*+[:=]?\s*+([a-z])(?=\s*(?:[.,;:!?)]|$))", re.MULTILINE),
)
BOXED = re.compile(r"\\boxed\{\W*+(?:text\w*|mathrm)?\W*+([A-Za-z])\W*\}")
# A capital by itself. "A" before a word is an article, unless the word goes on about a letter; "I" is a pronoun.
LONE = re.compile(
    r"(?<![\w.'\u2019°&+#-])(?:[B-HJ-Z]|A(?![ \t]+[\w(])|A(?=[ \t]+(?:is|was|or|and|nor|but|because|since)\b)"
    r"|(?<=[a-z][ ])A(?=[ ][a-z]))(?![\w'\u2019+#-]|\.\w)"
)
DENIED_BEFORE = re.compile(
    rf"(?:(?:\bnot|n['\u2019]t|\brather than|\binstead of|\bexcept|\bunlike|\bneither|\bnor)\s+"
    rf"(?:(?:the|an?|{NOUN})\s+)*"
    rf"|\b(?:wrong|incorrect|false)\s+{NOUN}(?:\s+is)?\s*[:=]?\s*)\(?$",
    re.IGNORECASE,
)
DENIED_BEHIND = re.compile(
    r"\)?[.:]?\s*(?:is|was)(?:n['\u2019]t|\s+(?:not|never|wrong|incorrect|false))\b", re.IGNORECASE
)
NEAR = 60  # characters in front of a letter that may deny it


class NamedLetter(NamedTuple):
    """The letter of an option, in a response."""

    place: int  # of the character
    letter: str  # upper case
    is_read: bool  # named as an answer is; else it may mean something else, such as "vitamin C", or is denied


def named_letters(text: str, options: Sequence[str]) -> list[NamedLetter]:
    """Lists the letters of options that a response names, but for those that are part of an option's text.

    Example:
        >>> named_letters("A metal. The answer is (B) gold, not A.", ["iron", "gold"])
        [NamedLetter(place=24, letter='B', is_read=True), NamedLetter(place=37, letter='A', is_read=False)]
    """
    if not options:
        return []
    plain = MARKUP.sub(lambda found: " " * len(found[0]), TAG.sub(lambda found: "\n" * len(found[0]), text))
    read = {found.start(1) for pattern in READ for found in pattern.finditer(plain)}
    read |= {found.start(1) for found in BOXED.finditer(text)}
    mentions = (range(each.start, len(plain)) for each in letter_mentions(plain, len(options)))
    read |= {next(place for place in places if plain[place].isalpha()) for places in mentions}
    read |= {place for i, option in enumerate(options) for place in _before_its_text(plain, i, option)}
    lone = {found.start() for found in LONE.finditer(plain)}
    texts = [each for each in text_mentions(plain, options, overlapping=True) if each.end - each.start > 1]
    return [
        NamedLetter(place, text[place].upper(), place in read and not _is_denied(plain, place))
        for place in sorted(read | lone)
        if LETTERS.index(text[place].upper()) < len(options) and not any(t.start <= place < t.end for t in texts)
    ]


def _before_its_text(text: str, option: int, option_text: str) -> list[int]:
    """Finds where an option's letter and its text stand together: "A: gold", "a) gold"."""
    letter = LETTERS[option : option + 1]
    words = r"\s+".join(map(re.escape, option_text.split()))
    pattern = rf"(?<![\w'\u2019])({letter}|{letter.lower()})\s*[.):=\u2013\u2014-]\s*(?i:{words})(?!\w)"
    return [found.start(1) for found in re.finditer(pattern, text)] if letter else []


def _is_denied(text: str, place: int) -> bool:
    before = text[max(0, place - NEAR) : place]
    return DENIED_BEFORE.search(before) is not None or DENIED_BEHIND.match(text, place + 1) is not None


# Words as \w+, but every Chinese, Japanese or Korean character by itself, because no space parts them.
_WIDE = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
_LETTER = rf"[^\W{_WIDE}]"
_NUMBER = rf"(?<!{_LETTER})(?:-?\d++(?:\.\d++)*+|-?(?<!\.)\.\d++)(?!{_LETTER})"
WORD = re.compile(rf"{_NUMBER}|[{_WIDE}]|{_LETTER}+")
SIGN_IN_WORDS = re.compile(r"\b(?:minus|negative)\s+(?=\.?\d)")
DECIMAL = re.compile(r"(-?)(\d*)\.(\d+)")
ARTICLES = ("a", "an", "the")
RIGHT_SCORE = 0.5


class ContainsReference:
    """A response is right if the reference occurs in it, word for word.

    Case, punctuation, thousands separators and an article before the reference do not count, but the sign and the
    decimals of a number do. A right answer in other words counts as wrong, and "not Paris" as right: a judge knows
    better. Where the row has options, the letter of the right one is right too, and one that contradicts itself or
    cannot be read gets no verdict.
    """

    name = "contains"

    def are_right(self, sources: Sequence[Source], responses: Sequence[str]) -> list[bool | None]:
        """Looks for each source's reference and the letters of its options in its response."""
        return [_is_right(each, response) for each, response in zip(sources, responses, strict=True)]


class RewardCheck:
    """A response is right if a reward gives it 0.5 or more; None and NaN are no verdict, as for TRL."""

    def __init__(self, spec: str, *, conversational: bool) -> None:
        try:
            self._reward = resolve_reward(spec)
        except ValueError as error:
            raise UserError(f"`judge`: {error}") from error
        self.name = f"judge {spec}"
        self._conversational = conversational

    def try_out(self, sources: Sequence[Source]) -> None:
        """Calls the reward on a few references, before anything is paid for."""
        responses = [self._as_completion(source.reference) for source in sources]
        problems = check_reward(self._reward, _rows(sources), responses)
        if problems:
            raise UserError(" ".join(f"`judge`: {problem}" for problem in problems))

    def are_right(self, sources: Sequence[Source], responses: Sequence[str]) -> list[bool | None]:
        """Scores all responses in one call, as TRL calls a reward."""
        if not responses:
            return []
        completions = [self._as_completion(response) for response in responses]
        values = list(call_reward(self._reward, call_arguments(_rows(sources), completions)))
        if len(values) != len(responses):
            raise UserError(f"`judge` returned {len(values)} values for {len(responses)} responses. Return one each.")
        scores = [math.nan if value is None else float(value) for value in values]
        return [None if math.isnan(score) else score >= RIGHT_SCORE for score in scores]

    def _as_completion(self, response: str) -> Any:
        return [{"role": "assistant", "content": response}] if self._conversational else response


Check = ContainsReference | RewardCheck


def names_wrong_answer(source: Source, text: str) -> bool:
    """Tells whether a text holds a known wrong answer that is no part of the right one."""
    return any(contains(text, wrong) and not contains(source.reference, wrong) for wrong in source.wrong_answers)


def _is_right(source: Source, response: str) -> bool | None:
    states_it = contains(response, source.reference)
    named = named_letters(response, source.options)
    letters, read = {each.letter for each in named}, {each.letter for each in named if each.is_read}
    if not letters:
        return states_it
    if letters != {source.letter}:
        return False if read and source.letter not in letters and not states_it else None
    if states_it:
        return True
    return True if read and not names_wrong_answer(source, response) else None


def contains(text: str, phrase: str) -> bool:
    """Tells whether a phrase occurs in a text as whole words.

    Example:
        >>> contains("It has 1,000 rooms.", "1000 rooms"), contains("A Parisian.", "Paris"), contains("-1.50", "1.5")
        (True, False, False)
    """
    words = normalised_words(phrase)
    if len(words) > 1 and words[0] in ARTICLES:
        words = words[1:]
    if not words:  # nothing but symbols
        return phrase.strip() in text
    return f" {' '.join(words)} " in f" {' '.join(normalised_words(text))} "


def normalised_words(text: str) -> list[str]:
    """Takes a text apart into words without case, punctuation and thousands separators; a number is one word."""
    folded = unicodedata.normalize("NFKC", text).casefold().replace("\N{MINUS SIGN}", "-")
    folded = SIGN_IN_WORDS.sub("-", re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", folded))
    return [_shortest(word) for word in WORD.findall(folded)]


def _shortest(word: str) -> str:
    """Writes a number in one way: 0.5 for .50, and 5 for 5.0."""
    if (found := DECIMAL.fullmatch(word)) is None:
        return word
    sign, whole, decimals = found[1], found[2] or "0", found[3].rstrip("0")
    return f"{sign}{whole}.{decimals}" if decimals else f"{sign}{whole}"


def _rows(sources: Sequence[Source]) -> list[dict[str, Any]]:
    """Returns the columns of rows as a reward gets them; one that another row has is None."""
    names = {name: None for source in sources for name in source.columns}
    return [
        {name: source.columns.get(name) for name in names} | {"prompt": source.given.rendered} for source in sources
    ]


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
    question = last_text(source.given.prompt)
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
        >>> from align.methods.rrpo.augmentation.sources import ModelInput
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
    known = zip(LETTERS, source.options, strict=False)
    swapped = [letter for letter, option in known if fold(option) == fold(rejected[start:end])]
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
    response = parse_response(text)
    found = None if response.answer is None else LETTER.match(response.answer)
    return None if found is None or response.answer_start is None else response.answer_start + found.start(1)


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
