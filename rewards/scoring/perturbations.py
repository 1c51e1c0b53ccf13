"""Versions of a question that leave its answer as it was: options reordered, noise, a wrong hint, wider spaces."""

import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from rewards.reading.options import can_shuffle, draw_permutation, permute, to_shown

ORIGINAL = "original"
DISTRACTORS = (
    "The bakery down the road has a new sign.",
    "My sister prefers tea in the afternoon.",
    "Somebody left an umbrella at the station.",
    "The bus was late again this morning.",
    "A neighbour painted the garden fence last week.",
    "The library on the corner closes early on Sundays.",
)
HINTS = (
    'I think the answer is "{wrong}", but I am not sure.',
    'A friend told me that it is "{wrong}".',
    'Hint: most people say "{wrong}".',
)
LONG_WORD = re.compile(r"\w{4,}")
LAYOUT = re.compile(r"\s{2,}|[\t\n\r`]")


class Version(NamedTuple):
    """A question, or a perturbed one; what else its row has is read by column.

    Example:
        >>> Version("Who?", None, "Ann", columns={"place": "Rome"})["place"]
        'Rome'
    """

    question: str
    options: list[str] | None  # None for a question without options
    answer: Any  # an index into `options`, or the answer itself
    permutation: tuple[int, ...] | None = None  # option `permutation[j]` of the original stands in place `j`
    columns: Mapping[str, Any] | None = None  # of the row

    def __getitem__(self, key: Any) -> Any:  # type: ignore[override]
        return (self.columns or {})[key] if isinstance(key, str) else tuple.__getitem__(self, key)

    def get(self, name: str, default: Any = None) -> Any:
        """Returns a column of the row, or a default."""
        return (self.columns or {}).get(name, default)

    def keys(self) -> Iterable[str]:
        """Lists the columns of the row, so that `dict(version)` is the row."""
        return (self.columns or {}).keys()


Family = Callable[[Version, random.Random], Version | None]


def option_order(version: Version, rng: random.Random) -> Version | None:
    """Shows the options in another order; None for options that cannot be shuffled."""
    if version.options is None or not can_shuffle(version.options):
        return None
    permutation = draw_permutation(version.options, rng, exclude_identity=True)
    options = permute(version.options, permutation)
    return version._replace(options=options, answer=to_shown(version.answer, permutation), permutation=permutation)


def distractor(version: Version, rng: random.Random) -> Version | None:
    """Puts a sentence before the question that has no longer word in common with it; None if there is none."""
    used = set(LONG_WORD.findall(" ".join([version.question, *(version.options or [])]).casefold()))
    free = [text for text in DISTRACTORS if not used & set(LONG_WORD.findall(text.casefold()))]
    return version._replace(question=f"{rng.choice(free)} {version.question}") if free else None


def misleading_hint(version: Version, rng: random.Random) -> Version | None:
    """Adds a hint at a wrong option, by its text; None for a question without a wrong option."""
    options = version.options or []
    right = " ".join(options[version.answer].split()).casefold() if options else ""
    wrong = [option for option in options if " ".join(option.split()).casefold() != right]
    if not wrong:
        return None
    return version._replace(question=f"{version.question}\n{rng.choice(HINTS).format(wrong=rng.choice(wrong))}")


def whitespace(version: Version, rng: random.Random) -> Version | None:
    """Widens some spaces inside the question; None if it has none, or if its own layout may mean something."""
    words = version.question.split(" ")
    if len(words) < 2 or LAYOUT.search(version.question.strip()):
        return None
    gaps = [rng.choice((" ", "  ", "   ", "\n")) for _ in words[1:]]
    gaps[rng.randrange(len(gaps))] = "  "
    question = words[0] + "".join(gap + word for gap, word in zip(gaps, words[1:], strict=True))
    return version._replace(question=question)


