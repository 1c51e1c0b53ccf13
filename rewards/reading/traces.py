"""What a reasoning trace gives away, without a judge model: its steps, the option it states, letters, quotations."""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rewards.reading.options import LETTERS

SENTENCE_END = re.compile(r"[.!?](?=\s|$)|[;\n]")
NEGATED = re.compile(
    r"(?:\bnot|n't|\brather than|\binstead of|\bexcept|\bunlike|\bnor)\s+(?:the\s+|an?\s+)?$", re.IGNORECASE
)
NEGATED_WITHIN = 100  # characters in front of a mention
# Possessive, so that a trace of a thousand spaces is read once and not once for each of them.
LETTER_MENTION = re.compile(
    r"\b(?i:options?|choices?|answers?|alternatives?|letters?)"
    r"(?i:\s++(?:is|was|are|would\s+be|must\s+be|should\s+be)|\s*+[:=])?(?i:\s++(?:option|choice|letter))?\s*+:?\s*+"
    r"(?P<named>\(\s*[A-Z]\s*\)|\*\*[A-Z]\*\*|[A-Z](?!\w|'))"
    r"|(?P<bracketed>(?<!\w)\([A-Z]\))"
    r"|(?:^|(?<=\n))[ \t]*(?P<listed>[A-Z][.):])(?=\s)"
    r"|\b(?i:so|thus|hence|therefore|it\s+is|it's|choose|pick|select)\W{1,3}(?P<concluded>[A-Z])(?=[.!,;]?(?:\s|$))"
)
ARTICLE_OR_PRONOUN = re.compile(r"[AI]\s+[a-z]")


class Mention(NamedTuple):
    """Where a trace names an option."""

    start: int
    end: int
    option: int


def stated_choice(trace: str | None, options: Sequence[str]) -> int | None:
    """Finds the option whose text the trace states last.

    Texts are matched as whole words, upper and lower case ignored; inside a longer option's text a shorter one does
    not count ("iron" in "iron oxide"), and neither does one right behind "not", "rather than" and the like. The last
    sentence that states an option decides. None if it states several, or no sentence states one, or if two options
    have the same text. Letters are ignored: this asks what the content of the trace supports.

    Example:
        >>> stated_choice("Iron rusts. Gold does not, so gold.", ["iron", "gold"])
        1
        >>> stated_choice("Either iron or gold.", ["iron", "gold"]) is None
        True
    """
    if not trace:
        return None
    mentions = [
        each
        for each in text_mentions(trace, options)
        if not NEGATED.search(trace, max(0, each.start - NEGATED_WITHIN), each.start)
    ]
    if not mentions:
        return None
    ends = [match.end() for match in SENTENCE_END.finditer(trace)]
    sentences = [bisect_right(ends, mention.start) for mention in mentions]
    last_sentence = max(sentences)
    last = {mention.option for mention, i in zip(mentions, sentences, strict=True) if i == last_sentence}
    return last.pop() if len(last) == 1 else None


def names_letter(trace: str | None, num_options: int) -> bool:
    """Tells whether the trace names the letter of an option ("the answer is B", "(C)", "option D", "so B").

    Example:
        >>> names_letter("So the answer is B.", 4), names_letter("Vitamin C is an acid.", 4)
        (True, False)
    """
    return any(True for _ in letter_mentions(trace or "", num_options))


def quotes_answer(trace: str | None, options: Sequence[str], answer: int) -> bool:
    """Tells whether the trace contains the text of the right option, as whole words.

    Example:
        >>> quotes_answer("It must be gold.", ["iron", "gold"], answer=1)
        True
    """
    return any(mention.option == answer for mention in text_mentions(trace or "", options, overlapping=True))


