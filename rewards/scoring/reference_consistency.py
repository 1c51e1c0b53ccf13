import json
import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from rewards.reading.author_names import Author, read_authors
from rewards.reading.responses import DEFAULT_FORMAT, Completion, ResponseFormat, completion_text, parse_response
from rewards.scoring.text_accuracy import strip_accents

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

    Args:
        response_format: Tags of the response.
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
        """Scores completions.

        Args:
            completions: The responses, plain or conversational; the answer is the list of authors.
            prompts: Their prompts; responses to one prompt are about one reference.
            reference_id: Names the reference of each row, where several prompts ask about one.
            origin: Does so where there is no `reference_id`; several wordings of `dataset.prompt_template` make it.
            log_metric: TRL's; gets the two means, as `reference_consistency/agreement` and `.../chance`.
            **kwargs: Other columns, not used.

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
        return frozenset(author for author in read_authors(answer or "") if author.surname not in _words(_key(prompt)))


class Contrast(NamedTuple):
    """How much a list of authors agrees with others.

    Attributes:
        agreement: Mean overlap with the other lists about its reference.
        chance: Mean over other references of the mean overlap with their lists.
    """

    agreement: float
    chance: float

    @property
    def value(self) -> float:
        """What is rewarded."""
        return self.agreement - self.chance


def contrast(lists: Sequence[Authors], references: Sequence[Hashable]) -> list[Contrast | None]:
    """Contrasts each list with those about its own reference and about others; None where one of these is missing.

    Args:
        lists: Authors that each response names.
        references: What each response is about.
    """
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
            agreement = _mean([overlap(authors, lists[j]) for j in groups[references[i]] if j != i])
            if agreement is not None and len(groups) > 1:
                chances = [value for name, value in shared if name != references[i]]
                values[i] = Contrast(agreement, sum(chances) / (len(groups) - 1))
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
    common = sum(_matches(ours[surname], theirs[surname]) for surname in ours.keys() & theirs.keys())
    total = sum(map(len, ours.values())) + sum(map(len, theirs.values())) - common
    return common / total if total else 0.0


def _by_surname(authors: Authors) -> dict[str, set[str]]:
    """Collects initials; a surname without one beside the same with one is the same person."""
    initials: dict[str, set[str]] = defaultdict(set)
    for author in authors:
        initials[author.surname].add(author.initial)
    return {surname: found - {""} or found for surname, found in initials.items()}


def _matches(ours: set[str], theirs: set[str]) -> int:
    return 1 if "" in ours or "" in theirs else len(ours & theirs)


def _key(prompt: Any) -> str:
    return prompt if isinstance(prompt, str) else json.dumps(prompt, sort_keys=True, default=str, ensure_ascii=False)


@lru_cache(maxsize=256)
def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"[^\W\d_]+", strip_accents(text.casefold())))


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


reference_consistency = ReferenceConsistency()
