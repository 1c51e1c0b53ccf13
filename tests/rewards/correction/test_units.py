"""No unit and no shift of a column changes what is found, on any path, by any estimator."""

import warnings

import numpy as np
import pytest
from correction_tables import draw
from hypothesis import given, settings
from hypothesis import strategies as st

from rewards.correction import ESTIMATORS, CorrectionWarning
from rewards.correction.columns import read_columns
from rewards.correction.diagnostics import additivity, overlap, placebo, rank_agreement

NUM_ROWS = 300
DRAWN = draw(NUM_ROWS, cause=0.5, by_group=0.3)
RNG = np.random.default_rng(4)
HOUR = RNG.normal(size=NUM_ROWS) + 0.3 * DRAWN.confounder
# Whole numbers of millionths, so that integers hold them exactly.
COLUMNS = {
    name: np.round(1e6 * (values - np.mean(values)) / np.std(values))
    for name, values in {
        "outcome": DRAWN.outcome, "popularity": DRAWN.confounder, "hour": HOUR, "shock": DRAWN.instrument,
        "second": DRAWN.instrument + RNG.normal(size=NUM_ROWS),
    }.items()
}  # fmt: skip
PATHS = [*((name, "whole") for name in sorted(ESTIMATORS)), ("iv", "whole without text")]
BASE = {}


def fitted(columns, name, path):
    """Fits to columns; returns the fitted estimator."""
    confounders = {each: columns[each] for each in ("popularity", "hour")}
    parts = {"groups": DRAWN.groups}
    if name == "iv":
        parts["instruments"] = {each: columns[each] for each in ("shock", "second")}
    settings = {"ridge": (1.0, 100.0), "num_folds": 3} if name in ("iv", "dml") else {}
    model = ESTIMATORS[name](**settings | ({"instrumented": ["popularity"]} if name == "iv" else {}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", CorrectionWarning)
        text = None if path == "whole without text" else DRAWN.text
        return model.fit(columns["outcome"], confounders, text=text, **parts)


def base(name, path):
    if (name, path) not in BASE:
        BASE[name, path] = fitted(COLUMNS, name, path)
    return BASE[name, path]


def close(found, expected, tolerance=2e-6):
    """Compares arrays by the largest of their entries."""
    found, expected = np.asarray(found, dtype=float), np.asarray(expected, dtype=float)
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max(initial=0))


# A power of ten and a shift in deviations.
CHANGES = st.tuples(st.integers(-12, 18), st.sampled_from([0, 1, -1e3, 1e6, -1e8]))


def change(values, how):
    """Returns the changed column, and what a deviation of it became."""
    scale = 10.0 ** how[0] / 1e6
    return values * scale + how[1] * 10.0 ** how[0], scale


@pytest.mark.parametrize(("name", "path"), PATHS)
@settings(max_examples=6, deadline=None)
@given(how=st.fixed_dictionaries(dict.fromkeys(COLUMNS, CHANGES)))
def test_estimates_and_diagnostics_are_the_same_in_every_unit(name, path, how):
    changed = {key: change(values, how[key]) for key, values in COLUMNS.items()}
    columns, scale = ({key: each[place] for key, each in changed.items()} for place in (0, 1))
    plain, other = base(name, path), fitted(columns, name, path)
    unit = scale["outcome"] / np.array([scale["popularity"], scale["hour"]])
    one, two = plain.correction_, other.correction_
    close(np.array(two.standard_errors) / unit, one.standard_errors)
    widths = np.diff(np.array(one.intervals), axis=1)[:, 0] if name != "none" else 1.0
    close((np.array(two.coefficients) / unit - one.coefficients) / widths + 1, np.ones(2))
    close((np.array(two.intervals).T / unit - np.array(one.intervals).T) / widths + 1, np.ones((2, 2)))
    close([effect / scale["outcome"] for _, effect in two.group_effects], [effect for _, effect in one.group_effects])
    assert two.warnings == one.warnings
    for key, value in one.details.items():
        if key.startswith("two_stage"):
            close(np.array(two.details[key]) / unit[:1], value)  # of what the instruments move
        elif key == "group_effect_deviation":
            close(two.details[key] / scale["outcome"], value)
        elif isinstance(value, dict):
            close([*two.details[key].values()], [*value.values()])
        elif isinstance(value, float):
            close(two.details[key], value, 1e-5)
        else:
            assert two.details[key] == value
    confounders = [{key: table[key] for key in ("popularity", "hour")} for table in (COLUMNS, columns)]
    removed = [
        corrector.correction_.correct(np.zeros(NUM_ROWS), table, groups=DRAWN.groups)
        for corrector, table in zip((plain, other), confounders, strict=True)
    ]
    close((removed[1] - removed[1].mean()) / scale["outcome"], removed[0] - removed[0].mean())
    same_diagnostics(plain, other, confounders, unit)


def same_diagnostics(plain, other, confounders, unit):
    left = [each.residuals_ and each.residuals_.confounders for each in (plain, other)]
    read = [read_columns(table, "confounder") for table in confounders]
    for one, two in zip(*map(overlap, read, left), strict=True):
        close(two[1:], one[1:])
    if plain.residuals_ is None:
        return
    found = [additivity(("a", "b"), each.residuals_, each.coef_, DRAWN.groups) for each in (plain, other)]
    for one, two, factor in zip(*found, unit, strict=True):
        close(np.array(two[1:4]) / factor, one[1:4], 1e-5)
        close(two.p_value, one.p_value, 1e-4)


def test_placebos_and_rankings_are_the_same_in_every_unit():
    found = []
    for table in (COLUMNS, {key: 1e9 * value + 1e18 for key, value in COLUMNS.items()}):
        fits = {"shock": table["shock"]}
        found.append(placebo(ESTIMATORS["iv"](ridge=(10.0,)), table["outcome"], {"popularity": table["popularity"]},
                             instruments=fits, text=DRAWN.text, repeats=3))  # fmt: skip
    close(found[1].coefficients, found[0].coefficients)
    close(found[1].strengths, found[0].strengths)
    assert found[1].coverage == found[0].coverage
    table = {key: COLUMNS[key] for key in ("popularity", "hour")}
    rewards = {name: base(name, "whole").correct(COLUMNS["outcome"], table) for name in ("ols", "none")}
    larger = {name: reward * 1e18 for name, reward in rewards.items()}
    close(rank_agreement(larger).rank_correlation, rank_agreement(rewards).rank_correlation)