def scrub_letters(trace: str, options: Sequence[str]) -> str:
    """Replaces option letters that the trace names by the texts of the options.

    Example:
        >>> scrub_letters("So the answer is B. Option (A) rusts.", ["iron", "gold"])
        'So the answer is gold. Option iron rusts.'
        >>> scrub_letters("The answer is (B) gold.", ["iron", "gold"])
        'The answer is gold.'
    """
    pieces, position = [], 0
    for mention in letter_mentions(trace, len(options)):
        text = options[mention.option]
        pieces += [trace[position : mention.start], text]
        repeated = re.compile(rf"[.):]?\s*{re.escape(text)}(?!\w)", re.IGNORECASE).match(trace, mention.end)
        position = repeated.end() if repeated else mention.end
    return "".join([*pieces, trace[position:]])


def mask_answers(trace: str, options: Sequence[str]) -> str:
    """Replaces every text of an option and every letter of one that the trace names, right ones and wrong ones alike.

    Example:
        >>> mask_answers("Iron rusts, so the answer is B, gold.", ["iron", "gold"])
        '... rusts, so the answer is ..., ....'
    """
    found = [*letter_mentions(trace, len(options)), *text_mentions(trace, options, overlapping=True)]
    pieces, position = [], 0
    for mention in sorted(found, key=lambda mention: (mention.start, -mention.end)):
        if mention.start >= position:
            pieces += [trace[position : mention.start], "..."]
        position = max(position, mention.end)
    return "".join([*pieces, trace[position:]])


def letter_mentions(trace: str, num_options: int) -> Iterator[Mention]:
    """Lists where letters of options are named."""
    for match in LETTER_MENTION.finditer(trace):
        group = match.lastgroup or ""
        start, end = match.span(group)
        letter = next(character for character in match[group] if character.isalpha())
        spoken = group in ("named", "concluded") and ARTICLE_OR_PRONOUN.match(trace, start)
        if LETTERS.index(letter) < num_options and not spoken:
            yield Mention(start, end, LETTERS.index(letter))


def text_mentions(trace: str, options: Sequence[str], *, overlapping: bool = False) -> list[Mention]:
    """Lists where options' texts occur; without `overlapping`, only those not inside a longer one."""
    found = []
    for i, option in enumerate(options):
        words = r"\s+".join(re.escape(word) for word in option.split())
        if words:
            pattern = re.compile(rf"(?<!\w){words}(?!\w)", re.IGNORECASE)
            found += [Mention(*match.span(), i) for match in pattern.finditer(trace)]
    if overlapping:
        return found
    kept: list[Mention] = []
    end = -1  # of what was kept; a longer one that begins no later is seen first
    for mention in sorted(found, key=lambda mention: (mention.start, -mention.end)):
        if mention.end > end or mention[:2] == kept[-1][:2]:
            kept.append(mention)
            end = mention.end
    return kept


_LINE = re.compile(r"[^\n]*(?:\n|$)")
_ONLY_A_NUMBER = re.compile(r"\W*\w{1,3}[.)]\s*")  # the end of a sentence it is not


def step_spans(trace: str) -> list[tuple[int, int]]:
    r"""Cuts a trace into steps, which are all of it between them; none is blank unless the trace is.

    Steps are lines, or sentences where there is one line only. The number of a step belongs to it.

    Example:
        >>> trace = "First, 2 + 2 = 4.\n\nSo 5."
        >>> [trace[start:end] for start, end in step_spans(trace)]
        ['First, 2 + 2 = 4.\n\n', 'So 5.']
        >>> [len(step_spans(each)) for each in ("It rusts. So iron.", "1. It rusts. 2. So iron.", "")]
        [2, 2, 0]
    """
    several = "\n" in trace.strip()
    ends = [match.end() for match in (_LINE if several else SENTENCE_END).finditer(trace)]
    spans: list[tuple[int, int]] = []
    start = 0
    for end in [*ends, len(trace)]:
        piece = trace[start:end]
        if not piece.strip() or (not several and end < len(trace) and _ONLY_A_NUMBER.fullmatch(piece)):
            if spans and not piece.strip() and end > start:
                spans[-1] = (spans[-1][0], end)
                start = end
            continue
        spans.append((start, end))
        start = end
    return spans
