"""What a column is to a reward, found by exchanging it between rows: whose pay moves says where right answers stand.

Names only order the tries. `find_role` is asked by every judge of rewards.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from rewards.places import FENCE, FIRST_ROWS, NOT_DATA, Place, Row, Texts, exchange, others_of, places
from rewards.reading.responses import ResponseFormat
from rewards.running.contract.patterns import MOST_PATTERNS, in_pattern, matching, patterns
from rewards.running.contract.samples import answer_forms
from rewards.running.contract.trial import TOLERANCE, Trial

Pay = Callable[[Sequence[Row], Texts, str], np.ndarray]
Write = Callable[[str], str]
ROWS_TO_SCREEN, TRIED_AGAIN = 4, 8  # on which all forms of all places are tried, and how many of them again
OF_A_MODEL = 3  # places, and forms, of a reward whose calls are paid for
MOST = 0.5  # share of rows on which an exchange has to move the pay
TRACE = "I read the question again, go through all that is given one by one, keep what matters, and look once more."


class Role(NamedTuple):
    """Where right answers stand for a reward, in which form it reads them, and how far that was seen."""

    place: Place | None
    form: str  # in words
    write: Write
    rights: Texts
    decoys: list[Texts]  # other rows' right answers, `DECOYS` times
    columns: tuple[str, ...] = ()  # whose exchange was seen to move the pay, or else all that the reward reads
    exchanged: list[tuple[list[Row], np.ndarray]] = []  # noqa: RUF012 - rows with others' golds; where these move it


def gains(ones: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Returns by how much pays are above others, and 0 within rounding."""
    found = ones - others
    near = TOLERANCE * np.maximum(1e-2, np.maximum(np.abs(ones), np.abs(others)))
    return np.where(np.abs(found) <= near, 0.0, found)


def mean(pays: np.ndarray) -> float:
    """Returns the mean of what is a number; NaN if nothing is."""
    return float(pays[np.isfinite(pays)].mean()) if np.isfinite(pays).any() else float("nan")


def forms_of(tags: ResponseFormat, literals: Iterable[object], fence: str = "```python\n") -> list[tuple[str, Write]]:
    """Lists the forms in which a reward may read an answer, those that its code shows last."""
    think, own = tags.think_tag, tags.answer_tag
    shown = [
        (f"as its code reads it, {matching(each, '...')}", partial(in_pattern, each))
        for each in patterns(literals)[:MOST_PATTERNS]
    ]
    return [
        *answer_forms(tags),
        ("in a fence", lambda x: f"{fence}{x}\n```"),
        ("in JSON", lambda x: json.dumps({"answer": x}, ensure_ascii=False)),
        ("in a sentence", lambda x: f"The answer is {x}."),
        ("in tags on lines", lambda x: f"<{think}>\n{TRACE}\n</{think}>\n<{own}>\n{x}\n</{own}>\n"),
        *shown,
    ]


def _in_fields(keys: Sequence[str], right: str) -> str:
    return json.dumps(dict.fromkeys(keys, right), ensure_ascii=False)


def write_all(write: Write, texts: Texts) -> list[str | None]:
    """Writes texts in a form; None where there is none."""
    return [None if text is None else write(text) for text in texts]


class _Try(NamedTuple):
    """A place and a form that may be the reward's."""

    place: Place | None
    texts: Texts
    form: str
    write: Write


def find_role(pay: Pay, rows: Sequence[Row], trial: Trial, samples: Sequence[Sequence[str]] = ()) -> Role:
    """Finds where right answers stand for a reward, and in which form it reads them.

    The place is the one whose texts are paid more than other rows' in the same form, on most rows, and most. Where
    no place is, the one that is paid best stands for it, and `exchanged` is empty: no exchange was seen to move pay.
    """
    parameters, read = trial.description.parameters, trial.read
    tries = [_Try(None, texts, "of samples", str) for texts in by_place(samples, len(rows))]
    if not tries:
        known = places(rows, read, trial.description.literals, trial.settings.gold)
        if trial.settings.ways is not None and not trial.settings.gold and {*rows[0]} - NOT_DATA:
            known.append(Place((), is_whole=True))
        tries = _all_tries(rows, known, trial)
    seen, best = _best(pay, rows, tries)
    names = [each for each in trial.description.literals if isinstance(each, str) and each.isidentifier()]
    if names and not (seen.told or samples or trial.description.asks_a_model):  # last: any word may be a name
        form = _Try(None, (), "in JSON, under names of its code", partial(_in_fields, names[:MOST_PATTERNS]))
        tries = [form._replace(place=place, texts=texts) for place, texts in {x.place: x.texts for x in tries}.items()]
        seen, best = max((seen, best), _best(pay, rows, tries), key=itemgetter(0))
    donors = others_of(best.texts)
    role = Role(best.place, best.form, best.write, best.texts, [_texts_of(best.texts, each) for each in donors])
    ways = _ways(role, read, rows, reads_all=parameters.takes_more and not parameters.read)
    role = role._replace(columns=tuple(read))
    if not seen.told or "def " in "".join(filter(None, best.texts[:4])):  # a program is for its own tests only
        return role
    own = pay(rows, write_all(role.write, role.rights), "an honest answer")
    for columns in ways:
        moved = [_moved(pay, rows, role, columns, each, own) for each in donors]
        if np.any([valid for _, valid in moved], axis=0).mean() >= MOST:
            return role._replace(columns=columns, exchanged=moved)
    return role


