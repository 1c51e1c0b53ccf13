"""Cues of the same units are shown once: against a comparison of every cue with every stronger one."""

import numpy as np
import pytest

from align.auditing.cues import fold
from align.auditing.significance import Tested

NUM_UNITS, NUM_FEATURES = 60, 40


def some_test(seed: int) -> Tested:
    """Draws features that are often in nearly the same units, or in part of another's, some of them twice."""
    draw = np.random.default_rng(seed)
    habits = [draw.choice(NUM_UNITS, size=draw.integers(10, 40), replace=False) for _ in range(4)]
    units = []
    for _ in range(NUM_FEATURES):
        habit = habits[draw.integers(len(habits))]
        units.append(np.r_[habit[draw.random(len(habit)) < draw.choice([0.5, 0.9, 1.0])], habit[:1], habit[:1]])
    unit = np.concatenate(units)
    effect = draw.normal(size=NUM_FEATURES)
    names = [" ".join(draw.choice(list("abcdefgh"), size=draw.integers(1, 3))) for _ in range(NUM_FEATURES)]
    return Tested(
        where="answer",
        names=names,
        types=[str(draw.choice(["count", "word"])) for _ in range(NUM_FEATURES)],
        targets=[],
        opposites=[],
        are_shares=False,
        unit=unit,
        feature=np.repeat(np.arange(NUM_FEATURES), [len(each) for each in units]),
        is_hit=unit % 5 < 4,
        effect=effect,
        z=np.round(effect, 1),
        **dict.fromkeys(("n", "hits", "expected", "within", "p_raw", "p_values"), effect),
    )


def fold_one_by_one(tests, picked):
    """Compares every cue with every stronger one, as sets."""
    leads = []
    for _, number, feature in picked:
        test = tests[number]
        units, hit = test.units(feature)
        telling = set(zip(units.tolist(), hit.tolist(), strict=True))
        words = set() if test.types[feature] == "count" else set(test.names[feature].split(" "))
        positive = bool(test.effect[feature] > 0)
        for lead in leads:
            both = len(telling & lead["telling"])
            same = both >= 0.8 * len(telling | lead["telling"])
            if lead["of"] == (number, positive) and (same or (words & lead["words"] and both >= 0.6 * len(telling))):
                lead["also"].append(feature)
                lead["words"] |= words
                break
        else:
            leads.append(
                {"of": (number, positive), "feature": feature, "telling": telling, "words": words, "also": []}
            )
    return [(*lead["of"], lead["feature"], lead["also"]) for lead in leads]


@pytest.mark.parametrize("at_once", [7, 256])
def test_as_by_a_comparison_of_all_with_all(at_once, monkeypatch):
    monkeypatch.setattr("align.auditing.cues._AT_ONCE", at_once)
    num_under_another = 0
    for seed in range(8):
        tests = [some_test(seed), some_test(seed + 1000)]
        picked = sorted((-abs(test.z[i]), n, i) for n, test in enumerate(tests) for i in range(NUM_FEATURES))
        leads = [(lead.test, lead.is_positive, lead.feature, lead.also) for lead in fold(tests, picked)]
        assert leads == fold_one_by_one(tests, picked), seed
        num_under_another += sum(len(also) for *_, also in leads)
    assert num_under_another > 80  # the worlds have something to fold


def test_nothing_picked_is_nothing_found():
    assert fold([some_test(0)], []) == []
