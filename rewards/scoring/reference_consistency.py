import json
import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from rewards.reading.responses import DEFAULT_FORMAT, Completion, ResponseFormat, completion_text, parse_response
from rewards.scoring.text_accuracy import strip_accents

MAX_CHARACTERS = 5000
LIST_MARK = re.compile(r"^\s*(?:[-*•]|\(?\d{1,3}[.)\]])\s+", re.MULTILINE)
LABEL = re.compile(r"^\s*(?:the\s+)?authors?(?:\s+(?:is|are))?\s*:?\s+", re.IGNORECASE)
BRACKETS = re.compile(r"\([^()]*\)|\[[^\[\]]*\]")
ET_AL = re.compile(r",?\s*\b(?:et\s+al\b\.?|and\s+(?:others|colleagues)\b)", re.IGNORECASE)
AND = re.compile(r"\s*,?\s*(?:&|\band\b)\s*", re.IGNORECASE)
INITIALS = re.compile(r"(?:[^\W\d_]\.?[-\s]*){1,3}")  # A. | A. B. | AB | J.-L.
SUFFIX = re.compile(r"(?:jr|sr|ii|iii|iv|ph\.?\s?d|m\.?d|dr|prof|professor|mr|mrs|ms)\.?", re.IGNORECASE)
NO_NAMES = {"unknown", "anonymous", "none", "nobody", "unsure", "sorry", "unavailable", "na"}
PARTICLES = {"van", "von", "der", "den", "de", "del", "della", "di", "da", "dos", "la", "le", "du", "ter", "ten", "al"}


class Author(NamedTuple):
    """A name, reduced to what every citation style keeps."""

    surname: str  # its last word, in lower case and without accents
    initial: str  # of the first given name; empty if only a surname was given


def read_authors(text: str) -> frozenset[Author]:
    """Reads a list of authors; order, accents, case, repeated names and "et al." do not matter.

    Names are parted by `;`, lines, `and`, `&`, or else by commas. A name is `Ada Lovelace`, `A. Lovelace`,
    `Lovelace, Ada` (where `;` or lines part the names), `Lovelace, A.` or `Lovelace A`.

    What is decided where a list could be read in two ways:

    - Of a surname of several words the last one counts ("van der Maaten" is "maaten"), and of given names the first
      initial.
    - Commas part names unless initials stand behind every first one ("Vaswani, A., Shazeer, N."). So "Lovelace, Ada",
      with no other name, is read as two surnames.
    - A name without given names first ("Li Wei") cannot be told from the other order.
    - Brackets, numbering, titles and "Jr." are left out. Pieces of more than five words are no names, and neither are
      single words such as "unknown" and "anonymous".

    Example:
        >>> sorted(read_authors("Vaswani, A., Shazeer, N. and Gómez, A. N."))
        [Author(surname='gomez', initial='a'), Author(surname='shazeer', initial='n'), \
Author(surname='vaswani', initial='a')]
        >>> read_authors("Ashish Vaswani; Noam Shazeer et al.") == read_authors("N. Shazeer & A. Vaswani")
        True
    """
    lines = (" ".join(line.split()) for line in text[:MAX_CHARACTERS].split("\n"))
    text = "\n".join(filter(None, lines)).removesuffix(".")  # one space at most: the patterns try each of them
    text = ET_AL.sub("", BRACKETS.sub(" ", LABEL.sub("", LIST_MARK.sub("", text))))
    if re.search(r"[;\n]", text):
        pieces = [piece for part in re.split(r"[;\n]", text) for piece in AND.split(part)]
    else:
        pieces = _part_by_commas(AND.sub(", ", text))
    return frozenset(author for piece in pieces if (author := _author(piece)) is not None)


def _part_by_commas(text: str) -> list[str]:
    parts = [part.strip() for part in text.split(",")]
    parts = [part for part in parts if part and not SUFFIX.fullmatch(part)]
    pairs = list(zip(parts[::2], parts[1::2], strict=False))
    if pairs and len(parts) % 2 == 0 and all(_are_initials(given) for _, given in pairs):
        return [f"{surname}, {given}" for surname, given in pairs]
    return parts


def _author(piece: str) -> Author | None:
    surname, _, given = piece.partition(",")
    if SUFFIX.fullmatch(given.strip()):
        given = ""
    words = [word for word in surname.split() if not SUFFIX.fullmatch(word)]
    givens = [word for word in given.split() if not SUFFIX.fullmatch(word)]
    if not given and len(words) > 1 and _are_initials(words[-1]) and not words[0].isupper():
        words, givens = words[:-1], words[-1:]  # Lovelace A
    elif not given:
        words, givens = words[-1:], [word for word in words[:-1] if word.casefold() not in PARTICLES]
    if not words or len(words) + len(givens) > 5:
        return None
    last, first = _letters(words[-1]), _letters(givens[0]) if givens else ""
    return Author(last, first[:1]) if len(last) > 1 and (givens or last not in NO_NAMES) else None


def _are_initials(text: str) -> bool:
    return text.isupper() and INITIALS.fullmatch(text) is not None


def _letters(word: str) -> str:
    return "".join(character for character in strip_accents(word.casefold()) if character.isalpha())


Authors = frozenset[Author]


