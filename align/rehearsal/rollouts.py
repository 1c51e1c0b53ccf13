"""What rewarded completions say of a run to come: numbers with intervals, and findings with remedies."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from align.evaluation.statistics.item_means import clustered_share
from align.evaluation.statistics.metrics import Estimate, Values, mean_of_known, share, wilson
from align.rehearsal import groups
from align.rehearsal.cues import LEAST, Cue, goes_with, see
from align.rehearsal.groups import ALIKE, ALL_CUT, ALL_RIGHT, ALL_WRONG, Flags
from align.rehearsal.record import Check, Rehearsed, Table, by_number
from rewards.attacks import Told
from rewards.running.scores import Composition

STRONG = 0.6  # rank correlation of a task's own reward with a feature that is more than what a part of an answer shows
_BINS, _UNTOLD = 5, Told()
_CUES = 6  # shown of a reward


@dataclass(frozen=True)
class Rollouts:
    """N prompts with S completions each, and what F rewards gave for them."""

    names: list[str]  # F
    task: int  # place of the reward that says what is right
    values: Values  # `(N, S, F)`; nan is no value
    weights: Values  # `(F,)`
    composition: Composition  # gates and limits
    right: Values  # `(N, S)`; 1, 0, or nan where nobody can tell
    texts: list[str]  # N * S
    stated: list[str | None]  # N * S answers, None where none can be read
    asked: list[str]  # N * S prompts with their right answers, in lower case
    lengths: Values  # `(N, S)` in tokens
    limit: int  # longest completion
    scale: str  # `scale_rewards`
    aggregation: str
    drops_cut: bool  # `mask_truncated_completions`
    wants_answers: bool  # whether the task has answers that can be read
    is_told: bool = True  # whether what is right is told by more than the task's reward
    filter_line: str = ""  # which keeps prompts that teach; empty where there is none
    of_environment: frozenset[str] = frozenset()  # names that no gate can have
    temperature: float = 1.0
    of_task: Told = _UNTOLD  # what exchanges tell of the task's reward
    forms: frozenset[str] = frozenset()  # names of rewards that read nothing of the rows
    shown: tuple[frozenset[str], ...] = ()  # N * S sets of words of prompts, without those of right answers
    exchanged: Values | None = None  # `(N, S, F)` values where rows had other rows' columns; nan of what was not asked

    @property
    def cut(self) -> Flags:
        """Which completions have no end."""
        return np.asarray(self.lengths >= self.limit)

    @property
    def empty(self) -> Flags:
        """Which completions say nothing."""
        return np.array([not each.strip() for each in self.texts]).reshape(self.lengths.shape)

    @property
    def counted(self) -> Values:
        """The values after gates and limits."""
        shape = self.values.shape
        return self.composition.apply(self.values.reshape(-1, shape[2])).reshape(shape)

    @property
    def parts(self) -> Values:
        """The advantages by reward."""
        return groups.contributions(self.counted, self.weights, self.scale, self.aggregation)

    @property
    def totals(self) -> Values:
        """The `(N, S)` rewards."""
        known = ~np.isnan(self.counted).all(axis=2)
        return np.where(known, np.nansum(self.counted * self.weights, axis=2), np.nan)

    @property
    def unmoved(self) -> Estimate:
        """Which share of the rewards' variance within groups stays where right answers are exchanged."""
        assert self.exchanged is not None
        own, other = (np.nan_to_num(each * self.weights).sum(axis=2) for each in (self.counted, self.exchanged))
        own, other = (each - each.mean(axis=1, keepdims=True) for each in (own, other))
        whole = (own**2).sum(axis=1)
        return clustered_share(np.clip((own * other).sum(axis=1), 0.0, whole), whole)


