"""Whether right answers are worth more than wrong ones, than none, and than all of them at once."""

import re
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from rewards.attacks.honest import Honest, find_honest
from rewards.attacks.paying import Paying
from rewards.error_rates.scored import beside_honest
from rewards.places import GOLD_COLUMNS, Place, exchange, others_of, places
from rewards.reading.options import LETTERS
from rewards.roles import Write, forms_of, gains, write_all
from rewards.running.contract.patterns import own_texts
from rewards.running.contract.problem import RewardProblem
from rewards.running.contract.trial import Form, Trial, write_value

ROWS, ROWS_FOR_LISTS, LONGEST_LIST = 16, 4, 400
SHARE_OF_TIME = 0.5
SMALL_SHARE = 0.1  # of the largest gain from being right; less comes from the answers' lengths, not their truth
SHOWN = 3
NOTHING = {"an empty response": "", "whitespace only": " \n\t "}
_NUMBER = re.compile(r"\d")


def check_answers(trial: Trial, form: Form) -> Iterator[RewardProblem]:
    """Looks at whom a reward pays, by the exchanges that an attack makes; leaves its error rates with the trial."""
    if "environments" in trial.description.parameters.read:
        return  # it pays what calls have done, and a trial makes none
    before = {value for value in trial.seen if value is not None}
    paying = Paying(trial, form, time.monotonic() + SHARE_OF_TIME * trial.settings.max_seconds)
    honest = find_honest(paying.pay, list(trial.rows[:ROWS]), trial)
    is_told = honest.tells and bool(honest.role.exchanged)
    if len(before) == 1 and not trial.description.whole_batch:  # else it depends on how a policy's answers agree
        (value,), count = before, len(trial.seen)
        is_same = {value} == {each for each in trial.seen if each is not None}
        if paying.late and not is_told:
            yield trial.problem("few_samples/answers")
            return
        golds = "" if value else _of_options(trial) or (name_the_golds(trial) if is_same and not is_told else "")
        if golds:
            yield trial.problem("reads_no_gold", value=value, count=count, golds=golds)
            return
        if is_told:  # in a form that no response before had
            own = next(filter(None, honest.texts))
            yield trial.problem("constant/form", value=value, count=count, own=own)
            return
        if is_same and not _varies(paying, value):
            is_unread = value or not trial.read or trial.is_synthetic or trial.settings.gold
            yield trial.problem("constant", value=value, count=count) if is_unread else _unclear(trial, honest)
            return
    if is_told:
        yield from _check_unpaid(paying, honest)
        yield from _check_greedy(paying, honest)
        if trial.settings.error_rates:
            trial.errors = beside_honest(paying, honest)
    elif paying.late:
        yield trial.problem("few_samples/answers")
    else:
        yield from _check_unmoved(paying, honest)


def _varies(paying: Paying, value: float) -> bool:
    """Tells whether a reward gives another value to some text in a form that policies write, or its code names."""
    texts = own_texts(paying.trial.description.literals)
    found = paying.pay(paying.trial.rows[:1] * len(texts), texts, "a text in a form")
    return bool((found[np.isfinite(found)] != value).any())


def _unclear(trial: Trial, honest: Honest) -> RewardProblem:
    columns = ", ".join(f"`{name}`" for name in trial.read)
    return trial.problem("unclear", columns=columns, form=honest.role.form)


def _check_unmoved(paying: Paying, honest: Honest) -> Iterator[RewardProblem]:
    """Says what a reward makes of the columns that it reads, where no right answer earns by them."""
    trial, rows, read = paying.trial, honest.rows, paying.trial.read
    donors = others_of([repr([row.get(name) for name in read]) for row in rows])[0]
    if not read or trial.description.about_form or not any(each is not None for each in donors):
        return  # it says that no right answer moves it
    is_known = bool(trial.settings.gold) or (trial.is_synthetic and not {*read}.isdisjoint(GOLD_COLUMNS))
    turned = find_honest(lambda *asked: -paying.pay(*asked), rows, trial)
    if turned.tells and turned.role.exchanged:
        row = int(turned.told.argmax())
        told = {"wrong": write_value(-float(turned.others[row])), "right": write_value(-float(turned.pays[row]))}
        told |= {"form": turned.role.form, "column": str(turned.role.place), "gold": f"{turned.rights[row]!r:.60}"}
        yield trial.problem("wrong_above_right" if is_known else "unclear/turned", **told)
        return
    if gains(honest.pays, paying.pay(exchange(rows, donors, read), honest.texts, "another row")).any():
        return  # it reads the rows for something else
    if is_known or (not trial.is_synthetic and np.nan_to_num(honest.pays).max() > 0):
        yield trial.problem("ignores_answer", column=_first(trial), forms=_names(trial))
    elif not trial.is_synthetic and not trial.description.whole_batch:  # which may compare answers with each other
        yield _unclear(trial, honest)


def _forms(trial: Trial) -> list[tuple[str, Write]]:
    return forms_of(trial.settings.response_format, trial.description.literals)


