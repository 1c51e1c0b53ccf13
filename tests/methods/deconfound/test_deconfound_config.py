import pytest

from align.errors import RecipeError
from align.methods.deconfound.config import DeconfoundConfig
from align.methods.deconfound.correction.fitting import ESTIMATORS
from align.methods.deconfound.dataset import ObservationDatasetConfig
from align.recipe.recipe import parse_recipe

DATASET = {"path": "x.csv", "text": "headline", "outcome": "clicks", "confounders": ["popularity"]}


def parse(path, *, dataset=None, **settings):
    content = {"method": "deconfound", "model_name_or_path": "m/m", "dataset": DATASET | (dataset or {})}
    return parse_recipe(content | settings, path)


REFUSED = {
    "no room": ({"max_length": 0}, ["`max_length` must be at least 1, got 0"]),
    "misspelt key": ({"max_lenght": 5}, ["`max_lenght`", "Did you mean 'max_length'?"]),
    "setting of another method": ({"tie_coef": 1.0}, ["`tie_coef`", "It is a setting of crome."]),
    "rewards": ({"reward_funcs": ["accuracy"]}, ["`reward_funcs`", "deconfound learns from its data alone"]),
    "no columns": ({"dataset": {"text": None, "confounders": []}}, ["text and confounders", "`adapter`"]),
    "misspelt estimator": ({"dataset": {"estimator": "2sls"}}, ["`dataset.estimator`", "'2sls'"]),
    "misspelt column": ({"dataset": {"confounder": ["c"]}}, ["`dataset.confounder`", "'confounders'"]),
    "messages without a prompt": ({"dataset": {"conversational": True}}, ["`prompt`"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_setting_is_refused_by_name_and_with_a_remedy(tmp_path, case):
    settings, words = REFUSED[case]
    with pytest.raises(RecipeError) as error:
        parse(tmp_path / "r.yaml", **settings)
    assert [word for word in words if word not in str(error.value)] == [], str(error.value)


def test_the_config_refuses_what_has_no_meaning(tmp_path):
    with pytest.raises(ValueError, match="`max_length` must be at least 1"):
        DeconfoundConfig(output_dir=str(tmp_path), use_cpu=True, max_length=0)


def test_a_minimal_recipe_takes_defaults_from_the_config(tmp_path):
    recipe = parse(tmp_path / "r.yaml")
    assert recipe.training == {"output_dir": "outputs/deconfound-r"}
    assert recipe.settings.max_length == 1024
    assert recipe.dataset.estimator == "auto"


def test_an_adapter_stands_in_for_columns(tmp_path):
    nothing = {"text": None, "outcome": None, "confounders": []}
    assert parse(tmp_path / "r.yaml", dataset=nothing | {"adapter": "upworthy"}).dataset.adapter == "upworthy"


def test_an_adapter_of_ones_own_names_no_columns(tmp_path):
    (tmp_path / "mine.py").write_text("def read(row):\n    return {'earned': float(row['clicks'])}\n")
    dataset = {"adapter": "./mine.py:read", "outcome": "earned"}
    assert parse(tmp_path / "r.yaml", dataset=dataset).dataset.outcome == "earned"
    with pytest.raises(RecipeError, match="name the columns of outcome, or a public schema as `adapter`"):
        parse(tmp_path / "r.yaml", dataset=dataset | {"outcome": None})
    with pytest.raises(RecipeError, match=r"'upworthy' or 'stackexchange' or '\./mine\.py:function'"):
        parse(tmp_path / "r.yaml", dataset=dataset | {"adapter": "upworty"})


def test_parsing_the_resolved_recipe_again_gives_the_same_recipe(tmp_path):
    first = parse(tmp_path / "r.yaml", max_length=None, dataset={"estimator": "dml", "groups": "author"})
    second = parse_recipe(first.resolved, tmp_path / "r.yaml")
    assert (second.training, second.dataset, second.model) == (first.training, first.dataset, first.model)


def test_the_estimators_are_those_there_are():
    field = ObservationDatasetConfig.model_fields["estimator"]
    assert set(field.annotation.__args__) == {*ESTIMATORS, "input"}