CHECKS = by_number(
    Check("length", "cut_off", "completions cut off at `max_completion_length`",
          "{share:.0%} of the completions are cut off at `max_completion_length: {limit}`, and {fate}.",
          "{remedy}", above=0.1, error=0.8),
    Check("length", "needed_length", "tokens with which 95 % have ended", unit="completions", is_share=False),
    Check("empty", "empty", "completions without a word",
          "{share:.0%} of the completions are empty: the model ends at once.",
          "See how prompts end (a line feed, a chat template), and whether the model was taught to answer them.",
          above=0.3, error=0.5, look=lambda rollouts: share(rollouts.empty.mean(axis=1))),
    Check("answers", "no_answer", "completions without a readable answer",
          "No answer can be read from {share:.0%} of the completions, of which {ended:.0%} did end.",
          "Say in the prompt how an answer is to be written, or teach it first with `method: sft`.",
          above=0.3, error=0.95),
    Check("spread", "teaching", "non-zero-advantage completions",
          "{share:.0%} of a batch is trained on: completions with a non-zero advantage are left out of the loss.",
          "Raise `max_completion_length`, or set `mask_truncated_completions: false`.", error=0.0),
    Check("spread", "no_spread", "zero-advantage groups",
          "{flat} of {n} groups have zero advantage and no gradient, {count} of them {worst}.", "{remedy}",
          above=0.4),
    Check("spread", "no_spread/{why}", "- {why}"),
    Check("spread", "pass_rate", "completions that are right"),
    Check("alike", "alike", "groups whose completions all say the same",
          "In {share:.0%} of the groups all completions say the same, word for word: nothing can be told apart.",
          "Raise `temperature` ({temperature:g} here); a model that still repeats itself needs other data or a start "
          "that varies.", above=0.5, error=0.5, unit="groups"),
    Check("weights", "unmoved", "of the reward's variance that stays when right answers are exchanged",
          "{share:.0%} of the reward's variance within groups stays when each row gets another row's right answer: it "
          "is paid for something else.", "{remedy}", above=0.5),  # more than what being right brings
    Check("weights", "of_others", "of the advantages' variance from other rewards than `{task}`",
          "{share:.0%} of the advantages' variance comes from other rewards than `{task}`.", "{remedy}",
          above=0.5),  # more than the task's own
    Check("phantom", "phantom", "of the advantages' variance where no completion is right",
          "{share:.0%} of what this run would learn comes from groups in which no completion is right: other "
          "rewards than `{task}` order wrong answers.", "{remedy}", above=0.1, error=0.8),
    Check("pays for", "goes_with", "", "`{reward}` goes with {cue}, among completions that are equally right.",
          "{remedy}", above=LEAST),
)  # fmt: skip
_FEW = 0.05  # of a batch that teaches: less than one completion of a group of 16


def look_at(rollouts: Rollouts) -> Rehearsed:
    """Measures and judges."""
    found = Rehearsed()
    for look in (_ends, _answers, _spread, _phantom, _what_it_pays):
        look(rollouts, found)
    found.look(CHECKS, rollouts)
    return found


def _ends(rollouts: Rollouts, found: Rehearsed) -> None:
    cut, limit = share(rollouts.cut.mean(axis=1)), rollouts.limit
    fate = "`mask_truncated_completions` drops them" if rollouts.drops_cut else "few of them have an answer"
    ends = bool((~rollouts.cut).any())
    remedy = "Hardly any ends by itself. Start from a model that ends its responses (`method: sft` teaches it)."
    remedy = f"Rehearse again with `max_completion_length: {2 * limit}`." if ends else remedy
    level = "error" if rollouts.drops_cut and cut.value >= 0.5 else ""  # most of a batch is then not learnt from
    fix = f"--max_completion_length {2 * limit}" if ends else ""
    found.take(CHECKS["cut_off"], cut, fix, level=level, limit=limit, fate=fate, remedy=remedy)
    if rollouts.cut.mean() <= 0.05:  # what is cut says nothing of how long it would have been
        tokens = float(np.quantile(rollouts.lengths, 0.95, method="higher"))
        found.take(CHECKS["needed_length"], Estimate(tokens, tokens, tokens, rollouts.lengths.size))


def _answers(rollouts: Rollouts, found: Rehearsed) -> None:
    if rollouts.wants_answers and not rollouts.of_task.bare:  # whose reward reads an answer wherever it stands
        silent = np.array([each is None for each in rollouts.stated]).reshape(rollouts.lengths.shape)
        silent &= rollouts.right != 1  # what a reward takes for right, it has read
        ended = float((silent & ~rollouts.cut).sum() / max(1, silent.sum()))
        found.take(CHECKS["no_answer"], share(silent.mean(axis=1)), ended=ended)


