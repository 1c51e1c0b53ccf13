import numpy as np
import pytest
from observed_table import EFFECT, columns_of, observed_rows, write_table

from align.data.tables.observations import ObservationReader, Roles, read_observations
from align.data.tables.reading import TableFile
from align.errors import DataError, UserError
from align.methods.deconfound.correction.fitting import (
    ESTIMATORS,
    CorrectionSettings,
    apply,
    fit,
    load_correction,
)
from rewards.correction import ESTIMATORS as CLASSES

ROLES = Roles("clicks", ("popularity",), text="headline", instruments=("shock",), groups="author")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_table(tmp_path_factory.mktemp("table") / "t.csv", observed_rows(600))


def reader_of(path, roles=ROLES, **reading):
    return ObservationReader(TableFile(path, **reading), roles)


def direct(name):
    """The estimator of `rewards.correction` itself, on the rows themselves."""
    data = columns_of(observed_rows(600))
    columns = {"text": data["headline"], "groups": data["author"]}
    if name == "iv":
        columns["instruments"] = {"shock": data["shock"]}
    return CLASSES[name]().fit(data["clicks"], {"popularity": data["popularity"]}, **columns).correction_


def test_the_settings_name_the_estimators_there_are():
    assert set(ESTIMATORS) == {"auto", *CLASSES}


@pytest.mark.parametrize("name", ESTIMATORS[1:])
def test_estimates_are_those_of_the_estimator_called_directly(path, name):
    rows, _ = read_observations(reader_of(path))
    found, expected = fit(rows, CorrectionSettings(estimator=name)).correction_, direct(name)
    np.testing.assert_allclose(found.coefficients, expected.coefficients, rtol=0, atol=1e-8)
    np.testing.assert_allclose(found.intervals, expected.intervals, rtol=0, atol=1e-8)
    assert found.formula == expected.formula
    if name == "iv":
        assert found.coefficients[0] == pytest.approx(EFFECT, abs=0.1)


@pytest.mark.parametrize("name", ["ols", "fixed_effects"])
def test_a_saved_correction_gives_the_same_rewards_to_new_rows(tmp_path, path, name):
    rows, _ = read_observations(reader_of(path))
    fitted = fit(rows, CorrectionSettings(estimator=name)).correction_
    fitted.save(tmp_path / "correction.json")
    new, _ = read_observations(reader_of(write_table(tmp_path / "new.jsonl", observed_rows(60, seed=9))))
    loaded = load_correction(tmp_path / "correction.json")
    np.testing.assert_array_equal(apply(loaded, new), apply(fitted, new))
    assert loaded.unknown_groups(new.groups) == 0
    stranger = new._replace(groups=np.array(["nobody"] * 60, dtype=object))
    assert loaded.unknown_groups(stranger.groups) == (60 if name == "fixed_effects" else 0)


@pytest.mark.parametrize(("name", "role"), [("iv", "instruments"), ("dml", "text"), ("fixed_effects", "groups")])
def test_an_estimator_without_its_column_is_refused_with_a_remedy(path, name, role):
    rows, _ = read_observations(reader_of(path, Roles("clicks", ("popularity",))))
    with pytest.raises(UserError, match=rf"{role}.* Pass "):
        fit(rows, CorrectionSettings(estimator=name))


def test_what_the_estimator_refuses_is_an_error_of_the_data(path):
    rows, _ = read_observations(reader_of(path))
    constant = rows._replace(confounders={"popularity": np.ones(rows.num_rows)})
    with pytest.raises(DataError, match="'popularity' must vary"):
        fit(constant, CorrectionSettings(estimator="ols"))


@pytest.mark.parametrize("content", [None, "{}", "[1]", "x", '{"format": "truealign.correction/1"}'])
def test_a_file_that_is_no_correction_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "c.json").write_text(content)
    with pytest.raises(DataError, match=r"c\.json"):
        load_correction(tmp_path / "c.json")


def test_a_batch_without_a_date_keeps_the_columns_a_column_of_dates(tmp_path, monkeypatch):
    monkeypatch.setattr("align.data.tables.reading.BATCH_ROWS", 20)
    days = [""] * 20 + [f"2024-01-{day:02d}" for day in range(1, 31)]
    rows = [row | {"when": day} for row, day in zip(observed_rows(50), days, strict=True)]
    path, roles = write_table(tmp_path / "t.csv", rows), Roles("clicks", ("popularity", "when"))

    def reader():
        return ObservationReader(TableFile(path, in_memory=0, on_bad_rows="skip"), roles)

    fitted = fit(read_observations(reader())[0], CorrectionSettings(estimator="ols")).correction_
    assert fitted.num_rows == 30
    assert sum(len(apply(fitted, rows)) for rows in reader().read()) == 30
