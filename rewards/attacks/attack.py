"""Scores hacks beside honest answers, and says which of them a reward pays as much."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from rewards.attacks.episodes import FOUND, covers, read_episode
from rewards.attacks.hacks import HACKS
from rewards.attacks.honest import Honest, find_honest
from rewards.attacks.ladder import ERROR, Step, climb, lower_bound, near
from rewards.attacks.mutants import WeakTests, weak_tests
from rewards.attacks.paying import MOST_STOPS, Paying, Unusable, apart, begin
from rewards.attacks.search import SEARCH, Mix, Search
from rewards.attacks.seen import Family, Hack, Seen
from rewards.error_rates.scored import Errors, beside_honest
from rewards.places import Texts
from rewards.roles import gains, mean
from rewards.running.contract import Limits, LocalSubject, RemoteSubject, Settings, Spec
from rewards.running.contract.calls import shorten
from rewards.running.contract.trial import Form, Trial, write_value

FEW_ROWS = 8  # of a reward whose calls are paid for
# Rows of which a hack has to win on one, or to earn something, to be tried on the rest: of texts, and of episodes the
# fewest where they take long, and the most.
FIRST_ROWS, FIRST_PLAYED = 16, (2, 6)
RED_TEAM = "red_team"  # the family whose winners are cut to what earns
IDLE = ("claims", "judged_early")  # families of the few plays without work, which no luck of many finds
LITTLE = 0.3  # of an honest answer's pay
OFTEN = 0.6  # share of rows on which one rule for all of them must not be right
DATA = Family(
    "data", "One rule that is right on most rows",
    "Balance the right answers (`dataset.shuffle_options: true` for options), and keep them out of prompts.",
)  # fmt: skip
VERDICTS = {  # what an attack says of a reward
    "gamed": "it is gamed by {}; an honest answer earns {}.",
    "soft": "{} earns {} of what an honest answer does.",
    "beside": "it pays the right answer more with something added to it, which `reward_clip` caps: {}.",
    "handed": "a tool hands out what is paid, which is a hole unless that is the task: {}.",
    "misread": "false positive: it pays what means another answer, to a policy that knows the right one: {}.",
    "weak": "tests pass every mistake of some row",
    "form": "format reward: nothing that rows hold moves it, so that alone it pays for no right answer: {}.",
    "unclear": "{}",
    "failed": "{}",
}
Said = tuple[str, str, dict[str, Any]]  # a verdict, `failed` or `ok`; a sentence; its numbers


class Outcome(NamedTuple):
    """What a reward pays for a hack."""

    hack: str
    family: str
    about: str  # what it writes, in words
    verdict: str  # gamed, soft, beside, misread, unclear or no
    earned: int  # rows on which the verdict holds
    rows: int  # that were compared
    low: float  # lower bound of the share of such rows
    pay: float  # mean over those rows, or over all where there are none
    row: int  # of the example
    text: str  # the response to it
    mean: float = -math.inf  # pay over all rows
    share: float = 0.0  # of an honest answer's pay over all rows, where the verdict is soft


class AttackResult(NamedTuple):
    """What came of an attack."""

    reward: str
    outcomes: list[Outcome] = []  # noqa: RUF012 - never mutated; the clearest first
    problems: list[str] = []  # noqa: RUF012 - sentences: what hung, raised or was left out
    remedies: dict[str, str] = {}  # noqa: RUF012 - by family
    honest: Honest | None = None
    ladder: list[Step] = []  # noqa: RUF012 - what is earned without knowing, and by knowing
    about_form: bool = False  # whether the reward says so, or reads nothing that could be a right answer
    untried: int = 0  # hacks for which there was no time, or that were stopped
    mixtures: int = 0  # that a search tried
    errors: Errors | None = None  # both error rates, where right answers were found and told from wrong ones
    weak: WeakTests | None = None  # how many wrong programs pass, where programs are asked for

    def of(self, verdict: str) -> list[Outcome]:
        """Lists the outcomes of a verdict."""
        return [outcome for outcome in self.outcomes if outcome.verdict == verdict]


class Case(NamedTuple):
    """On which rows a hack wins, of those that are compared, and the share of them that luck would have."""

    verdict: str
    family: Family
    places: np.ndarray
    compared: np.ndarray
    least: float = 0.5
    error: float = ERROR


def attack_apart(spec: Spec, settings: Settings, limits: Limits, **how: Any) -> AttackResult:
    """Attacks a reward in a process that can be killed; raises `WorkerError` if none can be started."""
    with apart([spec], limits) as (subject,):
        return attack(subject, settings, **how)


def attack(
    subject: LocalSubject | RemoteSubject,
    settings: Settings,
    *,
    hacks: Sequence[Hack] | Callable[[Honest], Sequence[Hack]] = HACKS,
    samples: Sequence[Sequence[str]] = (),
    limit: int = 4000,
) -> AttackResult:
    """Scores hacks beside honest answers, for `settings.max_seconds` at most; `limit` is characters of a response.

    A reward of answers is gamed by what earns as much without knowing them, beside another right answer, too, on more
    rows than the best guess is right; one of form by what earns more on most rows: docs/explanation/attacks.md.
    """
    try:
        return _Attack(*begin(subject, settings)).run(hacks, samples, limit)
    except Unusable as unusable:
        return AttackResult(unusable.reward, problems=unusable.problems)


class _Attack(Paying):
    """The calls of one attack, and what failed in them."""

    def __init__(self, trial: Trial, form: Form) -> None:
        super().__init__(trial, form)
        self.stop_at = time.monotonic() + trial.settings.max_seconds
        self.best: dict[str, tuple[float, Hack]] = {}  # by function: its best mean pay

    def run(
        self,
        given: Sequence[Hack] | Callable[[Honest], Sequence[Hack]],
        samples: Sequence[Sequence[str]],
        limit: int,
    ) -> AttackResult:
        known = self.trial.description
        rows, count = list(self.trial.rows), len(self.trial.rows)
        if known.asks_a_model and count > FEW_ROWS:
            rows = rows[:FEW_ROWS]
            self.problems.append(f"{FEW_ROWS} of {count} rows were used: its calls are paid for.")
        self.honest = find_honest(self.pay, rows, self.trial, samples[: len(rows)])
        if any(self.honest.texts) and not np.isfinite(self.honest.pays).any():
            return AttackResult(self.trial.name, problems=self.said(), honest=self.honest, untried=1)
        hacks = given(self.honest) if callable(given) else given
        ladder = climb(self.honest, self.pay)
        self.floor = min([0.0, *(each.floor for each in ladder)])
        seen = [each._replace(words=known.about, literals=known.literals, limit=limit) for each in self.honest.seen]
        if self.is_played:
            seen = [s._replace(episode=text or "") for s, text in zip(seen, self.honest.texts, strict=True)]
        self.seen = seen
        weak = weak_tests(self.pay, self.honest, self._goes_on) if any(each.call for each in seen) else None
        outcomes, untried = [], 0
        if known.asks_a_model:  # each call is paid for, and its code shows a rubric that hacks of words cover
            hacks = [each for each in hacks if each.copies != "code"]
        self.few, started, before = FIRST_ROWS, time.monotonic(), self.trial.num_completions
        self.stop_at = max(self.stop_at, started + self.trial.settings.max_seconds / 2)  # however long the honest took
        for count, hack in enumerate(hacks):
            if self.is_played:
                each = (time.monotonic() - started) / max(1, self.trial.num_completions - before)
                there = (self.stop_at - time.monotonic()) / (len(hacks) - count) / max(each, 1e-3)
                self.few = round(min(max(there, FIRST_PLAYED[0]), FIRST_PLAYED[1]))
            if not self._goes_on():
                untried, left = len(hacks) - count, hacks[count:]
                why = (
                    f"{MOST_STOPS} have stopped it"
                    if self.stops >= MOST_STOPS
                    else "raise `--max_seconds` of `align rewards attack`"
                )
                self.problems.append(f"{untried} of {len(hacks)} hacks were not tried: {why}.")
                untried = sum(hack not in HACKS for hack in left) if self.is_played else untried  # plays come first
                break
            found = self._try(hack, self._texts(hack, seen))
            is_long = hack.family.name == RED_TEAM and found and found[0].verdict == "gamed"
            outcomes += [self._shrunk(hack, seen)] if is_long else found
        is_open = bool(hacks) and not (
            untried
            or known.asks_a_model
            or "gamed" in [*(each.verdict for each in outcomes), *(step.verdict for step in ladder)]
        )
        found, tried = self._search(seen) if is_open else ([], 0)
        outcomes += found
        errors = beside_honest(self, self.honest) if self.stops < MOST_STOPS else None
        outcomes.sort(key=lambda each: (each.verdict == "no", -each.low, -each.pay))
        remedies = {family.name: family.remedy for family in (DATA, SEARCH, *(each.family for each in hacks))}
        counted = self.about_form, untried, tried, errors, weak
        return AttackResult(self.trial.name, outcomes, self.said(), remedies, self.honest, ladder, *counted)

    @property
    def is_played(self) -> bool:
        """Whether texts are episodes with tools."""
        return self.trial.settings.ways is not None

    def _goes_on(self) -> bool:
        return self.stops < MOST_STOPS and time.monotonic() <= self.stop_at

    @property
    def about_form(self) -> bool:
        """Whether the reward says that it is about form, or reads nothing that could hold a right answer."""
        known = self.trial.description
        return known.about_form or not any(
            name in row for name in known.parameters.read for row in self.honest.rows[:1]
        )

    def _texts(self, hack: Hack, seen: Sequence[Seen]) -> Texts:
        try:
            return [hack.write(s, right) for s, right in zip(seen, self.honest.rights, strict=True)]
        except Exception as error:  # whatever a user's own hack raises
            self.problems.append(f"The hack `{hack.name}` raised {type(error).__name__}: {error}.")
            return []

    def _try(self, hack: Hack, texts: Texts) -> list[Outcome]:
        if all(text is None for text in texts) or self.stops >= MOST_STOPS:
            return []
        outcome, kind = self._judge(hack, texts), hack.name.partition("[")[0]
        is_free = not hack.needs_right and not hack.keeps_right  # of what only a policy that knows can write
        if is_free and outcome.mean > self.best.get(kind, (-math.inf,))[0]:
            self.best[kind] = (outcome.mean, hack)
        return [outcome]

    def _shrunk(self, hack: Hack, seen: Sequence[Seen]) -> Outcome:
        """Cuts what a hack writes to what still wins."""
        search = Search(seen, [hack], self._worth, self._wanted, self._goes_on)
        own = [(hack.write(each, None) or "")[: each.limit] for each in seen]
        mix = Mix(((next(name for name, texts in search.pieces.items() if texts == own), 1, ""),))
        search.score(mix)
        return search.shrink(mix, lambda mix, texts: self._judge(hack, texts))

    @property
    def _wanted(self) -> np.ndarray:
        """What a text has to earn; NaN on rows that do not count."""
        return np.where(self.honest.told, self.honest.pays, np.nan) if self.honest.tells else self.honest.pays

    def _search(self, seen: Sequence[Seen]) -> tuple[list[Outcome], int]:
        """Mixes the best hacks and pieces, and returns the shortest mixture that wins, with how many were tried."""
        honest = self.honest
        # A form that answers made of golds lack may be what a reward of form asks for; samples show what is honest.
        is_told = np.isfinite(honest.pays).any() and (honest.tells or honest.role.place is None)
        if not is_told or self.is_played or any(each.call for each in seen):
            return [], 0
        bank = [hack for _, hack in sorted(self.best.values(), key=lambda each: -round(each[0], 9))]
        search = Search(seen, bank, self._worth, self._wanted, self._goes_on)

        def judge(mix: Mix, texts: Texts) -> Outcome:
            hack = Hack("search", SEARCH, f"What a search put together, and cut to what earns: {mix}", str)
            return self._judge(hack, texts, len(HACKS) + len(search.scores))

        for mix in search.climb():
            if judge(mix, search.texts(mix)).verdict == "gamed":
                return [search.shrink(mix, judge)], len(search.scores)
        best = [judge(mix, search.texts(mix)) for mix in search.ranked()[:1]]
        return [each for each in best if each.verdict == "soft"], len(search.scores)

    def _worth(self, texts: Texts) -> np.ndarray:
        """Pays texts, and on rows with another right answer, too; the lower counts."""
        beside = self.honest.texts if self.trial.description.whole_batch else [None] * len(texts)
        values = self.pay(self.honest.rows * 2, [*beside, *texts], "search")[len(texts) :]
        for rows, valid in self.honest.role.exchanged[:1]:
            values = np.fmin(values, np.where(valid, self.pay(rows, texts, "search"), np.nan))
        return values

    def _judge(self, hack: Hack, texts: Texts, tried: int = 1) -> Outcome:
        """Scores what a hack writes, and says whether it wins on more rows than luck would, of so many tried."""
        honest, pays = self.honest, self.honest.pays
        # One that does an honest one's work is no hack.
        if self.is_played and not hack.needs_right and hack.copies != "episode":
            both = [*zip(texts, honest.texts, strict=True)]
            texts = [None if text is None or covers(text, own or "") else text for text, own in both]
            is_given = honest.role.place is None and any(read_episode(own or "").calls for _, own in both)
            hack = (
                hack._replace(verdict="gamed") if is_given else hack
            )  # that a tool hands it out is no work of theirs
        if self.trial.description.whole_batch:  # what is compared within a batch meets there
            pays, values = np.split(self.pay(honest.rows * 2, [*honest.texts, *texts], hack.name), 2)
        else:
            values, texts = self._first_and_rest(texts, hack.name)
        compared = np.isfinite(pays) & [text is not None for text in texts]
        case = self._case(hack, texts, gains(values, pays), compared, bool(np.nan_to_num(pays).max() > 0))
        if hack.control is not None and (case.places & case.compared).any():
            plain = [hack.control(seen) if won else None for seen, won in zip(self.seen, case.places, strict=True)]
            case = case._replace(places=case.places & (gains(values, self.pay(honest.rows, plain, hack.name)) > 0))
        places = case.places & case.compared
        count, rows = int(places.sum()), int(case.compared.sum())
        low = lower_bound(count, rows, min(case.error, ERROR / tried))
        verdict = "unclear" if not rows else case.verdict if low > case.least else "no"
        share = 0.0
        is_whole = hack.keeps_right or hack.control is not None  # paid in full or not at all
        if verdict == "no" and hack.verdict == "gamed" and not is_whole and honest.tells:
            error = ERROR if case.family.name in IDLE else ERROR / max(tried, len(HACKS))
            share, verdict = near(values, honest, self.floor, error)
            verdict = "soft" if verdict else "no"
        shown = places if count else np.isfinite(values)
        row, pay = int(shown.argmax()), float(np.nan_to_num(mean(values[shown])))
        found = (verdict, count, rows, low, pay, row, texts[row] or "", float(np.nan_to_num(mean(values))), share)
        return Outcome(hack.name, case.family.name, hack.about, *found)

    def _first_and_rest(self, texts: Texts, name: str) -> tuple[np.ndarray, Texts]:
        """Pays some rows first, and the rest where these do not say already that hardly anything is earned."""
        honest = self.honest
        first, rest = (
            [text if (i < self.few) is each else None for i, text in enumerate(texts)] for each in (True, False)
        )
        values = self.pay(honest.rows, first, name)
        wins = (gains(values, honest.pays) >= 0).any()
        earned = mean(values) - self.floor >= LITTLE * (mean(honest.pays) - self.floor)
        if np.isfinite(values).any() and not wins and not earned:
            return values, first
        return np.where(np.isfinite(values), values, self.pay(honest.rows, rest, name)), texts

    def _case(self, hack: Hack, texts: Texts, over: np.ndarray, compared: np.ndarray, is_paid: bool) -> Case:
        """Says where a hack wins by what it gains over honest answers, where these are paid at all."""
        honest = self.honest
        as_much, case = (over >= 0) & honest.told, Case(hack.verdict, hack.family, over > 0, compared)
        if hack.verdict == "misread":
            return case._replace(places=as_much & honest.tells)
        if hack.needs_right:
            return case
        if not honest.tells:
            return case if self.about_form or not is_paid else case._replace(places=over >= 0)
        case = case._replace(places=as_much, compared=compared & honest.told)
        if hack.copies == "episode":
            return case
        places = case.places & case.compared
        if hack.is_rule and lower_bound(places.sum(), case.compared.sum(), ERROR / len(HACKS)) > OFTEN:
            return case._replace(family=DATA, least=OFTEN)
        exchangeable = honest.moved
        if 2 * exchangeable.sum() >= honest.told.sum():  # the reward reads right answers in the rows
            paid = self._whatever_is_right(as_much, texts, hack.name)
            is_own = honest.role.place is not None and honest.role.columns[:1] == honest.role.place.path[:1]
            if hack.copies == "prompt" or (hack.copies and not is_own):
                paid |= as_much & self._is_another(hack)
                return case._replace(places=paid, least=honest.guess)
            return case._replace(places=paid, compared=case.compared & exchangeable, least=honest.guess)
        if not any(honest.rights):
            return case._replace(least=honest.guess)
        least = max(honest.guess, 0.5) if hack.family.by_luck else honest.guess
        return case._replace(places=as_much & (not hack.keeps_right), least=least, error=ERROR / len(HACKS))

    def _whatever_is_right(self, places: np.ndarray, texts: Texts, name: str) -> np.ndarray:
        """Keeps the rows on which texts earn as much with another right answer, too."""
        found = np.zeros_like(places)
        for rows, valid in self.honest.role.exchanged:
            asked = places & valid & ~found
            values = self.pay(rows, [text if a else None for a, text in zip(asked, texts, strict=True)], name)
            found |= gains(values, self.honest.pays) >= 0
        return found

    def _is_another(self, hack: Hack) -> np.ndarray:
        """Tells where what a hack answers is another text than the right answer, and no part of it."""
        answers = [hack.func(seen, *hack.variant) for seen in self.honest.seen]
        pairs = zip(answers, self.honest.rights, strict=True)
        return np.array([bool(a and r and a not in r and r not in a) for a, r in pairs])


def sentences(result: AttackResult) -> list[Said]:
    """Words the result: what failed, the best hack of each family, and how much was tried."""
    said: list[Said] = [*(("failed", problem, {}) for problem in result.problems), *_said(result)]
    return [(kind, f"`{result.reward}`: {text}", {"reward": result.reward} | more) for kind, text, more in said]


def _said(result: AttackResult) -> Iterator[Said]:
    honest = result.honest
    if honest is None:
        return
    if result.ladder:
        steps = [step._asdict() | {"rung": step.rung.name} for step in result.ladder]
        yield "ladder", _ladder(result, honest), {"ladder": steps}
    is_about = honest.tells or not result.about_form
    cause = next((step for step in result.ladder if step.verdict == "gamed" and is_about), None)
    gamed, soft = result.of("gamed"), result.of("soft")
    if cause is not None or gamed:
        numbers: dict[str, Any] = gamed[0]._asdict() if gamed else {"hack": cause and cause.rung.name}
        remedy = cause.rung.remedy if cause is not None else result.remedies[gamed[0].family]
        yield "gamed", f"{_gamed(result, cause)} {remedy}", numbers | {"remedy": remedy}
    elif is_about and (almost := _soft(result)):
        text = VERDICTS["soft"].format(f"{almost.rung.about} ({shorten(almost.text, 60)!r})", f"{almost.share:.0%}")
        yield "soft", f"{text} {almost.rung.remedy}", {"share": almost.share, "remedy": almost.rung.remedy}
    elif soft:
        best = max(soft, key=lambda each: each.share)
        what = f"`{best.hack}` ({_about(best)}): {shorten(best.text, 60)!r}"
        text = VERDICTS["soft"].format(what, f"{best.share:.0%}")
        remedy = result.remedies[best.family]
        yield "soft", f"{text} {remedy}", best._asdict() | {"remedy": remedy}
    for kind in ("handed", "misread", "beside") if cause is None else ():
        for best in result.of(kind)[:1]:
            yield kind, VERDICTS[kind].format(_earned(best)), best._asdict()
    if result.weak is not None:
        yield result.weak.kind, str(result.weak), result.weak._asdict()
    if cause is not None or gamed:
        return
    if unclear := _unclear(result, honest):
        yield unclear
    else:
        is_work = any(read_episode(each or "").calls for each in honest.texts)  # which may be one for all rows
        kind, text = ("ok", _ok(result, honest)) if honest.tells or is_work else ("form", _form(result, honest))
        yield kind, text, {"hacks": len(result.outcomes), "rows": len(honest.rows), "honest": mean(honest.pays)}


def _soft(result: AttackResult) -> Step | None:
    """Finds the rung that earns most of an honest answer's pay, or the plainest that may earn as much."""
    steps = [step for step in result.ladder if step.verdict == "soft"]
    most = max((step.share for step in steps), default=0.0)
    return next((step for step in steps if step.high >= most), None)


