from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from rewards.reading.options import parse_choice, to_content
from rewards.reading.responses import DEFAULT_FORMAT, Completion, ResponseFormat, completion_text, parse_response
from rewards.scoring.perturbations import ORIGINAL, SEEN_FAMILIES, UNSEEN_FAMILIES, check_families
from rewards.scoring.text_accuracy import normalise_text

Key = Hashable | None  # an option in the original's order, or a normalised text; None for no answer


@dataclass(eq=False)
class PerturbationConsistency:
    """Rewards a right answer by how rarely it flips when the question is perturbed: `1 - flip rate`.

    An answer to a question and one to a perturbed version of it are a flip if they differ, by content and not by
    letter; no answer differs from everything. A response to the original is held against all responses to its versions
    in the same call, each family counting alike; a response to a version against all responses to the original. A
    wrong answer earns 0 however stable it is. None if the call has nothing to hold a response against.

    In a recipe `dataset.perturb` makes its rows and keeps them together. In plain TRL use rows that
    `rewards.perturbed_rows` made, in their order: `shuffle_dataset: false`, and per device and generation a multiple
    of (families + 1) * `num_generations` responses, so that rows of one origin meet in one call. All right responses
    to one prompt then have the same reward, which `scale_rewards: group` divides out again: use `batch` or `none`,
    with which a prompt whose right answers do not survive a new wording pulls less. What tells two right responses to
    one prompt apart is `answer_consistency`, with `method: acre`.

    Limits: at a temperature above 0 two samples of one prompt differ too; `flip_rate/original` is that rate. A family
    is unseen only as long as none of its rows are in the training data, whatever reward reads them.

    Args:
        families: Families that count, of `rewards.FAMILIES`; rows of others are None.
    """

    __name__ = "perturbation_consistency"
    whole_batch = True  # a response is held against the others

    families: Sequence[str] = SEEN_FAMILIES
    response_format: ResponseFormat = DEFAULT_FORMAT

    def __post_init__(self) -> None:
        check_families(self.families)

    def __call__(
        self,
        completions: Sequence[Completion],
        origin: Sequence[Hashable] | None = None,
        family: Sequence[str] | None = None,
        answer: Sequence[Any] | None = None,
        options: Sequence[Sequence[str] | None] | None = None,
        permutation: Sequence[Sequence[int] | None] | None = None,
        log_metric: Callable[[str, float], None] | None = None,
        **kwargs: Any,
    ) -> list[float | None]:
        """Scores completions; a row whose `answer` is None is skipped.

        `origin` names the question that a row is, or is a version of; `family` is `original`, or that of the version.
        `answer` is the index of the right option; where there are no options the right text or number, which is
        compared as it is written, or a list of which each is right. `options` are in the order of the prompt, and
        `permutation` has the place of each in the original, None for the same order. `log_metric` gets the flip rate
        of each family that is in the call. Raises `ValueError` if the columns it needs are missing.

        Example:
            >>> texts = ["Answer: A", "Answer: B", "Answer: B", "Answer: B"]
            >>> names = {"origin": ["q"] * 4, "family": ["original"] * 2 + ["option_order"] * 2}
            >>> shown = {"options": [["iron", "gold"]] * 2 + [["gold", "iron"]] * 2}
            >>> order = {"permutation": [[0, 1]] * 2 + [[1, 0]] * 2}
            >>> perturbation_consistency(texts, answer=[0, 0, 1, 1], **names, **shown, **order)
            [1.0, 0.0, 0.5, 0.5]
        """
        if answer is None:
            raise ValueError(f"`{self.__name__}` needs the column `answer`.")
        if origin is None or family is None:
            raise ValueError(
                f"`{self.__name__}` needs the columns `origin` and `family`, which a recipe makes with "
                "`dataset.perturb: [option_order, whitespace]` and plain TRL with `rewards.perturbed_rows`. A recipe "
                "keeps them with `method: grpo`; rows read as multiple choice, as with `method: acre`, lose them."
            )
        orders = permutation or [None] * len(completions)
        shown = options or [None] * len(completions)
        keys = [
            read_answer(parse_response(completion_text(completion), self.response_format).answer, row, order)
            for completion, row, order in zip(completions, shown, orders, strict=True)
        ]
        values = self._compare(keys, list(zip(origin, family, strict=True)), log_metric)
        golds = [_accepted(gold, row, order) for gold, row, order in zip(answer, shown, orders, strict=True)]
        return [
            None if value is None or not accepted else value if key in accepted else 0.0
            for value, key, accepted in zip(values, keys, golds, strict=True)
        ]

    def _compare(
        self, keys: list[Key], names: list[tuple[Hashable, str]], log_metric: Callable[[str, float], None] | None
    ) -> list[float | None]:
        answers: dict[Hashable, dict[str, list[Key]]] = defaultdict(lambda: defaultdict(list))
        for key, (origin, family) in zip(keys, names, strict=True):
            answers[origin][family].append(key)
        if log_metric is not None:
            for family in (ORIGINAL, *self.families):
                rate = _flip_rate(list(answers.values()), family)
                if rate is not None:
                    log_metric(f"{self.__name__}/flip_rate/{family}", rate)
        values = []
        for key, (origin, family) in zip(keys, names, strict=True):
            against = self.families if family == ORIGINAL else (ORIGINAL,) if family in self.families else ()
            shares = [_agreement(key, answers[origin].get(other, [])) for other in against]
            values.append(_mean([share for share in shares if share is not None]))
        return values