def _spread(rollouts: Rollouts, found: Rehearsed) -> None:
    size = rollouts.lengths.shape[1]
    texts = [len({*rollouts.texts[i : i + size]}) == 1 for i in range(0, len(rollouts.texts), size)]
    found.take(CHECKS["alike"], wilson(sum(texts), len(texts)), temperature=rollouts.temperature)
    why = groups.why_no_spread(rollouts.totals, rollouts.right, rollouts.cut)
    reasons, n = Counter(each for each in why if each), len(why)
    taught, flat = groups.teaching(rollouts.parts, rollouts.cut & rollouts.drops_cut), wilson(reasons.total(), n)
    worst, count = reasons.most_common(1)[0] if reasons else (ALIKE, 0)
    fix = rollouts.filter_line if worst in (ALL_RIGHT, ALL_WRONG) and count < n else ""
    told = {"flat": reasons.total(), "n": n, "count": count, "worst": worst, "remedy": _REMEDIES[worst]}
    is_few = taught.value < _FEW
    found.take(CHECKS["teaching"], taught, sick=is_few and not flat.value)
    sick, level = True if is_few and flat.value else None, "error" if is_few else ""
    found.take(CHECKS["no_spread"], flat, fix, sick=sick, level=level, **told)
    for each in filter(reasons.get, groups.WHY):
        found.take(CHECKS["no_spread/{why}"], wilson(reasons[each], n), why=each)
    rates = mean_of_known(rollouts.right)
    if not np.isnan(rates).all():
        found.take(CHECKS["pass_rate"], share(rates))
        found.tables.append(_pass_rates(rates, rollouts.filter_line))


_REMEDIES = {
    ALL_CUT: "Raise `max_completion_length` first.",
    ALL_RIGHT: "The prompts are too easy for this model. Keep those that it sometimes fails, or give harder ones.",
    ALL_WRONG: "The prompts are too hard for this model, or its answers are not read. Keep those that it sometimes "
    "solves, give easier ones, or teach it first with `method: sft`.",
    ALIKE: "The reward does not tell their completions apart. Give it finer steps, or add one that does; see that "
    "it reads what the data holds (`align rewards check`).",
}


def _pass_rates(rates: Values, line: str) -> Table:
    known = rates[~np.isnan(rates)]
    counts = Counter(np.ceil(known * _BINS - 1e-9).astype(int).tolist())
    counts[_BINS + 1] = int((known == 1).sum())
    counts[_BINS] -= counts[_BINS + 1]
    names = ["0", *(f"to {100 * (place + 1) // _BINS} %" for place in range(_BINS)), "all"]
    rows = [(name, str(counts[place]), "█" * counts[place]) for place, name in enumerate(names)]
    note = "Prompts by the share of their completions that are right."
    note += f" This keeps prompts with a non-zero advantage: `{line}`" if line else ""
    return Table("Pass rates", note, ("right", "prompts", ""), rows)


def _phantom(rollouts: Rollouts, found: Rehearsed) -> None:
    if len(rollouts.names) == 1:
        if rollouts.exchanged is not None:
            remedy = "See what it reads beside the answer (`align rewards attack`)."
            found.take(CHECKS["unmoved"], rollouts.unmoved, remedy=remedy)
        return
    parts, name = rollouts.parts, rollouts.names[rollouts.task]
    others, ghosts = groups.of_others(parts, rollouts.task), groups.phantom(parts, rollouts.right)
    fix = f"--reward_gates '{{{', '.join(f'{each}: {name}' for each in rollouts.names if each != name)}}}'"
    remedies = ("Put them behind it, and these gradients are gone.",
                "Lower their `reward_weights`, or put them behind it.")  # fmt: skip
    if rollouts.of_environment:  # whose weights are the package's
        fix = ""
        remedies = ("Give them smaller weights where the environment sets them, or `reward_weights` does.",) * 2
    is_unmoved = rollouts.exchanged is not None and found.take(
        CHECKS["unmoved"], rollouts.unmoved, fix, remedy=remedies[1]
    )
    sick = False if is_unmoved or ghosts.low > CHECKS["phantom"].above else None  # of three findings, the plainest one
    found.take(CHECKS["of_others"], others, fix, sick=sick, task=name, remedy=remedies[1])
    found.take(CHECKS["phantom"], ghosts, fix, sick=False if is_unmoved else None, task=name, remedy=remedies[0])
    shares = (parts * parts.sum(axis=2, keepdims=True)).sum(axis=(0, 1)) / ((parts.sum(axis=2) ** 2).sum() or 1.0)
    means = mean_of_known(rollouts.values.reshape(-1, len(shares)), axis=0)
    columns = (rollouts.names, rollouts.weights, means, shares)
    rows = [(each, f"{w:g}", f"{mean:.3g}", f"{part:.0%}") for each, w, mean, part in zip(*columns, strict=True)]
    note = "How much of the advantages' variance each reward brings; the shares add up to all of it."
    found.tables.append(Table("Rewards", note, ("reward", "weight", "mean", "of the variance"), rows))


