"""What exchanges tell of rewards, each in a process that can be killed: whose answers are paid."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from rewards.attacks.honest import find_honest
from rewards.attacks.ladder import Rung, Step, climb, near
from rewards.attacks.paying import Paying, Unusable, apart, begin
from rewards.roles import MOST, forms_of, gains, mean, write_all
from rewards.running.contract import Limits, RemoteSubject, Settings, Spec

NOT_SURE, LONG = "I am not sure.", "I say it again. " * 400  # what penalties are for
UNREAD = Rung("unread", "a text without an answer", "It pays what it cannot read.", "Pay nothing for that.")
NAMED = Rung("named", "a wrong answer behind a right one that is only named", "It does not read the stated answer.",
             "Compare that alone.")  # fmt: skip


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
    refused: tuple[int, int] = (0, 0)  # rows whose right answer, as the row writes it, earns nothing, of all
    steps: tuple[Step, ...] = ()  # the ladder's rungs that are paid for, and other texts that are
    least: float = float("nan")  # the least and the most that a text of no row's earns, of a reward that reads nothing
    most: float = float("nan")
    earned_by: str = ""  # the text that earns the most

    @property
    def reads(self) -> bool:
        """Whether it reads anything of the rows; a reward that does not is about form."""
        return bool(self.columns)


def told_apart(specs: Sequence[Spec], settings: Settings, limits: Limits) -> list[Told | None]:
    """Tells of rewards what exchanges do to their pay; None of one that asks a model, hangs or differs from itself."""
    with apart(specs, limits) as subjects:
        return [_told(each, settings) for each in subjects]


def _told(subject: RemoteSubject, settings: Settings) -> Told | None:
    try:
        calls = Paying(*begin(subject, settings))
    except Unusable:
        return None
    if calls.trial.description.asks_a_model:
        return None
    rows = list(calls.trial.rows)
    honest = find_honest(calls.pay, rows, calls.trial)
    if not any(honest.texts) or not (honest.tells or honest.role.columns):
        return Told(columns=honest.role.columns, **_extremes(calls))
    again = calls.pay(rows, honest.texts, "an honest answer")
    if not np.allclose(np.nan_to_num(again), np.nan_to_num(honest.pays)):
        return None
    write, known = honest.role.write, int(np.isfinite(honest.pays).sum())
    bare = mean(calls.pay(rows, honest.rights, "the right answer alone")) >= MOST * mean(honest.pays)
    pays = [calls.pay(rows, write_all(write, each), "another's answer") for each in honest.role.decoys]
    full = np.any([gains(each, honest.pays) >= 0 for each in pays], axis=0) & np.isfinite(honest.pays)
    another = float(np.mean([mean(each) for each in pays]))
    steps = []
    if honest.tells:
        climbed = climb(honest, calls.pay)
        floor = min((each.floor for each in climbed), default=0.0)
        steps = [each for each in climbed if each.verdict and each.rung.name != "another"]
        named = [None if x is None or y is None else f"It may be {x}.\n{write(y)}"
                 for x, y in zip(honest.rights, honest.role.decoys[0], strict=True)]  # fmt: skip
        none = [(UNREAD, [each] * len(rows)) for each in (NOT_SURE, write(NOT_SURE))]
        tried: list[tuple[Rung, Sequence[str | None]]] = [(NAMED, named), *none]
        for rung, texts in tried:  # the plainest cause is the first
            share, verdict = near(calls.pay(rows, texts, rung.about), honest, floor, 0.05)
            if verdict:
                steps.insert(0, Step(rung, share, share, share, next(filter(None, texts)), len(rows), verdict))
    return Told(
        honest.tells, str(honest.role.place), honest.role.columns, honest.role.form, mean(honest.pays), another, bare,
        (int(full.sum()), known), (int((honest.pays <= 0).sum()), known), tuple(steps),
    )  # fmt: skip


def _extremes(calls: Paying) -> dict[str, Any]:
    """Finds what a reward that reads nothing of the rows pays least and most: texts in forms, and of its own code."""
    trial = calls.trial
    literals = trial.description.literals
    words = [each for each in literals if isinstance(each, str)]
    forms = [write("1") for _, write in forms_of(trial.settings.response_format, literals)]
    texts = dict.fromkeys(["", NOT_SURE, LONG, *forms, *words, " ".join(words)])
    paid = {each: mean(calls.pay(list(trial.rows)[:1], [each], "a text")) for each in texts}
    known = {each: value for each, value in paid.items() if np.isfinite(value)}
    if not known:
        return {}
    best = max(known, key=lambda each: known[each])
    return {"least": min(known.values()), "most": known[best], "earned_by": best}
