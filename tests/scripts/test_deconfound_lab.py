import json

import numpy as np
import pytest
from loaded_script import load_script


@pytest.fixture(scope="module")
def world():
    return load_script("labs.deconfound.world")


@pytest.fixture(scope="module")
def arms():
    return load_script("labs.deconfound.arms")


@pytest.fixture(scope="module")
def lab():
    return load_script("labs.deconfound.lab")


def test_a_seed_draws_the_same_world_again(world):
    first, again = (world.draw_world(world.REGIMES["entangled"], 200, seed=1, num_new=20) for _ in range(2))
    assert (first.text, first.new_text) == (again.text, again.new_text)
    np.testing.assert_array_equal(first.outcome, again.outcome)


def test_a_headline_is_worth_what_its_words_are(world):
    regime = world.REGIMES["unobserved"]
    drawn, worths = world.draw_world(regime, 20, seed=3, num_new=50), world.word_worths(regime, seed=3)
    summed = [sum(worths[word] for word in text.split()) for text in drawn.new_text]
    np.testing.assert_allclose(summed, drawn.new_worth, atol=1e-12)


@pytest.mark.parametrize("name", ["separable", "entangled", "reacting", "grouped"])
def test_what_a_headline_is_worth_varies_by_about_one(world, name):
    drawn = world.draw_world(world.REGIMES[name], 200, seed=1)
    assert drawn.new_worth.std() == pytest.approx(1, abs=0.1)


def test_the_outcome_is_made_as_the_docstring_says(world):
    drawn = world.draw_world(world.REGIMES["entangled"], 300, seed=1)
    np.testing.assert_allclose(drawn.outcome - drawn.clean_outcome, world.GAMMA * drawn.popularity)
    noisy = world.draw_world(world.REGIMES["noisy"], 300, seed=1)
    left = noisy.outcome - noisy.clean_outcome - world.GAMMA * noisy.popularity
    assert left.std() == pytest.approx(world.GAMMA * world.REGIMES["noisy"].error, rel=0.1)


def test_hot_words_are_worth_nothing_in_the_separable_regime_only(world):
    for name, low, high in (("separable", -0.1, 0.1), ("entangled", 0.3, 0.5)):
        drawn = world.draw_world(world.REGIMES[name], 2000, seed=3)
        assert low < np.corrcoef(drawn.popularity, drawn.clean_outcome)[0, 1] < high


def test_the_best_of_16_is_1_for_the_truth_and_0_for_a_constant_choice(lab):
    worth = np.random.default_rng(0).normal(size=16 * 2000)
    assert lab.best_of_value(worth, worth) == 1
    assert lab.best_of_value(np.zeros(len(worth)), worth) == pytest.approx(0, abs=0.03)
    assert lab.best_of_value(-worth, worth) < -0.9


def test_the_gradient_of_the_two_heads_is_right(arms):
    rng = np.random.default_rng(0)
    half = rng.normal(size=(6, 6))
    objective = arms._Odin(half @ half.T + np.eye(6), rng.normal(size=6), rng.normal(size=6), 2.0)
    heads = rng.normal(size=12)
    _, slope = objective(heads)
    step = 1e-6
    numeric = [(objective(heads + step * e)[0] - objective(heads - step * e)[0]) / (2 * step) for e in np.eye(12)]
    np.testing.assert_allclose(slope, numeric, rtol=1e-5, atol=1e-7)


def test_the_bars_speak_of_what_was_run(lab):
    def result(best_of, coefficient):
        return lab.Result(best_of, 0.9, coefficient, 0.01, "iv", 0.1)

    runs = {"entangled": {"iv": [result(0.99, 2.55)], lab.NAIVE: [result(0.95, 3.0)]}}
    assert list(lab.check_bars(runs, {}).values()) == [True, True]
    runs["entangled"]["iv"] = [result(0.97, 2.7)]
    assert list(lab.check_bars(runs, {}).values()) == [False, False]
    coverage = {"entangled, iv": {"coverage": lab.Estimate(0.85, 0.8, 0.9, 200)}}
    assert list(lab.check_bars({}, coverage).values()) == [False]


def test_arms_that_are_worse_than_the_baseline_are_listed(lab):
    def results(*values):
        return [lab.Result(value, 0.9, 2.5, 0.01, "iv", 0.1) for value in values]

    runs = {"weak": {"none": results(0.9, 0.9), "iv": results(0.95, 0.5), "dml": results(0.95, 0.95)}}
    assert [line.split(" ")[:2] for line in lab.harms(runs, "none")] == [["weak:", "iv"]]


@pytest.mark.slow
def test_a_small_lab_runs_from_end_to_end(lab, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(lab, "COVERAGE_SEED", 500)
    words = ["--replications", "1", "--first_seed", "100", "--rows", "1200", "--coverage_replications", "2"]
    words += ["--regimes", "entangled", "grouped", "weak", "--json", str(tmp_path / "lab.json")]
    assert lab.main(words) == 0
    record = json.loads((tmp_path / "lab.json").read_text())
    best = {arm: np.mean([run["best_of"] for run in runs]) for arm, runs in record["runs"]["entangled"].items()}
    assert best["iv"] > best[lab.NAIVE] + 0.03
    assert best["confounder as input"] == pytest.approx(best["dml"], abs=0.02)
    assert best["oracle"] > 0.9
    assert record["runs"]["grouped"]["fixed effects"][0]["coefficient"] == pytest.approx(2.5, abs=0.3)
    assert len([name for name in record["bars"] if name.startswith("entangled")]) == 4
    assert "Best of 16 is worse than with 'none'" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["cyclic", "month", "pair", "line"])
def test_a_curve_is_nearer_to_the_oracle_than_a_line_where_there_is_one(name):
    curves = load_script("labs.deconfound.curves")
    world = curves.draw(name, seed=0)
    found = {curved: curves.measure(world, "dml", curved) for curved in (True, False)}
    assert found[True]["distance"] < 0.1
    assert (found[False]["distance"] > 0.5) == (name != "line")
    assert found[True]["guide"] == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize(("case", "share"), [("line", 0), ("missed", 1), ("curve", 0)])
def test_a_sound_correction_is_written_and_one_that_misses_a_curve_is_not(case, share):
    assert load_script("labs.deconfound.refusals").rate(300, 12, case, 20).value == share
