import json
import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache
from typing import Any

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
        log_metric: Callable[[str, float], None] | None = None,
        **kwargs: Any,
    ) -> list[float | None]:
        """Scores completions.

        Args:
            completions: The responses, plain or conversational; the answer is the list of authors.
            prompts: Their prompts; responses to one prompt are about one reference.
            reference_id: Names the reference of each row, where several prompts ask about one.
            log_metric: TRL's; gets the two means, as `reference_consistency/agreement` and `.../chance`.
            **kwargs: Other columns, not used.

        Example:
            >>> answers = ["Ada Lovelace", "A. Lovelace", "Kurt Gödel", "Alan Turing"]
            >>> reference_consistency([f"Answer: {a}" for a in answers], prompts=["p", "p", "q", "q"])
            [1.0, 1.0, 0.0, 0.0]
        """
        references = [_key(prompt) for prompt in prompts] if reference_id is None else list(reference_id)
        lists = [self._authors(text, prompt) for text, prompt in zip(completions, prompts, strict=True)]
        groups: dict[Hashable, list[int]] = defaultdict(list)
        for i, name in enumerate(references):
            groups[name].append(i)
        agreements: list[float] = []
        chances: list[float] = []
        values: list[float | None] = []
        for i, name in enumerate(references):
            agreement = _mean([overlap(lists[i], lists[j]) for j in groups[name] if j != i])
            others = [
                _mean([overlap(lists[i], lists[j]) for j in rows]) for key, rows in groups.items() if key != name
            ]
            chance = _mean([other for other in others if other is not None])
            if agreement is None or chance is None:
                values.append(None)
                continue
            agreements.append(agreement)
            chances.append(chance)
            values.append(agreement - chance)
        if log_metric is not None and agreements:
            log_metric("reference_consistency/agreement", sum(agreements) / len(agreements))
            log_metric("reference_consistency/chance", sum(chances) / len(chances))
        return values

    def _authors(self, completion: Completion, prompt: Any) -> Authors:
        answer = parse_response(completion_text(completion), self.response_format).answer
        return frozenset(author for author in read_authors(answer or "") if author.surname not in _words(_key(prompt)))


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
