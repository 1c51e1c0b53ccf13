"""What rewards that compare answers would do, foretold: by votes in two orders, and by labelled rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from align.data.prompt_rows import LABEL
from align.evaluation.statistics.metrics import (
    Values,
    mean_of_differences,
    mean_of_known,
    share,
    told,
    wilson,
)
from align.methods.rollouts.votes import Answers, Rows, letter_counts, letter_excess, read_answers
from align.models.rewards import response_format
from align.rehearsal.plan import Plan
from align.rehearsal.record import Check, Rehearsed, Table, by_number
from rewards.scoring.accuracy import right_option

_CHOSEN = "docs/evidence/without-labels-rehearsals.md#limits"
_OTHERS = "Set `dataset.shuffle_options: within_group`, or reward `answer_agreement`."
_TEACH = "Teach traces first, with `method: sft` or labelled rows."
CHECKS = by_number(
    Check("letters", "vote_letter", "of the votes for one letter, beyond an even share",
          "Most answers of a group give one letter, whatever stands there: {share:.0%} of the way from an even share "
          "to all. A vote over one order teaches that letter.", _OTHERS, above=0.25, chosen=_CHOSEN),
    Check("letters", "orders_agree", "prompts where the votes of two orders agree",
          "What most answers of a group say changes with the order of the options: votes of two orders agree on "
          "{share:.0%} of the prompts. A vote over one order teaches the order.", _OTHERS, below=0.65, chosen=_CHOSEN),
    Check("vote", "vote_agreement", "votes that are right, above answers that are",
          "Votes are right less often than answers ({told}): `{reward}` would ruin some.",
          "Reward `answer_agreement`; with 500 labelled rows, train on them.", below=0.0, chosen=_CHOSEN),
    Check("agreement", "answer_agreement", "second answers that are right, above first ones",
          "Second answers are right less often than first ones ({told}): traces say less than answers do, and "
          "`{reward}` would tie answers to them.", _TEACH, below=0.0, chosen=_CHOSEN),
    Check("agreement", "follows_trace", "traces that state what is right, above answers that are right",
          "What traces state is right less often than the answers ({told}), and `{reward}` would tie answers to it.",
          _TEACH, below=0.0, chosen=_CHOSEN),
    Check("agreement", "states", "completions whose trace states one option",
          "`follows_trace` can be asked of {share:.0%} of the completions.", "Reward `answer_agreement`, which asks "
          "the model.", below=0.5, chosen=_CHOSEN),
)  # fmt: skip
_STANDS_IN = 0.9  # of completions, from which traces say what a second pass would
_CANNOT = {
    "vote_agreement": "what most answers get wrong",
    "answer_agreement": "answers above what traces carry",
    "follows_trace": "answers above what traces state",
}
_SIDES = {"above": "lifts answers by", "below": "ruins answers by", None: "moves nothing that so few rows tell:"}


def foretell(
    plan: Plan,
    found: Rehearsed,
    ask: Callable[[Plan], Any],
    anew: Callable[[Any, str], Any] | None,
    ask_twice: Callable[[Plan, Any], Sequence[Mapping[str, Any]]] | None = None,
) -> None:
    """Says of each reward that compares answers what it would lift, what it cannot, and what it would ruin.

    `ask` samples the rows of a plan, `anew` shows one in another order, `ask_twice` has the columns of second answers.
    """
    functions: list[Any] = [*plan.rewards]
    used = {each.__name__: each for each in functions if getattr(each, "without_labels", False)}
    if not used:
        return
    rows = [*plan.data.probe_rows] or [*plan.data.rows[: plan.options.num_prompts]]
    orders = [[anew(row, name) for row in rows] for name in ("first", "second")] if anew else [rows]
    options, gold = replace(plan.options, num_prompts=len(rows)), getattr(plan.recipe.settings, "gold_column", LABEL)
    plans = [plan._replace(data=plan.data._replace(rows=shown), options=options) for shown in orders]
    sampled = [ask(each) for each in plans]
    texts = [[[each.text for each in group] for group in one.completions] for one in sampled]
    tags = response_format(plan.recipe)
    answers = [read_answers(shown, said, tags, gold) for shown, said in zip(orders, texts, strict=True)]
    is_fixed = bool(getattr(used.get("vote_agreement"), "fixed_order", False))
    ruins = anew is not None and _say_letters(found, orders, answers, is_fixed)
    paid = _what_is_paid(orders[0], answers[0], gold)
    if ask_twice is not None and plan.data.probe_rows:
        paid["answer_agreement"] = _second_right(orders[0], ask_twice(plans[0], sampled[0]), gold)
    _say_states(found, answers[0], used)
    lines = []
    for name, values in paid.items():
        gain = mean_of_differences(mean_of_known(values) - mean_of_known(answers[0].right))
        if gain.n:
            found.take(CHECKS[name], gain, sick=None if name in used else False, level="error", reward=name)
        foretold = f"{_SIDES[gain.verdict()]} {told(gain)}" if gain.n else "not told: nothing says what is right"
        is_letter = ruins and name == "vote_agreement"
        lines.append((name, _CANNOT[name], foretold + "; over one order, ruins them: one letter wins" * is_letter))
    note = f"Of {len(rows)} rows in shuffled orders: how much more often what a reward pays for is right than answers."
    found.tables.append(Table("Without labels", note, ("reward", "cannot lift", "foretold"), lines))


def _say_letters(found: Rehearsed, orders: Sequence[Rows], answers: Sequence[Answers], is_voted: bool) -> bool:
    """Measures how far votes follow letters and orders; tells whether a vote over one order would."""
    votes = [np.array([each.votes], dtype=object).T for each in answers]
    counts = np.sum([letter_counts(shown, said) for shown, said in zip(orders, votes, strict=True)], axis=0)
    known = (votes[0] != None) & (votes[1] != None)  # noqa: E711 - of each
    agree = wilson(int((votes[0] == votes[1])[known].sum()), int(known.sum()))
    excess = letter_excess(orders[0], counts)
    sick = [excess.low > CHECKS["vote_letter"].above, agree.high < CHECKS["orders_agree"].below]
    found.take(CHECKS["vote_letter"], excess, sick=sick[0] and is_voted)
    found.take(CHECKS["orders_agree"], agree, sick=sick == [False, True] and is_voted)
    return any(sick)


def _what_is_paid(rows: Rows, answers: Answers, gold: str) -> dict[str, Values]:
    """Tells of what rewards pay for whether it is right: of a vote, `(N, 1)`, and of traces, `(N, S)`; nan unknown."""
    right = answers.right_of(np.array([answers.votes], dtype=object).T)
    known = ~np.isnan(answers.right).all(axis=1, keepdims=True)
    places = [right_option(row.get(gold), row["options"]) if row.get("options") else None for row in rows]
    golds = [None if place is None else row["options"][place] for row, place in zip(rows, places, strict=True)]
    is_right = answers.stated == np.array([golds], dtype=object).T
    unknown = (answers.stated == None) | ~known  # noqa: E711 - of each
    return {
        "vote_agreement": np.where(known, np.nan_to_num(right), np.nan),  # a tie pays for nothing
        "answer_agreement": np.full(known.shape, np.nan),
        "follows_trace": np.where(unknown, np.nan, is_right),
    }


def _second_right(rows: Rows, columns: Sequence[Mapping[str, Any]], gold: str) -> Values:
    """Averages `(N, S)` over the second answers of a completion whether they are right; nan where none was asked."""
    size, means = len(columns) // len(rows), []
    for place, given in enumerate(columns):
        right = given.get("second_right") if given.get("first_right") is not None else None  # of texts, as judged
        if "second_choices" in given:
            right = [each == rows[place // size][gold] for each in given["second_choices"] or ()]
        means.append(np.mean(right) if right else np.nan)
    return np.array(means).reshape(len(rows), size)


def _say_states(found: Rehearsed, answers: Answers, used: Mapping[str, Any]) -> None:
    states = share((answers.stated != None).mean(axis=1))  # noqa: E711 - of each
    found.take(CHECKS["states"], states, sick=None if "follows_trace" in used else False)
    if states.low > _STANDS_IN and "answer_agreement" in used:
        text = f"{states.value:.0%} of the traces state an option: `follows_trace` asks what `answer_agreement` does, "
        found.find("ok", "agreement", f"{text}without a second pass.")
