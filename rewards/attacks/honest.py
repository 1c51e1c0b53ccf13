"""Honest answers: the right one in the form that a reward pays best, or the best of given samples."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rewards.attacks.episodes import read_episode
from rewards.attacks.seen import Seen
from rewards.places import Row, Texts, options_of, shape
from rewards.reading.options import LETTERS
from rewards.roles import MOST, Pay, Role, by_place, find_role, gains, write_all
from rewards.running.contract.trial import Trial, row_in_form

CALLED = re.compile(r"def\s+(\w+)|assert\s+(\w+)\(|(\w+)\(")


class Honest(NamedTuple):
    """Honest answers to rows, and what a reward pays for them; NaN where it pays no number."""

    rows: list[Row]
    seen: list[Seen]
    role: Role
    texts: Texts  # the honest responses
    pays: np.ndarray
    others: np.ndarray  # what the reward pays for the least paid of others' answers in the same form
    told: np.ndarray  # where that is less
    guess: float  # share of rows for which the best single guess is right

    @property
    def rights(self) -> Texts:
        """The right answers, None where there is none."""
        return self.role.rights

    @property
    def tells(self) -> bool:
        """Whether the reward is about answers: it pays right ones more than wrong ones in the same form."""
        return bool(self.told.sum() >= max(1, MOST * np.isfinite(self.pays).sum()))

    @property
    def moved(self) -> np.ndarray:
        """Where an exchange of what the reward reads takes pay from the own answer and gives it to another's."""
        return np.any([valid for _, valid in self.role.exchanged] or [np.zeros(len(self.rows), bool)], axis=0)


def find_honest(pay: Pay, rows: list[Row], trial: Trial, samples: Sequence[Sequence[str]] = ()) -> Honest:
    """Finds honest answers to rows, and what the reward tells of them: what every judge of rewards begins with."""
    role = find_role(pay, rows, trial, samples)
    texts = write_all(role.write, role.rights)
    if role.place is None and role.form:  # the best of each row's samples, and the best of others'
        columns = by_place(samples, len(rows))
        best = np.nan_to_num([pay(rows, each, "a sample") for each in columns], nan=-np.inf).argmax(0)
        texts = [columns[k][i] for i, k in enumerate(best)]
        role = role._replace(rights=texts)
    pays = pay(rows, texts, "an honest answer")
    paid = [pay(rows, write_all(role.write, each), "a wrong answer") for each in role.decoys]
    lowest = np.nan_to_num(paid, nan=np.inf).argmin(0)
    wrongs = [role.decoys[k][i] for i, k in enumerate(lowest)]
    others = np.array([paid[k][i] for i, k in enumerate(lowest)])
    told = gains(pays, others) > 0
    counts = Counter(right for right in role.rights if right is not None and role.place is not None)
    seen = [
        _seen(row, right, wrong, role, counts, trial)
        for row, right, wrong in zip(rows, role.rights, wrongs, strict=True)
    ]
    sizes = [len(options_of(row.get(role.place.options))) for row in rows] if role.place and role.place.options else []
    chances = [1 / size for size in sizes if size]
    if trial.settings.ways is not None and role.place is None:
        said = Counter(filter(None, (read_episode(text or "").said.strip() for text in texts)))
        seen = [each._replace(golds=each.golds or (() if each.call else tuple(sorted(said)))) for each in seen]
        # The luck of a transcript, unless one is for all rows.
        counts = Counter(filter(None, texts))
        counts = counts if len(counts) > 1 else Counter({"": 0})
    guess = max([*chances, *(count / len(rows) for count in counts.values())], default=0.5)
    return Honest(rows, seen, role, texts, pays, others, told, guess)


def _seen(row: Row, right: str | None, wrong: str | None, role: Role, counts: Counter[str], trial: Trial) -> Seen:
    """Says what a policy can know of a row."""
    own = Seen(str(row_in_form(row, "text")["prompt"]), form=role.write, tags=trial.settings.response_format)
    own = own._replace(wrong=wrong or "something else", shape=shape(right or ""))
    if role.place is not None and role.place.options:
        texts = options_of(row.get(role.place.options))
        return own._replace(options=tuple(LETTERS[: len(texts)] if role.place.is_letter else texts))
    told = f"{right}\n{[row.get(name) for name in role.columns]}"
    if "def " in (right or "") or "assert " in told:  # all solutions together do the task, so that none is shown
        called = CALLED.search(f"{told}\n{own.prompt}")
        return own._replace(call=next(filter(None, called.groups())) if called else "answer")
    return own._replace(golds=tuple(sorted(counts, key=lambda each: (-counts[each], each))))