@dataclass(eq=False)
class UnseenPerturbationConsistency(PerturbationConsistency):
    """`PerturbationConsistency` over the families that are not trained on, to be logged as an audit."""

    __name__ = "unseen_perturbation_consistency"
    families: Sequence[str] = UNSEEN_FAMILIES


def read_answer(answer: str | None, options: Sequence[str] | None, order: Sequence[int] | None) -> Key:
    """Reads an answer in a form that is the same in every version of a question; None if it is not exactly one.

    `order` has the place of each shown option in the original; None for the same order.

    Example:
        >>> read_answer("A", ["gold", "iron"], (1, 0)), read_answer("Gold.", None, None)
        (1, 'gold')
    """
    if options is None:
        return None if answer is None else normalise_text(answer)
    choice = parse_choice(answer, options)
    return choice if order is None else to_content(choice, order)


def _accepted(gold: Any, options: Sequence[str] | None, order: Sequence[int] | None) -> list[Key]:
    """Lists the answers that are right; none if the row does not say."""
    if gold is None:
        return []
    if order is not None:
        return [order[gold]]
    return [_as_key(each, options) for each in (gold if isinstance(gold, list | tuple) else [gold])]


def _as_key(answer: Any, options: Sequence[str] | None) -> Key:
    if answer is None or (options is not None and not isinstance(answer, str)):
        return answer
    # 72.0 is what a column makes of 72 beside 0.5
    return normalise_text(f"{answer:.15g}" if isinstance(answer, float) else str(answer))


def _agreement(key: Key, others: Sequence[Key]) -> float | None:
    """Returns the share of answers that equal one; None if there are none to compare with."""
    if not others:
        return None
    return 0.0 if key is None else others.count(key) / len(others)


def _flip_rate(origins: Sequence[dict[str, list[Key]]], family: str) -> float | None:
    """Returns the mean over origins of the share of pairs (answer to the original, to a version) that differ."""
    rates = []
    for answers in origins:
        originals, versions = answers.get(ORIGINAL, []), answers.get(family, [])
        if family == ORIGINAL:
            shares = [_agreement(key, originals[:i] + originals[i + 1 :]) for i, key in enumerate(originals)]
        else:
            shares = [_agreement(key, versions) for key in originals]
        agreement = _mean([share for share in shares if share is not None])
        if agreement is not None:
            rates.append(1 - agreement)
    return _mean(rates)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


perturbation_consistency = PerturbationConsistency()
unseen_perturbation_consistency = UnseenPerturbationConsistency()
