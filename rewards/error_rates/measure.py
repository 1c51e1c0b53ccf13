"""Measures how often a reward refuses right answers that are written otherwise, and pays wrong ones that look near."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from rewards.attacks.honest import find_honest
from rewards.attacks.paying import Paying, apart, begin
from rewards.error_rates.scored import BLOCK, Errors, Scored, cluster, errors_of, summed
from rewards.places import Row
from rewards.running.contract import Limits, LocalSubject, RemoteSubject, Settings, Spec

ANSWER = "{}"  # stands for an answer in a form
NO_GOLD = "no row has a right answer that can be written down: name it with `--gold COLUMN` (the rows have {})."
NO_FORM = (
    "it pays the right answers more than wrong ones on {told} of {rows} rows, less on {less}, in the best form "
    "that was tried ({form}), which does not tell them apart: name another column with `--gold COLUMN`, write how an "
    "answer stands in a completion with `--form 'Answer: {{}}'`, or give judged completions with `--labelled "
    "COMPLETION:LABEL`; fewer than 6 rows tell nothing."
)
ALL_ALIKE = "it pays all labelled completions alike, {pay:.4g}: say from which pay one is right with `--right_from`."


class Labelled(NamedTuple):
    """A completion that somebody called right or wrong."""

    row: Row
    text: str
    is_right: bool


class Measured(NamedTuple):
    """What was measured; `unclear` says why nothing was made, where no gold or no form was found."""

    reward: str
    made: Errors | None = None
    labelled: Errors | None = None
    form: str = ""  # in which the answers stood, in words
    problems: list[str] = []  # noqa: RUF012 - sentences, never mutated
    unclear: str = ""


def measure_apart(spec: Spec, settings: Settings, limits: Limits, **how: Any) -> Measured:
    """Measures a reward in a process that can be killed; raises `WorkerError` if none can be started."""
    with apart([spec], limits) as (subject,):
        return measure(subject, settings, **how)


def measure(
    subject: LocalSubject | RemoteSubject,
    settings: Settings,
    *,
    form: str = "",
    synonyms: str = "",
    labelled: Sequence[Labelled] = (),
    right_from: float | None = None,
) -> Measured:
    """Measures both error rates on the rows of `settings`, in about its `max_seconds`; raises `Unusable`.

    Each right answer is written otherwise, and wrong ones beside it, in the form in which the reward pays it best. A
    text is accepted from halfway between what the reward pays for the right answer of the row and a wrong one, or
    from `right_from`. `synonyms` names a column of other right answers; `form` is a completion with `{}` for the
    answer.
    """
    paying = Paying(*begin(subject, settings))
    found, typical = _made(paying, form, synonyms, right_from)
    if labelled:
        judged = _labelled(paying, labelled, typical)
        is_all = isinstance(judged, Errors) and not settings.gold  # that was asked for
        unclear = judged if isinstance(judged, str) else "" if is_all else found.unclear
        found = found._replace(labelled=judged if isinstance(judged, Errors) else None, unclear=unclear)
    return found._replace(problems=paying.said())


def _made(paying: Paying, form: str, synonyms: str, right_from: float | None) -> tuple[Measured, float | None]:
    """Measures on writings that are made, and returns the typical pay from which a text is accepted, too."""
    rows, name = list(paying.trial.rows), paying.trial.name
    if paying.trial.description.asks_a_model and len(rows) > BLOCK:
        paying.problems.append(f"{BLOCK} of {len(rows)} rows were used: each call asks a model.")
        rows = rows[:BLOCK]
    honest = find_honest(paying.pay, rows, paying.trial)
    if not any(honest.rights):
        return Measured(name, unclear=NO_GOLD.format(", ".join(f"`{each}`" for each in rows[0]))), right_from
    write = (lambda answer: form.replace(ANSWER, answer)) if form else honest.role.write
    form, seconds = form or honest.role.form, paying.trial.settings.max_seconds
    errors, typical, counts = errors_of(paying, honest, write, seconds, synonyms, right_from)
    if errors is None and typical is None:
        return Measured(name, form=form, unclear=NO_FORM.format(**counts, form=form)), right_from
    unclear = "" if errors else "it hung or ended its process before a row was done."
    return Measured(name, errors, form=form, unclear=unclear), typical


def _labelled(paying: Paying, labelled: Sequence[Labelled], right_from: float | None) -> Errors | str:
    """Measures on completions with labels; a sentence where nothing says from which pay one is accepted."""
    pays = np.concatenate([
        paying.pay([e.row for e in part], [e.text for e in part], "a labelled completion")
        for part in (labelled[i : i + 4 * BLOCK] for i in range(0, len(labelled), 4 * BLOCK))
    ])  # fmt: skip
    known = pays[np.isfinite(pays)]
    if right_from is None:
        if not known.size or known.min() == known.max():
            return ALL_ALIKE.format(pay=float(known.min()) if known.size else math.nan)
        right_from = float(known.min() + known.max()) / 2
    scored = [
        Scored("labelled", f"Labelled {('wrong', 'right')[e.is_right]}", e.is_right, cluster(e.row), "", e.text,
               float(pay), bool(pay >= right_from))
        for e, pay in zip(labelled, pays, strict=True)
    ]  # fmt: skip
    return summed(scored, right_from)