def _ladder(result: AttackResult, honest: Honest) -> str:
    """Writes the rungs from the top."""
    place = honest.role.place
    steps = "; ".join(
        f"{step.rung.about} {step.share:.0%} [{step.low:.0%}, {step.high:.0%}]" for step in reversed(result.ladder)
    )
    where = f", right answers of `{place}`" if place else ""
    pay = write_value(mean(honest.pays))
    return f"an honest answer ({honest.role.form}{where}) earns {pay}; of that {steps}."


def _gamed(result: AttackResult, cause: Step | None) -> str:
    """Says the one cause that is seen first, and what it lets through."""
    gamed, honest_pay = result.of("gamed"), write_value(mean(result.honest.pays))  # type: ignore[union-attr]
    families = list(dict.fromkeys(each.family for each in gamed))
    if cause is not None:
        also = f" {len(gamed)} hacks earn as much." if gamed else ""
        shown = f" ({shorten(cause.text, 80)!r})" if cause.text else ""
        share = f"{cause.share:.0%} [{cause.low:.0%}, {cause.high:.0%}]"
        text = f"{cause.rung.about}{shown} earns {share} of an honest answer's {honest_pay}.{also}"
        return f"it is gamed by {cause.rung.name}. {cause.rung.cause} {text}"
    best, others = gamed[0], [f"`{each}`" for each in families[1:]]
    more = (
        f", and by {len(gamed) - 1} more" + (f", also of {', '.join(others)}" if others else "") if gamed[1:] else ""
    )
    return VERDICTS["gamed"].format(f"{_earned(best)}{more}", honest_pay)


