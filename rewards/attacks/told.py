"""What exchanges tell of rewards, each in a process that can be killed: whose answers are paid."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rewards.attacks.honest import find_honest
from rewards.attacks.paying import Paying, Unusable, begin
from rewards.roles import MOST, gains, mean, write_all
from rewards.running.contract import Drain, Limits, Remote, RemoteSubject, Settings, Spec
from rewards.running.workers import WorkerPool


class Told(NamedTuple):
    """What exchanges tell of a reward."""

    tells: bool = False  # whether right answers earn more than other rows' in the same form
    place: str = ""  # where they stand
    columns: tuple[str, ...] = ()  # whose exchange moves its pay, or else all that it reads
    form: str = ""  # in which it reads answers, in words
    honest: float = float("nan")  # mean pay of right answers
    another: float = float("nan")  # and of other rows' in the same form
    bare: bool = False  # whether a right answer alone, in no form, earns most of it
    overpaid: tuple[int, int] = (0, 0)  # rows on which some other row's answer earns as much, of all

    @property
    def reads(self) -> bool:
        """Whether it reads anything of the rows; a reward that does not is about form."""
        return bool(self.columns)


def told_apart(specs: Sequence[Spec], settings: Settings, limits: Limits) -> list[Told | None]:
    """Tells of rewards what exchanges do to their pay; None of one that asks a model, hangs or differs from itself."""
    limits = limits._replace(completion=max(limits.completion, limits.call / 50))
    with Drain() as drain, WorkerPool(Remote(specs), output=drain.inlet) as pool:
        return [_told(RemoteSubject(pool, i, spec.spec, limits), settings) for i, spec in enumerate(specs)]


def _told(subject: RemoteSubject, settings: Settings) -> Told | None:
    try:
        calls = Paying(*begin(subject, settings))
    except Unusable:
        return None
    if calls.trial.description.asks_a_model:
        return None
    rows = list(calls.trial.rows)
    honest = find_honest(calls.pay, rows, calls.trial)
    if not any(honest.texts):
        return Told(columns=honest.role.columns)
    again = calls.pay(rows, honest.texts, "an honest answer")
    if not np.allclose(np.nan_to_num(again), np.nan_to_num(honest.pays)):
        return None
    bare = mean(calls.pay(rows, honest.rights, "the right answer alone")) >= MOST * mean(honest.pays)
    pays = [calls.pay(rows, write_all(honest.role.write, each), "another's answer") for each in honest.role.decoys]
    full = np.any([gains(each, honest.pays) >= 0 for each in pays], axis=0) & np.isfinite(honest.pays)
    another = float(np.mean([mean(each) for each in pays]))
    return Told(
        honest.tells, str(honest.role.place), honest.role.columns, honest.role.form, mean(honest.pays), another, bare,
        (int(full.sum()), int(np.isfinite(honest.pays).sum())),
    )  # fmt: skip
