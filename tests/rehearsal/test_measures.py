import math

import numpy as np
import pytest

from align.evaluation.statistics.metrics import Estimate
from align.rehearsal.cues import goes_with, see
from align.rehearsal.groups import ALIKE, ALL_CUT, contributions, errors_in_groups, of_others, phantom, why_no_spread
from align.rehearsal.record import Check, Measure, RehearsalRecord, Rehearsed


def test_shares_of_others_and_of_groups_without_a_right_answer():
    values = np.zeros((2, 4, 2))
    values[0, :2, 0] = 1  # right ones in the first group
    values[1, :2, 1] = 1  # the second reward orders wrong answers
    parts = contributions(values, np.ones(2), "none")
    assert of_others(parts, 0).value == pytest.approx(0.5)
    assert phantom(parts, values[..., 0]).value == pytest.approx(0.5)
    assert of_others(parts, 1).value == pytest.approx(0.5)
    assert math.isnan(phantom(np.zeros((2, 4, 2)), values[..., 0]).value)  # nothing is learnt


def test_reasons_of_groups_without_spread():
    totals, right = np.full((3, 2), 0.5), np.array([[0.0, 1.0], [np.nan, np.nan], [0.0, 0.0]])
    cut = np.array([[False, False], [False, True], [True, True]])
    assert why_no_spread(totals, right, cut) == [ALIKE, ALIKE, ALL_CUT]
    assert why_no_spread(np.array([[np.nan, 1.0]]), np.zeros((1, 2)), np.zeros((1, 2), dtype=bool)) == ["all wrong"]


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_to_correct_a_reward_of_two_values_is_to_weigh_it_more(scale):
    values = np.random.default_rng(0).integers(0, 2, (6, 8, 2)).astype(float)
    corrected = values.copy()
    corrected[..., 0] = (values[..., 0] - 0.1) / (1 - 0.1 - 0.3)
    weighed = contributions(values, np.array([1 / 0.6, 1.0]), scale)
    assert contributions(corrected, np.ones(2), scale) == pytest.approx(weighed)
    if scale != "none":  # alone it changes nothing, but for TRL's epsilon beside the spread
        alone = contributions(corrected[..., :1], np.ones(1), scale)
        assert alone == pytest.approx(contributions(values[..., :1], np.ones(1), scale), rel=1e-3)


def test_groups_differ_by_errors_alone_as_often_as_was_drawn():
    rng = np.random.default_rng(0)
    solved = np.repeat([0.0, 0.5, 1.0], 400)  # a third of the prompts each
    truth, drawn = rng.random((1200, 8)) < solved[:, None], rng.random((1200, 8))
    paid = np.where(truth, drawn >= 0.2, drawn < 0.1).astype(float)
    made, lost = errors_in_groups(paid, 0.1, 0.2, 8)
    differ, really = np.ptp(paid, axis=1) > 0, truth.any(axis=1) & ~truth.all(axis=1)
    assert made.low < made.value < made.high
    assert (made.value, lost.value) == pytest.approx(((differ & ~really).mean(), (really & ~differ).mean()), abs=0.06)
    exact, _ = errors_in_groups(np.zeros((400, 8)), 0.0, 0.2, 8)  # without false positives none of them differs
    assert exact.value == pytest.approx(0, abs=1e-3)
    paid[::3, 4:] = np.nan
    assert errors_in_groups(paid, 0.1, 0.2, 8)[0].value == pytest.approx(made.value, abs=0.03)


@pytest.mark.parametrize(
    ("fpr", "fnr", "true", "low", "held"), [(0.1, 0.0, 0.19, 0.02, 32), (0.3, 0.3, 0.63, 0.16, 28)]
)
def test_the_share_of_few_groups_that_differ_by_errors_is_no_overestimate(fpr, fnr, true, low, held):
    rng, found = np.random.default_rng(1), []
    for _ in range(40):
        truth = rng.random((32, 8)) < rng.choice([0.0, 0.5, 1.0], size=32)[:, None]
        drawn = rng.random((32, 8))
        paid = np.where(truth, drawn >= fnr, drawn < fpr).astype(float)
        found.append(errors_in_groups(paid, fpr, fnr, 8)[0])
    assert true - low < np.mean([each.value for each in found]) < true + 0.02
    assert sum(each.low <= true <= each.high for each in found) >= held


def draw(seed=0, groups=24, size=8):
    rng = np.random.default_rng(seed)
    words = ["so", "we", "get", "it", "and", "then", "the", "sum", "is", "left"]
    texts = [" ".join(rng.choice(words, rng.integers(4, 20))) for _ in range(groups * size)]
    return rng, texts, np.repeat(np.arange(groups), size)


def test_a_reward_goes_with_length_and_one_of_nothing_goes_with_nothing():
    rng, texts, strata = draw()
    counts = [len(text.split()) for text in texts]
    features = see(texts, counts, [None] * len(texts), [""] * len(texts))
    found = goes_with(np.array(counts, dtype=float), features, strata)
    assert (found[0].kind, found[0].correlation) == ("length", pytest.approx(1.0))
    false = sum(bool(goes_with(rng.normal(size=len(texts)), features, strata)) for _ in range(40))
    assert false <= 2


def test_what_is_only_between_groups_is_no_cue():
    _, texts, strata = draw()
    features = see(texts, [len(text.split()) for text in texts], [None] * len(texts), [""] * len(texts))
    assert goes_with(strata.astype(float), features, strata) == []  # every group has one value
    assert goes_with(np.full(len(texts), np.nan), features, strata) == []


def test_a_letter_and_a_phrase_are_found():
    rng, texts, strata = draw(1)
    stated = rng.choice(["a", "b", "c"], len(texts)).tolist()
    texts = [f"{text} great question" if rng.random() < 0.4 else text for text in texts]
    features = see(texts, [len(text.split()) for text in texts], stated, [""] * len(texts))
    first = goes_with(np.array([float(each == "a") for each in stated]), features, strata)[0]
    assert (first.kind, first.name) == ("position", "answers A")
    found = goes_with(np.array([float("great" in text) for text in texts]), features, strata)
    assert any("great" in cue.name for cue in found[:3])


def test_the_file_has_no_number_that_is_none(tmp_path):
    found = Rehearsed()
    found.take(Check("a", "a", "a share", "Is sick."), Estimate(math.nan, math.nan, math.nan, 0))
    found.take(Check("b", "b", "tokens", is_share=False), Estimate(math.inf, math.inf, math.inf, 3))
    found.find("error", "length", "All are cut off.", needed=math.inf)
    record = RehearsalRecord("r", "some", "m", found, "now", {})
    assert "Infinity" not in record.write(tmp_path).read_text()
    assert str(Measure("a", "a", Estimate(0.5, 0.25, 0.75, 4))) == "50 % [25, 75]"
    assert record.verdict.startswith("Not ready: 1 of 1 finding")