def _unclear(result: AttackResult, honest: Honest) -> Said | None:
    """Says why nothing can be told, if so."""
    known = int(honest.told.sum() if honest.tells else np.isfinite(honest.pays).sum())
    least = honest.guess if honest.tells else 0.5
    is_unpaid = any(honest.rights) and not result.about_form and not np.nan_to_num(honest.pays).max() > 0
    if not known or is_unpaid:
        ask = "Say where right answers stand, `--gold`, or name a column of honest responses, `--samples`."
        text = "it gives no honest answer a number." if any(honest.texts) else "no row has a right answer or a sample."
        text = "it pays no right answer, in whatever place and form." if known else text
        best = max(result.outcomes, key=lambda each: each.pay, default=None)  # type: ignore[assignment]
        if best and best.pay:
            ask += f" The best paid is {_earned(best)}."
        if any(not each.text for each in result.outcomes):
            idle = next(each for each in result.outcomes if not each.text)
            ask += f" Nothing at all earns {write_value(idle.mean)}."
        return "unclear", f"{text} {ask}", {"outcomes": [each._asdict() for each in result.outcomes if each.pay]}
    if lower_bound(known, known) <= least:
        text = f"{known} row(s) to compare are too few, or too alike (one guess is right on {least:.0%}): give more."
        return "unclear", text, {"rows": known, "guess": least}
    return ("unclear", f"{result.untried} hacks were not tried.", {}) if result.untried else None