def _what_it_pays(rollouts: Rollouts, found: Rehearsed) -> None:
    """Looks for what rewards that are not for the form of a response go with all the same."""
    features = see(rollouts.texts, rollouts.lengths.ravel().astype(int).tolist(), rollouts.stated, rollouts.asked,
                   rollouts.shown)  # fmt: skip
    num_prompts, size = rollouts.lengths.shape
    is_read = np.array([each is not None for each in rollouts.stated])
    strata = (
        4 * np.repeat(np.arange(num_prompts), size) + 2 * is_read + np.nan_to_num(rollouts.right).astype(int).ravel()
    )
    rows = []
    for place, name in enumerate(rollouts.names):
        cues = goes_with(rollouts.values[..., place].ravel(), features, strata)
        is_form = place != rollouts.task and name in rollouts.forms
        label = f"{name}, for its form" if is_form else name
        rows += [(label, x.name, x.kind, f"{x.correlation:+.2f}", f"{x.p_value:.1g}") for x in cues[:_CUES]]
        if place == rollouts.task:  # which may pay a part of the answer, and what goes with that
            cues = cues if rollouts.is_told else []
            if rollouts.exchanged is not None:  # beside another row's answer none is right, whatever it states
                other = rollouts.exchanged[..., place].ravel()
                names = {each.name for each in cues}
                moved = goes_with(other, features, strata // 2)
                cues += [each for each in moved if each.kind != "phrase" and each.name not in names]
            cues = [each for each in cues if abs(each.correlation) >= STRONG]
        if cues and not is_form:
            _word_cues(name, cues, found)
    note = f"Rank correlations within groups, among completions that are equally right, of at least {LEAST}; the rate "
    note += f"of false discoveries over {len(features.names):,} features is held at 5 %."
    title, columns = "What rewards go with beside being right", ("reward", "goes with", "kind", "by rank", "p")
    found.tables.append(Table(title, note, columns, rows or [("none", "", "", "", "")]))


_WHY_NOT = {
    "length": "Longer or shorter responses earn more for no better answer: `audit_funcs`, `stop_on: [length]`, or a "
    "reward that does not count words.",
    "format": "Marks of form earn more. Pay for them by a reward of their own, with a weight that you choose.",
    "markdown": "Markdown earns more for no better answer. Strip it before the text is scored.",
    "repetition": "Repeated phrases earn more. Add `repetition` to `reward_funcs`, or score each phrase once.",
    "position": "The place or letter of an answer earns more. Shuffle options (`dataset.shuffle_options: true`), and "
    "score what stands there and not where.",
    "echo": "Saying the prompt again earns more. Pay no part for words that the prompt has.",
    "phrase": "These words earn more for no better answer. Look for them in the reward, or in what its judge is told.",
}


def _word_cues(name: str, cues: list[Cue], found: Rehearsed) -> None:
    first = cues[0]
    same = [each for each in cues if abs(each.correlation) > 0.9 * abs(first.correlation)]
    # Of features that go together as closely, the plainest is named: a phrase is often only where a text is longer.
    plain = next((each for each in same if each.kind != "phrase"), first)
    listed = f"{plain.name} ({plain.correlation:+.2f})"
    others = [f"{each.name} ({each.correlation:+.2f})" for each in cues if each is not plain][:2]
    also = f", also with {' and '.join(others)}" if others else ""
    strength = Estimate(plain.correlation, plain.correlation, plain.correlation, 0)
    told = {"reward": name, "cue": f"{listed}{also}", "remedy": _WHY_NOT[plain.kind]}
    found.take(CHECKS["goes_with"], strength, sick=True, **told)
