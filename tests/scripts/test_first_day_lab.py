"""Warnings of the first day: silent where nothing is wrong, and heard where something is planted."""

import pytest

from scripts.labs.first_day.lab import (
    STEPS,
    answered,
    audited,
    chance,
    form_is_learnt,
    judged,
    logged_shares,
    measure,
    noted,
    of_pairs,
)

RUNS = 8


@pytest.mark.parametrize(
    "world",
    [
        chance(1, 8, "a judge"),
        chance(2, 8, "right or wrong"),
        form_is_learnt(2, 8, 0.0),
        form_is_learnt(4, 8, 0.05),
        form_is_learnt(2, 8, 0.0, 0.1),
        audited(16, 0.5),
    ],
    ids=[
        "a judge, 1 x 8",
        "right or wrong, 2 x 8",
        "form is learnt, none right",
        "form is learnt, few right",
        "its function pays 0.1",
        "an audit",
    ],
)
def test_no_alarm_is_heard_where_a_reward_goes_with_nothing(world):
    counts = measure(world, RUNS, seed=0)
    assert counts.total() <= 1
    assert STEPS >= 50


def test_alarms_of_eight_completions_a_step_are_heard_where_they_are_paid():
    for name in ("length", "format", "repetition"):
        assert measure(chance(1, 8, "a judge", name), 4, seed=0)[name] == 4


def test_an_audit_that_falls_and_completions_that_are_cut_off_are_heard():
    assert measure(audited(16, 0.5, 1.0), 4, seed=0) == {"audit": 4, "clipped_ratio": 4}


def test_pages_and_evaluations_say_what_is_beyond_chance_only():
    for steps, size in ((3, 4), (8, 8), (20, 32)):
        assert all(count <= 2 for count in measure(logged_shares(size, steps), RUNS, seed=0).values())
    bad = measure(logged_shares(8, 12, more=0.4), RUNS, seed=0)
    assert bad["completions are cut off at the token limit"] == RUNS
    for size, held in ((8, 24), (32, 100)):
        assert all(count <= 2 for count in measure(of_pairs(size, 40, held), 2 * RUNS, seed=0).values())
    assert all(count <= 2 for count in measure(judged(24), 4 * RUNS, seed=0).values())
    assert measure(judged(100, 0.5, 0.95, 0.8), RUNS, seed=0).most_common()[-1][1] == RUNS
    assert all(count <= 1 for count in measure(noted("own", 16), 2 * RUNS, seed=0).values())
    for items in (24, 50, 100):
        found = measure(answered(items), 60, seed=1)
        assert found["prefers a place"] <= 1
    assert measure(answered(100, liked=0.7), RUNS, seed=0)["prefers a place"] >= RUNS - 1
