"""Every refusal names the column, the rule, the value and the remedy."""

import numpy as np
import pytest
from correction_tables import draw

from rewards.correction import (
    ESTIMATORS,
    CorrectionWarning,
    DoubleML,
    FixedEffects,
    InstrumentalVariables,
    NaiveResidual,
    NoCorrection,
)

DRAWN = draw(400)
Y, C, Z, TEXT, GROUPS = DRAWN.outcome, DRAWN.confounder, DRAWN.instrument, DRAWN.text, DRAWN.groups
NOISE = np.random.default_rng(3).normal(size=400)


@pytest.mark.parametrize("name", sorted(ESTIMATORS))
def test_degenerate_columns_are_refused_by_every_estimator(name):
    model, parts = ESTIMATORS[name](), {"text": TEXT, "instruments": np.column_stack([Z, NOISE]), "groups": GROUPS}
    with pytest.raises(ValueError, match=r"The confounder 'hour' must vary, but is 0.1 in every row. Leave it out"):
        model.fit(Y, {"popularity": C, "hour": np.full(400, 0.1)}, **parts)
    with pytest.raises(ValueError, match=r"confounders a, b must not determine each other.*Leave one of them out"):
        model.fit(Y, {"a": C, "b": 5 - 3 * C}, **parts)
    with pytest.raises(ValueError, match=r"The outcome 'outcome' must vary, but is 1 in every row. Name another"):
        model.fit(np.ones(400), C, **parts)
    with pytest.raises(
        ValueError,
        match=r"missing or not finite in outcome \(1 rows\), first in row 7\. Fill them, or leave such rows out",
    ):
        model.fit(np.where(np.arange(400) == 7, np.nan, Y), C, **parts)
    with pytest.raises(ValueError, match=r"one value per row, got outcome 400, confounders 399"):
        model.fit(Y, C[1:], **parts)
    with pytest.raises(ValueError, match=r"'topic' must vary, but is 'sport' in every row\. Leave it out"):
        model.fit(Y, {"topic": ["sport"] * 400}, **parts)
    with pytest.raises(ValueError, match=r"Column 'topic' must hold numbers to be a confounder, got \['sport'\]"):
        model.fit(Y, {"topic": ["sport", "3"] * 200}, **parts)
    with pytest.raises(ValueError, match=r"`groups` must hold at least two labels, got 'all'"):
        model.fit(Y, C, **parts | {"groups": ["all"] * 400})


@pytest.mark.parametrize(
    ("column", "hole"),
    [("confounder", np.inf), ("text", None), ("groups", None), ("groups", np.nan), ("instr", np.nan)],
)
def test_missing_values_are_found_in_every_column(column, hole):
    parts = {"text": list(TEXT), "groups": GROUPS.astype(object), "confounder": C.copy(), "instr": Z.copy()}
    parts[column][11] = hole
    with pytest.raises(ValueError, match=r"missing or not finite in \w+ \(1 rows\), first in row 11"):
        InstrumentalVariables().fit(
            Y, parts["confounder"], text=parts["text"], groups=parts["groups"], instruments=parts["instr"]
        )


def test_too_few_rows_are_refused():
    with pytest.raises(ValueError, match=r"3 coefficients need at least 30 rows \(10 each\), got 29"):
        NaiveResidual().fit(Y[:29], np.column_stack([C, NOISE])[:29])
    with pytest.raises(ValueError, match=r"need at least 20 rows beyond one per group \(10 each\), got 0"):
        FixedEffects().fit(Y, C, groups=np.arange(400))


def test_instruments_are_refused_that_are_confounders_constant_or_too_few():
    model = InstrumentalVariables()
    with pytest.raises(ValueError, match=r"`iv` needs `instruments`, got none"):
        model.fit(Y, C, text=TEXT)
    with pytest.raises(ValueError, match=r"instrument 'shock' must not be a confounder, but it is the same as 'pop'"):
        model.fit(Y, {"pop": C}, instruments={"shock": 3 * C - 1}, text=TEXT)
    with pytest.raises(ValueError, match=r"instrument 'pop' must not be a confounder"):
        model.fit(Y, {"pop": C}, instruments={"pop": Z}, text=TEXT)
    with pytest.raises(ValueError, match=r"The instrument 'shock' must vary, but is 2"):
        model.fit(Y, {"pop": C}, instruments={"shock": np.full(400, 2)}, text=TEXT)
    with pytest.raises(ValueError, match=r"2 confounders need as many instruments, got 1 \(shock\).*`instrumented`"):
        model.fit(Y, {"pop": C, "hour": NOISE}, instruments={"shock": Z}, text=TEXT)
    with pytest.raises(ValueError, match=r"first-stage columns hour, shock, second must not determine each other"):
        InstrumentalVariables(instrumented=["pop"]).fit(
            Y, {"pop": C, "hour": NOISE}, instruments={"shock": Z, "second": Z + NOISE}, text=TEXT
        )
    with pytest.raises(
        ValueError, match=r"`instrumented` must name some of the confounders that are numbers, pop; got shock"
    ):
        InstrumentalVariables(instrumented=["shock"]).fit(Y, {"pop": C}, instruments={"shock": Z})
    with pytest.raises(ValueError, match=r"`on_weak_instrument` must be one of fallback, refuse, keep; got 'warn'"):
        InstrumentalVariables(on_weak_instrument="warn").fit(Y, C, instruments=Z)


