"""Measures how often a reward refuses right answers that are written otherwise, and pays wrong ones that look near."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rewards.attacks.honest import find_honest
from rewards.attacks.paying import MOST_STOPS, Paying, begin
from rewards.error_rates.golds import Gold, read_golds
from rewards.error_rates.rates import Rate, rate_of
from rewards.error_rates.writings import WRITINGS
from rewards.roles import gains
from rewards.running.contract import Drain, Limits, LocalSubject, Remote, RemoteSubject, Settings, Spec
from rewards.running.contract.samples import Row
from rewards.running.workers import WorkerPool

BLOCK = 16  # rows that are looked at before the clock is, and at most of a reward whose calls are paid for
ANSWER = "{}"  # stands for an answer in a form
NO_GOLD = "no row has a right answer that can be written down: name it with `--gold COLUMN` (the rows have {})."
NO_FORM = (
    "it pays the right answers more than wrong ones on {told} of {rows} rows, less on {less}, in the best form "
    "that was tried ({form}), which does not tell them apart: name another column with `--gold COLUMN`, write how an "
    "answer stands in a completion with `--form 'Answer: {{}}'`, or give judged completions with `--labelled "
    "COMPLETION:LABEL`; fewer than 6 rows tell nothing."
)
ALL_ALIKE = "it pays all labelled completions alike, {pay:.4g}: say from which pay one is right with `--right_from`."


class Scored(NamedTuple):
    """A text whose answer is known to be right or wrong, and what the reward made of it."""

    kind: str  # the name of the writing
    words: str  # what it writes
    is_right: bool
    cluster: str  # the row's prompt
    gold: str
    text: str
    pay: float  # NaN where the reward gives no number, which is no pay
    is_paid: bool


class Labelled(NamedTuple):
    """A completion that somebody called right or wrong."""

    row: Row
    text: str
    is_right: bool


class Kind(NamedTuple):
    """How often one kind of writing is taken wrongly: right ones refused, wrong ones paid."""

    rate: Rate
    example: Scored  # one that is taken wrongly, if there is any


class Errors(NamedTuple):
    """Both error rates, as shares of texts, and by kind of writing, the worst first."""

    fnr: Rate  # false negatives: right answers that are refused
    fpr: Rate  # false positives: wrong answers that are paid
    kinds: list[Kind]
    right_from: float  # pay from which a text is accepted, the median over rows
    no_number: int  # texts that got none, and so no pay


class Measured(NamedTuple):
    """What was measured; `unclear` says why nothing was made, where no gold or no form was found."""

    reward: str
    made: Errors | None = None
    labelled: Errors | None = None
    form: str = ""  # in which the answers stood, in words
    problems: list[str] = []  # noqa: RUF012 - sentences, never mutated
    unclear: str = ""


class Plain(NamedTuple):
    """Right and wrong answers `(N,)` as rows have them, and how a completion says one."""

    rights: Sequence[str | None]
    wrongs: Sequence[str]
    write: Callable[[str], str]
    form: str


def measure_apart(spec: Spec, settings: Settings, limits: Limits, **how: Any) -> Measured:
    """Measures a reward in a process that can be killed; raises `WorkerError` if none can be started."""
    limits = limits._replace(completion=max(limits.completion, limits.call / 50))  # a call is for many rows
    with Drain() as drain, WorkerPool(Remote([spec]), output=drain.inlet) as pool:
        return measure(RemoteSubject(pool, 0, spec.spec, limits), settings, **how)


def measure(
    subject: LocalSubject | RemoteSubject,
    settings: Settings,
    *,
    gold: str = "",
    form: str = "",
    synonyms: str = "",
    labelled: Sequence[Labelled] = (),
    right_from: float | None = None,
) -> Measured:
    """Measures both error rates on the rows of `settings`, in about its `max_seconds`; raises `Unusable`.

    Each right answer is written otherwise, and wrong ones beside it, in the form in which the reward pays it best. A
    text is accepted from halfway between what the reward pays for the right answer of the row and a wrong one, or
    from `right_from`. `gold` names the column of right answers and `synonyms` one of others; `form` is a completion
    with `{}` for the answer.
    """
    paying = Paying(*begin(subject, settings))
    found, typical = _made(paying, gold, form, synonyms, right_from)
    if labelled:
        judged = _labelled(paying, labelled, typical)
        is_all = isinstance(judged, Errors) and not gold  # that was asked for
        unclear = judged if isinstance(judged, str) else "" if is_all else found.unclear
        found = found._replace(labelled=judged if isinstance(judged, Errors) else None, unclear=unclear)
    return found._replace(problems=paying.said())


def find_plain(paying: Paying, rows: Sequence[Row], gold: str, form: str) -> Plain:
    """Finds right and wrong answers to rows and the form that the reward reads: the one place that asks how."""
    honest = find_honest(paying.pay, list(rows), (), paying.trial, gold)
    write = (lambda answer: form.replace(ANSWER, answer)) if form else honest.seen[0].form
    wrongs = [each.wrong for each in honest.seen]
    return Plain(honest.rights, wrongs, write, form if form else honest.role.form)


def _made(
    paying: Paying, gold: str, form: str, synonyms: str, right_from: float | None
) -> tuple[Measured, float | None]:
    """Measures on writings that are made, and returns the typical pay from which a text is accepted, too."""
    rows, name = list(paying.trial.rows), paying.trial.name
    if paying.trial.description.asks_a_model and len(rows) > BLOCK:
        paying.problems.append(f"{BLOCK} of {len(rows)} rows were used: each call asks a model.")
        rows = rows[:BLOCK]
    plain = find_plain(paying, rows, gold, form)
    if not any(plain.rights):
        return Measured(name, unclear=NO_GOLD.format(", ".join(f"`{each}`" for each in rows[0]))), right_from
    texts = [None if right is None else plain.write(right) for right in plain.rights]
    pays = paying.pay(rows, texts, "the right answer")
    others = [text and plain.write(wrong) for text, wrong in zip(texts, plain.wrongs, strict=True)]
    below = _beside(paying, rows, texts, others, "a wrong answer")
    gained = gains(pays, np.nan_to_num(below))
    told, less = gained > 0, int((gained < 0).sum())
    if rate_of(np.arange(told.sum() + less) < told.sum()).low <= 0.5:  # as many rows as by chance
        seen = {"told": int(told.sum()), "rows": int(np.isfinite(pays).sum()), "less": less, "form": plain.form}
        return Measured(name, form=plain.form, unclear=NO_FORM.format(**seen)), right_from
    halfway = (pays + np.nan_to_num(below)) / 2
    typical = float(np.median(halfway[told])) if right_from is None else right_from
    froms = np.where(told, halfway, typical) if right_from is None else np.full(len(rows), typical)
    known = [i for i in range(len(rows)) if np.isfinite(pays[i])]
    if lost := sum(text is not None for text in texts) - len(known):
        paying.problems.append(f"{lost} of {len(rows)} rows were left out: their right answer gets no number.")
    golds = read_golds(rows, plain.rights, synonyms)
    scored = _score(paying, plain, [(rows[i], golds[i], float(froms[i])) for i in known])
    if not scored:
        return Measured(name, form=plain.form, unclear="it hung or ended its process before a row was done."), typical
    return Measured(name, _errors(scored, typical), form=plain.form), typical


def _score(paying: Paying, plain: Plain, asked: Sequence[tuple[Row, Gold, float]]) -> list[Scored]:
    """Scores all writings of some rows at a time, until there is no time; rows that are not done do not count."""
    started, scored = time.monotonic(), list[Scored]()
    for start in range(0, len(asked), BLOCK):
        is_late = start and time.monotonic() - started > paying.trial.settings.max_seconds
        done = [] if is_late else _score_block(paying, plain, asked[start : start + BLOCK])
        if is_late or paying.stops >= MOST_STOPS:
            why = "raise `--max_seconds`" if is_late else f"{MOST_STOPS} texts have stopped it"
            paying.problems.append(f"{start} of {len(asked)} rows were used: {why}.")
            break
        scored += done
    return scored


def _beside(
    paying: Paying, rows: list[Row], plains: Sequence[str | None], texts: Sequence[str | None], name: str
) -> np.ndarray:
    """Scores texts, beside the plain answers where a reward compares what is in a batch."""
    if not paying.trial.description.whole_batch:
        return paying.pay(rows, texts, name)
    return paying.pay([*rows, *rows], [*plains, *texts], name)[len(rows) :]


def _score_block(paying: Paying, plain: Plain, asked: Sequence[tuple[Row, Gold, float]]) -> list[Scored]:
    rows, scored = [row for row, _, _ in asked], list[Scored]()
    written: list[set[str]] = [set() for _ in asked]  # so that no text of a row counts twice
    for writing in WRITINGS:
        texts: list[str | None] = []
        for (_, gold, _), before in zip(asked, written, strict=True):
            answer = writing.write(gold)
            text = None if answer is None else plain.write(answer)
            is_new = text is not None and (text or not answer) and text not in before
            texts.append(text if is_new else None)
            before |= {text} if text is not None else set()
        if all(text is None for text in texts):
            continue
        values = _beside(paying, rows, [plain.write(gold.text) for _, gold, _ in asked], texts, writing.name)
        for (row, gold, least), text, pay in zip(asked, texts, values, strict=True):
            if text is not None:
                known = (writing.name, writing.words, writing.is_right, _cluster(row), gold.text, text)
                scored.append(Scored(*known, float(pay), bool(pay >= least)))
    return scored


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
        Scored("labelled", f"Labelled {('wrong', 'right')[e.is_right]}", e.is_right, _cluster(e.row), "", e.text,
               float(pay), bool(pay >= right_from))
        for e, pay in zip(labelled, pays, strict=True)
    ]  # fmt: skip
    return _errors(scored, right_from)


def _cluster(row: Mapping[str, Any]) -> str:
    return repr(row.get("prompt"))


def _errors(scored: Sequence[Scored], right_from: float) -> Errors:
    sides = {side: [each for each in scored if each.is_right is side] for side in (True, False)}
    kinds = []
    for side, texts in sides.items():
        for name in dict.fromkeys(each.kind for each in texts):
            own = [each for each in texts if each.kind == name]
            shown = next((each for each in own if each.is_paid is not side), own[0])
            kinds.append(Kind(_rate(own), shown))
    kinds.sort(key=lambda each: (not each.example.is_right, -each.rate.share, -each.rate.low))
    no_number = sum(math.isnan(each.pay) for each in scored)
    return Errors(_rate(sides[True]), _rate(sides[False]), kinds, right_from, no_number)


def _rate(texts: Sequence[Scored]) -> Rate:
    """Estimates the share of texts that are taken wrongly, all of one side."""
    return rate_of([each.is_paid is not each.is_right for each in texts], [each.cluster for each in texts])