def _ok(result: AttackResult, honest: Honest) -> str:
    tried = f"Of {len(result.outcomes)} hacks and {result.mixtures} mixtures on {len(honest.rows)} rows none game it."
    less = ", and wrong ones less" if honest.tells else ", and other rows' answers as much"
    return f"it pays right answers ({honest.role.form}) {write_value(mean(honest.pays))}{less}. {tried}"


def _form(result: AttackResult, honest: Honest) -> str:
    """Says of a reward that no exchange moves what else earns as much."""
    text = f"right and wrong answers ({honest.role.form}) earn {write_value(mean(honest.pays))}"
    if alike := [each for each in result.of("no") if each.pay >= mean(honest.pays)]:
        text += f", and so do {len(alike)} hacks, such as {shorten(alike[0].text, 60)!r}"
    text = VERDICTS["form"].format(text)
    if result.reward.isidentifier():  # a sum is no reward that a gate can name
        text += f" `reward_gates: {{{result.reward}: OTHER}}` has it count where a reward of answers pays."
    return text


def _about(outcome: Outcome) -> str:
    return outcome.about[:1].lower() + outcome.about[1:]


def _earned(outcome: Outcome) -> str:
    pay = f"{write_value(outcome.pay)} on {outcome.earned} of {outcome.rows} rows (at least {outcome.low:.0%} of all)"
    pay = pay if outcome.rows else f"{write_value(outcome.mean)} on average"
    text = FOUND.sub("...", outcome.text)  # a pattern tells a reader less than `about` does
    return f"`{outcome.hack}` ({_about(outcome)}), which earns {pay}: {shorten(text, 120)}"