def test_what_an_estimator_needs_is_named():
    with pytest.raises(ValueError, match="Pass `text` or `features`"):
        DoubleML().fit(Y, C)
    with pytest.raises(ValueError, match="`fixed_effects` needs `groups`, got none"):
        FixedEffects().fit(Y, C, text=TEXT)
    with pytest.raises(ValueError, match=r"'fame.* must vary within groups, but is constant in each. Leave it out"):
        FixedEffects().fit(Y, {"fame": GROUPS % 7}, text=TEXT, groups=GROUPS)
    with pytest.raises(ValueError, match="within-group confounders a, b must not determine each other"):
        FixedEffects().fit(Y, {"a": C, "b": C + GROUPS}, text=TEXT, groups=GROUPS)
    with pytest.raises(ValueError, match="`confounders` must have at least one column"):
        NaiveResidual().fit(Y, np.empty((400, 0)))
    with pytest.raises(ValueError, match=r"`num_folds` of 2 or more, got \d+ groups and 1 folds"):
        DoubleML(num_folds=1).fit(Y, C, text=TEXT)
    with pytest.raises(ValueError, match="`NaiveResidual` must be fitted first"):
        NaiveResidual().correct(Y, C)
    with pytest.raises(ValueError, match="has no parameter 'folds'; it has num_folds"):
        DoubleML().set_params(folds=3)


def test_correcting_with_other_columns_is_refused():
    fitted = NaiveResidual().fit(Y, {"popularity": C, "hour": NOISE}).correction_
    with pytest.raises(ValueError, match="fitted with the confounders popularity, hour; got popularity, without hour"):
        fitted.correct(Y, {"popularity": C})
    with pytest.raises(ValueError, match="one value per row, got 400 and 2"):
        fitted.correct(Y, np.ones((2, 2)))
    with_groups = FixedEffects().fit(Y, C, text=TEXT, groups=GROUPS).correction_
    with pytest.raises(ValueError, match="needs `groups` with one label per row, got 0 for 400 rows"):
        with_groups.correct(Y, C)


def test_confounders_computed_from_the_text_are_warned_of():
    texts = [
        text if number % 3 else f"{text} {'so ' * (number % 7)}{'x' * (number % 50)}"
        for number, text in enumerate(TEXT)
    ]
    lengths = {"characters": [len(text) + 5.0 for text in texts], "words": [3.1 * len(t.split()) for t in texts]}
    for measure, length in lengths.items():
        with pytest.warns(CorrectionWarning, match=f"'size' is the length of the text in {measure}"):
            NaiveResidual().fit(Y, {"size": length}, text=texts)
    computed = np.array([sum(word < "word10" for word in text.split()) for text in TEXT], dtype=float)
    with pytest.raises(ValueError, match=r"The text gives 'hot' away \(R² \d\.\d+ > 0.99 out of fold\)"):
        DoubleML().fit(Y, {"hot": computed + 1e-3 * NOISE}, text=TEXT)


def test_a_text_that_is_the_same_within_groups_is_warned_of():
    texts = [f"text of {'abcdefghij'[group % 10]}{'klmnopqrst'[group // 10]}" for group in GROUPS]
    with pytest.warns(CorrectionWarning, match="The text is the same within groups"):
        fitted = FixedEffects().fit(Y, C, text=texts, groups=GROUPS).correction_
    assert fitted.details["text_columns"] == 0


def test_few_groups_are_warned_of():
    with pytest.warns(CorrectionWarning, match="only 5 groups"):
        NaiveResidual().fit(Y, C, groups=GROUPS % 5)


def test_nothing_is_warned_of_without_a_reason(recwarn):
    NoCorrection().fit(Y, C, text=TEXT)
    NaiveResidual().fit(Y, C, text=TEXT)
    DoubleML().fit(Y, C, text=TEXT)
    assert not recwarn.list