def _names(trial: Trial) -> str:
    return ", ".join(name for name, _ in _forms(trial))


def _check_unpaid(paying: Paying, honest: Honest) -> Iterator[RewardProblem]:
    """Finds rows whose right answer earns no more than a wrong one in any form."""
    trial, gained = paying.trial, honest.pays - honest.others
    least = SMALL_SHARE * float(np.nanmax(gained))
    unpaid = np.isfinite(gained) & ~(gained > least)
    for _, write in _forms(trial) if unpaid.any() else ():
        pairs = [(right, seen.wrong) if lost else (None, None)
                 for right, seen, lost in zip(honest.rights, honest.seen, unpaid, strict=True)]  # fmt: skip
        right, wrong = (paying.pay(honest.rows, write_all(write, each), "again") for each in zip(*pairs, strict=True))
        unpaid &= ~(right - wrong > least)
    if unpaid.any():
        row = int(unpaid.argmax())
        told: dict[str, Any] = {"count": int(unpaid.sum()), "of": int(np.isfinite(gained).sum())}
        told |= {"gold": f"{honest.rights[row]!r:.60}", "value": write_value(float(honest.pays[row]))}
        yield trial.problem("right_below_maximum", column=honest.role.place, forms=_names(trial), **told)


def _check_greedy(paying: Paying, honest: Honest) -> Iterator[RewardProblem]:
    """Finds responses that say nothing, or all answers, and are paid as the right one is."""
    trial, first = paying.trial, [i for i, told in enumerate(honest.told) if told][:ROWS_FOR_LISTS]
    rows, least = [honest.rows[i] for i in first], honest.pays[first]
    for name, text in NOTHING.items():
        paid = paying.pay(rows, [text] * len(rows), name)
        if (paid >= least).any():
            yield trial.problem("pays_nothing", name=name, value=write_value(float(paid[(paid >= least).argmax()])))
            return
    lists = [_every_answer(honest, i) for i in first]
    for name, write in [(honest.role.form, honest.role.write), *_forms(trial)]:
        found = [
            paying.pay(rows, write_all(write, each), "every answer") >= least for each in zip(*lists, strict=True)
        ]
        paid = np.all(found, axis=0) if found else np.zeros(len(rows), bool)
        if 2 * paid.sum() > len(rows):
            text = write(str(lists[int(paid.argmax())][0])).strip().splitlines()[-1]
            told = {"name": f"every answer {name}", "text": text, "value": write_value(float(least[paid.argmax()]))}
            yield trial.problem("pays_every_answer", **told, on=int(paid.sum()), of=len(rows), s="s" * (len(rows) > 1))
            return


def _every_answer(honest: Honest, row: int) -> list[str | None]:
    """Lists all answers with the right one at neither end, which a reward may read; of two, in both orders."""
    known, right = [*honest.seen[row].known], honest.rights[row]
    if len(known) < 2 or right not in known or sum(map(len, known)) >= LONGEST_LIST:
        return [None, None]
    if len(known) > 2:
        place = min(max(known.index(right), 1), len(known) - 2)
        known.remove(right)
        known.insert(place, right)
    return [" or ".join(known), " or ".join(known if len(known) > 2 else known[::-1])]


def _first(trial: Trial) -> Place | None:
    """Returns the place that is tried first, if the reward reads it."""
    place = next(iter(places(trial.rows, trial.read, gold=trial.settings.gold)), None)
    return place if place is not None and place.path[0] in trial.read else None


def _of_options(trial: Trial) -> str:
    """Says that right answers are indices of options that a reward does not read."""
    place, row = _first(trial), trial.rows[0]
    if place is None or not place.options or place.options in trial.read or not isinstance(place.value(row), int):
        return ""
    letter, text = (place._replace(is_letter=each).text(row) for each in (True, False))
    return (
        f"The right answers, `{place}`, are indices into `{place.options}` (row 1: {place.value(row)}, which is "
        f"{letter}, {text!r:.40}), and responses name a letter or a text: `accuracy` grades them."
    )


def name_the_golds(trial: Trial) -> str:
    """Says what right answers the rows hold, and which reward grades them; empty for numbers, or if none is read."""
    place = _first(trial)
    if trial.is_synthetic or place is None or isinstance(place.value(trial.rows[0]), int):
        return _of_options(trial)
    texts = [place._replace(options="", is_letter=False).text(each) for each in trial.rows]
    golds = [*dict.fromkeys(filter(None, texts))]
    if not golds or any(_NUMBER.search(gold) for gold in golds):
        return ""
    shown = ", ".join(f"{gold!r:.40}" for gold in golds[:SHOWN])
    if all(len(gold) == 1 and gold.upper() in LETTERS for gold in golds):
        more = "" if place.options else ", beside a column `options`: the list of their texts"
        return f"The right answers, `{place}`, are letters ({shown}) and no numbers: `accuracy` grades them{more}."
    return f"The right answers, `{place}`, are texts without a number ({shown}): `text_accuracy` compares those."