def by_place(samples: Sequence[Sequence[str]], count: int) -> list[Texts]:
    """Turns samples by row into texts of all rows, the first of each, the second of each and so on."""
    longest = max(map(len, samples), default=0)
    return [[own[k] if k < len(own) else None for own in samples[:count]] for k in range(longest)]


def _all_tries(rows: Sequence[Row], known: Sequence[Place], trial: Trial) -> list[_Try]:
    asks, tries = trial.description.asks_a_model, []
    for place in known[: OF_A_MODEL if asks else None]:
        texts = [place.text(row) for row in rows]
        fenced = FENCE.match(str(next(filter(None, map(place.value, rows)), "")))
        forms = forms_of(trial.settings.response_format, trial.description.literals, *([fenced[1]] if fenced else []))
        forms += trial.settings.ways or ()
        tries += [_Try(place, texts, name, write) for name, write in forms[: OF_A_MODEL if asks else None]]
    return tries


class _Seen(NamedTuple):
    """What decides between tries, in this order."""

    told: bool  # whether others' texts are paid less on most rows
    pay: float
    hidden: bool  # whether prompts do not show the text, as that of `Make 24 from 3 and 8.`
    place: int


def _screen(pay: Pay, rows: Sequence[Row], tries: Sequence[_Try]) -> list[_Try]:
    """Ranks tries by what some rows pay, and returns the best of them, two of a place at most."""
    few = np.linspace(0, len(rows) - 1, min(ROWS_TO_SCREEN, len(rows))).astype(int)
    pays = []
    for each in tries:
        texts = write_all(each.write, [each.texts[i] for i in few])
        pays.append(mean(pay([rows[i] for i in few], texts, f"the right answer {each.form}")))
    ranked = sorted(range(len(tries)), key=lambda i: -np.nan_to_num(pays[i], nan=-np.inf))
    best: dict[Place | None, list[_Try]] = {}
    for each in (tries[i] for i in ranked):
        best.setdefault(each.place, []).append(each)
    kept = [each for of_place in best.values() for each in (of_place[:2] if of_place[0].place else of_place)]
    return kept[:TRIED_AGAIN]


def _best(pay: Pay, rows: Sequence[Row], tries: Sequence[_Try]) -> tuple[_Seen, _Try]:
    nothing = _Seen(False, 0.0, False, 0), _Try(None, [None] * len(rows), "", str)
    return max(_see(pay, rows, _screen(pay, rows, tries)), key=itemgetter(0), default=nothing)


def _see(pay: Pay, rows: Sequence[Row], tries: Sequence[_Try]) -> Iterator[tuple[_Seen, _Try]]:
    """Yields the best paid tries with what decides between them."""
    shown = rows[:FIRST_ROWS]
    for each in tries:
        own = pay(shown, write_all(each.write, each.texts[: len(shown)]), f"the right answer {each.form}")
        least = np.full(len(shown), np.nan)
        for donors in others_of(each.texts):
            wrong = write_all(each.write, _texts_of(each.texts, donors)[: len(shown)])
            least = np.fmin(least, pay(shown, wrong, "a wrong answer"))
        known, told = np.isfinite(own).sum(), (gains(own, least) > 0).sum()
        in_prompt = [
            text is not None and text in str(row.get("prompt")) for row, text in zip(shown, each.texts, strict=False)
        ]
        worth = round(float(np.nan_to_num(mean(own), nan=-np.inf)), 6)
        yield (
            _Seen(
                bool(known and told >= MOST * known), worth, not sum(in_prompt) > MOST * len(shown), -tries.index(each)
            ),
            each,
        )


def _texts_of(texts: Texts, donors: Sequence[int | None]) -> list[str | None]:
    return [None if donor is None else texts[donor] for donor in donors]


def _ways(role: Role, read: Sequence[str], rows: Sequence[Row], *, reads_all: bool) -> list[tuple[str, ...]]:
    """Lists columns to exchange: the place's own, all that the reward reads, and the prompt with them."""
    columns = tuple(name for name in rows[0] if name not in NOT_DATA) if reads_all and not read else tuple(read)
    own = str(role.place.path[0]) if role.place and role.place.path else ""
    ways = [(own,)] if own in columns else []
    return [*dict.fromkeys(way for way in (*ways, columns, ("prompt", *columns)) if way)]


def _moved(
    pay: Pay, rows: Sequence[Row], role: Role, columns: tuple[str, ...], donors: Sequence[int | None], own: np.ndarray
) -> tuple[list[Row], np.ndarray]:
    """Exchanges columns, and tells on which rows the own text loses pay by it, and the other's earns as much."""
    others = exchange(rows, donors, columns)
    if role.place is not None and (not role.place.path or role.place.path[0] in columns):
        texts: Texts = [role.place.text(row) for row in others]
    else:
        texts = _texts_of(role.rights, donors)
    is_other = [donor is not None and a != b for donor, a, b in zip(donors, texts, role.rights, strict=True)]
    lost = gains(own, pay(others, write_all(role.write, role.rights), "an honest answer to another row")) > 0
    is_paid = gains(pay(others, write_all(role.write, texts), "the right answer to another row"), own) >= 0
    return others, lost & is_paid & np.array(is_other, bool)
