"""What survives a change of what the policy did not see: three worlds in which fitted answers are not paid."""

import sqlite3
from contextlib import closing

import pytest

from rewards import counterfactual
from rewards.attacks import attack, sentences
from rewards.running.contract import LocalSubject, Settings


def runs(completions, tests, **columns):
    """Pays programs that pass their row's tests."""
    return [float(_passes(text, own)) for text, own in zip(completions, tests, strict=True)]


def _passes(text, tests):
    room = {}
    try:
        exec(text, room)
        return all(eval(call, room) == wanted for call, wanted in tests)
    except Exception:
        return False


def queries(completions, table, wanted, **columns):
    """Pays queries that give what is wanted of their row's table."""
    return [float(_rows(*each) == right) for *each, right in zip(completions, table, wanted, strict=True)]


def _rows(text, table):
    with closing(sqlite3.connect(":memory:")) as base:
        base.execute("create table t (x)")
        base.executemany("insert into t values (?)", [[x] for x in table])
        try:
            return [x for (x,) in base.execute(text)]
        except (sqlite3.Error, ValueError):
            return None


def walks(completions, wall, **columns):
    """Pays rules that reach the end of a corridor: 'jump', 'step', or 'look' (jump where the wall is)."""
    return [float(_arrives(text, at)) for text, at in zip(completions, wall, strict=True)]


def _arrives(text, wall):
    said = text.split()
    return said == ["look"] or [i for i, each in enumerate(said) if each == "jump"] == [wall]


COUNT = 60
PROGRAMS = (
    runs,
    [{"prompt": f"Add {i} to x.", "tests": [("f(2)", 2 + i)], "hidden": [("f(5)", 5 + i)]} for i in range(COUNT)],
    lambda row: {"tests": row["hidden"]},
    lambda i: f"def f(x): return x + {i}",
    [lambda i: f"def f(x): return {2 + i}", lambda i: f"f = lambda x: {{2: {2 + i}}}[x]"],
)
QUERIES = (
    queries,
    [{"prompt": f"Above {i}.", "table": [i, i + 3], "wanted": [i + 3], "i": i} for i in range(COUNT)],
    lambda row: {"table": [row["i"] + 1, row["i"] - 1], "wanted": [row["i"] + 1]},
    lambda i: f"select x from t where x > {i}",
    [
        lambda i: f"select {i + 3}",
        lambda i: f"select max(x) from t where x = {i + 3}",
    ],
)
PUZZLES = (
    walks,
    [{"prompt": f"Corridor {i}.", "wall": i % 4} for i in range(COUNT)],
    lambda row: {"wall": (row["wall"] + 1) % 4},
    lambda i: "look",
    [lambda i: "step " * (i % 4) + "jump"],
)


def columns_of(rows):
    return {name if name != "prompt" else "prompts": [row[name] for row in rows] for name in rows[0]}


@pytest.mark.parametrize("world", [PROGRAMS, QUERIES, PUZZLES], ids=["code", "sql", "puzzle"])
def test_what_is_fitted_to_what_was_shown_is_not_paid_and_honest_answers_are(world):
    reward, rows, change, honest, hacks = world
    fair, given = counterfactual(reward, change), columns_of(rows)
    right = [honest(i) for i in range(COUNT)]
    assert sum(fair(completions=right, **given)) >= 0.98 * COUNT
    assert str(fair.cost(completions=right, **given)) == "0.0 % [0.0, 6.0]"
    for hack in hacks:
        texts = [hack(i) for i in range(COUNT)]
        assert sum(reward(completions=texts, **given)) == COUNT
        assert sum(fair(completions=texts, **given)) == 0
        assert fair.cost(completions=texts, **given).share == 1.0


def test_what_cannot_be_changed_counts_as_it_is_and_what_is_taken_is_logged():
    logged = {}
    fair = counterfactual(walks, lambda row: None if row["wall"] == 0 else {"wall": 0})
    values = fair(completions=["jump", "step jump", "look", "fall"], wall=[0, 1, 2, 3], log_metric=logged.__setitem__)
    assert values == [1.0, 0.0, 1.0, 0.0]
    assert logged == {"walks_counterfactual/taken_rate": 0.25}
    nothing = counterfactual(lambda completions, **columns: [None] * len(completions), lambda row: {})
    assert nothing(completions=["a"], wall=[1]) == [None]
    assert counterfactual(walks, lambda row: None)(completions=["look"], wall=[1]) == [1.0]


def test_an_attack_finds_what_the_plain_reward_pays_and_the_other_does_not():
    rows = [{"prompt": f"Corridor {i}.", "wall": i % 4, "answer": "step " * (i % 4) + "jump"} for i in range(16)]
    settings = Settings(rows, form="text", gold="answer", max_seconds=20)
    plain, fair = (
        attack(LocalSubject(reward), settings, hacks=()) for reward in (walks, counterfactual(walks, PUZZLES[2]))
    )
    assert plain.honest.tells
    assert [kind for kind, _, _ in sentences(fair)][-1] == "unclear"  # what was right in one corridor earns nothing