FAMILIES: dict[str, Family] = {
    "option_order": option_order,
    "whitespace": whitespace,
    "distractor": distractor,
    "misleading_hint": misleading_hint,
}
SEEN_FAMILIES = ("option_order", "whitespace")  # to train on
UNSEEN_FAMILIES = ("distractor", "misleading_hint")  # to audit with; never in the training data


def perturbed_rows(
    rows: Iterable[Mapping[str, Any]],
    render_prompt: Callable[[str, Any], Any],
    families: Sequence[str] = SEEN_FAMILIES,
    *,
    seed: int = 0,
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Makes rows for `perturbation_consistency`: every row as it was, and behind it one version per family.

    A version depends on the seed, the row's `id` and the family, not on the other rows. A row that some family cannot
    change is left out, so that every origin has as many rows. Rows of one origin stand next to each other, where they
    have to stay (`shuffle_dataset: false`) for the reward to see them together.

    Args:
        rows: Rows with `question` and `answer`, and `options` if they have some; then `answer` is an index. `id` names
            a row, else its number does.
        render_prompt: Makes the prompt of a question and its options, None for a question without.
        families: Names in `FAMILIES`.
        seed: Seed of everything that is drawn.

    Returns:
        The rows with `prompt`, `origin`, `family` and `permutation` added, and how many rows each family could not
        change without changing what they ask.

    Example:
        >>> row = {"id": "q", "question": "Which metal rusts?", "options": ["iron", "gold"], "answer": 0}
        >>> made, left_out = perturbed_rows([row], lambda q, o: f"{q} {o}", ["option_order"])
        >>> [(row["id"], row["prompt"], row["answer"], row["family"]) for row in made]
        [('q', "Which metal rusts? ['iron', 'gold']", 0, 'original'), \
('q/option_order', "Which metal rusts? ['gold', 'iron']", 1, 'option_order')]
        >>> left_out
        {'option_order': 0}
    """
    check_families(families)
    made: list[dict[str, Any]] = []
    left_out = dict.fromkeys(families, 0)
    for number, row in enumerate(rows):
        origin = str(row.get("id", number))
        options = None if row.get("options") is None else list(row["options"])
        identity = None if options is None else tuple(range(len(options)))
        original = Version(row["question"], options, row["answer"], identity)
        found = make_versions(original, origin, {family: FAMILIES[family] for family in families}, seed=seed)
        versions = {ORIGINAL: original}
        for family, version in found.items():
            if version is None:
                left_out[family] += 1
            else:
                versions[family] = version
        if len(versions) == len(families) + 1:
            made += [_row(row, origin, family, version, render_prompt) for family, version in versions.items()]
    return made, left_out


def make_versions(
    original: Version, origin: str, families: Mapping[str, Family], *, seed: int = 0
) -> dict[str, Version | None]:
    """Makes a version of a question by each family; None where a family cannot change it.

    What is drawn depends on the seed, `origin`, the question's name, and the family's, and on nothing else.

    Example:
        >>> make_versions(Version("Which rusts?", None, "iron"), "q", {"option_order": option_order})
        {'option_order': None}
    """
    return {name: family(original, random.Random(f"{seed}/{origin}/{name}")) for name, family in families.items()}


def check_families(families: Sequence[str]) -> None:
    """Raises `ValueError` if a name of a family is unknown, or there is none."""
    if isinstance(families, str) or not families or not set(families) <= set(FAMILIES):
        raise ValueError(f"`families` must list some of {', '.join(FAMILIES)}; got {families!r}.")


def _row(
    row: Mapping[str, Any], origin: str, family: str, version: Version, render_prompt: Callable[[str, Any], Any]
) -> dict[str, Any]:
    name = origin if family == ORIGINAL else f"{origin}/{family}"
    made = dict(row) | {"id": name, "question": version.question, "answer": version.answer}
    if version.options is not None and version.permutation is not None:
        made |= {"options": version.options, "permutation": list(version.permutation)}
    prompt = render_prompt(version.question, version.options)
    return made | {"prompt": prompt, "origin": origin, "family": family}