class ReferenceConsistency:
    """Rewards author lists on which independent responses agree, more than they agree with other references.

    Asked who wrote a paper that exists, a model names the same authors again and again; of one that it made up it
    names others every time (arXiv 2305.18248, the indirect query; there a model judges the overlap of two lists, here
    it is the share of common names). The reward is

        mean overlap with the other responses to this prompt - mean overlap with the responses to other prompts

    with overlap = common names / names in either list, and the second mean taken over prompts. A policy that always
    names the same authors agrees with everything and earns 0; so does one that names none. Between -1 and 1.

    Consistency is not truth: a wrong list that is the policy's own, stable for this prompt alone, earns 1. Names made
    of the prompt's words are not counted, else a title could be echoed as its authors. The contrast needs many
    different references in one call; with one the reward is None, and so is that of a prompt's only response. How
    names are read, and what "et al." does, says `read_authors`.
    """

    __name__ = "reference_consistency"
    whole_batch = True  # a response is held against the others

    def __init__(self, response_format: ResponseFormat = DEFAULT_FORMAT) -> None:
        self.response_format = response_format

    def __call__(
        self,
        completions: Sequence[Completion],
        prompts: Sequence[Any],
        reference_id: Sequence[Hashable] | None = None,
        origin: Sequence[Hashable] | None = None,
        log_metric: Callable[[str, float], None] | None = None,
        **kwargs: Any,
    ) -> list[float | None]:
        """Scores completions, whose answers are lists of authors.

        Responses to one prompt are about one reference. Where several prompts ask about one, `reference_id` names it,
        or else `origin`, which several wordings of `dataset.prompt_template` make. `log_metric` gets the two means, as
        `reference_consistency/agreement` and `.../chance`.

        Example:
            >>> answers = ["Ada Lovelace", "A. Lovelace", "Kurt Gödel", "Alan Turing"]
            >>> reference_consistency([f"Answer: {a}" for a in answers], prompts=["p", "p", "q", "q"])
            [1.0, 1.0, 0.0, 0.0]
        """
        named = origin if reference_id is None else reference_id
        references = [_key(prompt) for prompt in prompts] if named is None else list(named)
        lists = [self.authors(text, prompt) for text, prompt in zip(completions, prompts, strict=True)]
        found = contrast(lists, references)
        known = [each for each in found if each is not None]
        if log_metric is not None and known:
            log_metric("reference_consistency/agreement", sum(each.agreement for each in known) / len(known))
            log_metric("reference_consistency/chance", sum(each.chance for each in known) / len(known))
        return [None if each is None else each.value for each in found]

    def authors(self, completion: Completion, prompt: Any) -> Authors:
        """Reads the authors that a completion names, without names made of the prompt's words."""
        answer = parse_response(completion_text(completion), self.response_format).answer
        words = re.findall(r"[^\W\d_]+", strip_accents(_key(prompt).casefold()))
        return frozenset(author for author in read_authors(answer or "") if author.surname not in words)


class Contrast(NamedTuple):
    """Mean overlap of a list of authors with others about its reference, and, over other references, with theirs."""

    agreement: float
    chance: float

    @property
    def value(self) -> float:
        """What is rewarded."""
        return self.agreement - self.chance


def contrast(lists: Sequence[Authors], references: Sequence[Hashable]) -> list[Contrast | None]:
    """Contrasts each list with those about its own reference and about others; None where one of these is missing."""
    groups: dict[Hashable, list[int]] = defaultdict(list)
    naming: dict[str, set[Hashable]] = defaultdict(set)  # references by surname: lists without a common one overlap 0
    same: dict[Authors, list[int]] = defaultdict(list)
    for i, name in enumerate(references):
        groups[name].append(i)
        same[lists[i]].append(i)
        for author in lists[i]:
            naming[author.surname].add(name)
    order = {name: place for place, name in enumerate(groups)}
    values: list[Contrast | None] = [None] * len(lists)
    for authors, rows in same.items():
        near: set[Hashable] = set().union(*(naming[author.surname] for author in authors))
        shared = [
            (name, sum(overlap(authors, lists[j]) for j in groups[name]) / len(groups[name]))
            for name in sorted(near, key=order.__getitem__)
        ]
        for i in rows:
            others = [overlap(authors, lists[j]) for j in groups[references[i]] if j != i]
            if others and len(groups) > 1:
                chances = [value for name, value in shared if name != references[i]]
                values[i] = Contrast(sum(others) / len(others), sum(chances) / (len(groups) - 1))
    return values


@lru_cache(maxsize=1 << 16)
def overlap(first: Authors, second: Authors) -> float:
    """Returns the share of names that two lists have in common, of the names in either; 0 if both are empty.

    A surname with an initial matches the same surname with that initial or without one.

    Example:
        >>> overlap(read_authors("A. Lovelace, K. Gödel"), read_authors("Lovelace and A. Turing"))
        0.3333333333333333
    """
    ours, theirs = _by_surname(first), _by_surname(second)
    both = [(ours[surname], theirs[surname]) for surname in ours.keys() & theirs.keys()]
    common = sum(1 if "" in one or "" in other else len(one & other) for one, other in both)
    total = sum(map(len, ours.values())) + sum(map(len, theirs.values())) - common
    return common / total if total else 0.0


def _by_surname(authors: Authors) -> dict[str, set[str]]:
    """Collects initials; a surname without one beside the same with one is the same person."""
    initials: dict[str, set[str]] = defaultdict(set)
    for author in authors:
        initials[author.surname].add(author.initial)
    return {surname: found - {""} or found for surname, found in initials.items()}


def _key(prompt: Any) -> str:
    return prompt if isinstance(prompt, str) else json.dumps(prompt, sort_keys=True, default=str, ensure_ascii=False)


reference_consistency = ReferenceConsistency()
