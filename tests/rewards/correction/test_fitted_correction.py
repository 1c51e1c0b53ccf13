import json
import re
import subprocess
import sys
import warnings

import numpy as np
import pytest
from correction_tables import draw

from rewards.correction import ESTIMATORS, Correction, CorrectionWarning
from rewards.correction.correction import WORDS
from rewards.extras import EXTRAS, library, pip_line

DRAWN = draw(600, by_group=0.3)


def fitted(name, groups=DRAWN.groups):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CorrectionWarning)
        model = ESTIMATORS[name]()
        parts = {"text": DRAWN.text, "instruments": DRAWN.instrument, "groups": groups}
        return model.fit(DRAWN.outcome, {"popularity": DRAWN.confounder}, **parts).correction_


@pytest.mark.parametrize("name", sorted(ESTIMATORS))
def test_a_correction_comes_back_from_json_exactly(name, tmp_path):
    correction = fitted(name)
    correction.save(tmp_path / "correction.json")
    loaded = Correction.load(tmp_path / "correction.json")
    assert loaded == correction
    assert [path.name for path in tmp_path.iterdir()] == ["correction.json"]
    both = [each.correct(DRAWN.outcome, DRAWN.confounder, groups=DRAWN.groups) for each in (correction, loaded)]
    np.testing.assert_array_equal(*both)
    assert Correction.from_json(loaded.to_json()).to_json() == correction.to_json()


@pytest.mark.parametrize("kind", [str, int])
def test_labels_of_groups_keep_their_type(kind):
    groups = np.array([kind(group) for group in DRAWN.groups])
    correction = Correction.from_json(fitted("fixed_effects", groups).to_json())
    assert {type(label) for label, _ in correction.group_effects} == {kind}
    assert correction.unknown_groups(groups) == 0


@pytest.mark.parametrize("kind", [np.asarray, lambda days: np.array(days.tolist(), dtype=object)])
def test_groups_may_be_dates(kind):
    days = kind(np.datetime64("2024-01-01") + np.unique(DRAWN.groups, return_inverse=True)[1])
    correction = fitted("fixed_effects", days)
    kept = Correction.from_json(correction.to_json())
    assert kept == correction
    assert kept.group_effects[0][0] == "2024-01-01"
    assert kept.unknown_groups(days[:50].tolist()) == 0
    given = DRAWN.outcome[:50], {"popularity": np.zeros(50)}
    again = correction.correct(*given, groups=days[:50].tolist())
    np.testing.assert_array_equal(kept.correct(*given, groups=days[:50]), again)


@pytest.mark.parametrize("name", sorted(ESTIMATORS))
def test_a_correction_says_in_words_what_it_is(name):
    correction = fitted(name)
    record = json.loads(correction.to_json())
    assert record["formula"].startswith("reward = outcome - ")
    assert "popularity" in record["formula"]
    assert record["assumptions"] == list(WORDS[name].assumptions)
    assert record["breaks_if"] == WORDS[name].breaks_if
    assert record["num_rows"] == 600
    if name != "none":
        (low, high), slope = correction.intervals[0], correction.coefficients[0]
        assert low < slope < high
        assert high - low == pytest.approx(2 * 1.96 * correction.standard_errors[0], rel=0.1)


def test_other_json_is_refused(tmp_path):
    for text in ("[]", "{}", '{"format": "truealign.correction/0"}'):
        with pytest.raises(ValueError, match=r"must have the format 'truealign.correction/1', got .*save it again"):
            Correction.from_json(text)


def test_a_library_that_is_not_there_is_named_with_its_extra():
    (extra,) = [extra for extra, modules in EXTRAS.items() if "sklearn" in modules]
    with pytest.raises(ImportError, match=f"needs scikit-learn.*{re.escape(pip_line(extra))}"):
        library("sklearn.no_such_module", "`rewards.correction`")


def test_the_package_imports_without_the_libraries():
    code = "import sys, rewards.correction, rewards.correction.diagnostics; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & {"torch", "align", "sklearn", "statsmodels", "linearmodels", "scipy", "pandas"}
