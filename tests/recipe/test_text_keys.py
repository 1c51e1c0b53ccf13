import pytest
from some_recipes import PROMPTS

from align.errors import RecipeError
from align.recipe.recipe import load_recipe


@pytest.fixture
def parse(tmp_path):
    def write(lines="", *words):
        path = tmp_path / "recipe.yaml"
        needed = f"method: {PROMPTS}\nmodel_name_or_path: owner/model\nreward_funcs: [format]\n"
        path.write_text(f"{needed}dataset: {{path: rows.jsonl}}\n{lines}\n")
        return load_recipe(path, words)

    return write


@pytest.mark.parametrize("text", ["2024", "1e3", "007", "1_000", "0x1F", "-1", "2.10", "v1"])
def test_what_looks_like_a_number_stays_a_text_where_the_key_is_one(parse, text):
    keys = ("run_name", "model_revision", "dataset.split", "model_init_kwargs.revision")
    recipe = parse("", *(f"--{key}={text}" for key in keys))
    assert recipe.settings.run_name == recipe.resolved["run_name"] == text
    assert recipe.model.model_revision == text
    assert recipe.dataset.split == text
    assert recipe.settings.model_init_kwargs == {"revision": text}


def test_other_keys_are_read_as_before(parse):
    recipe = parse("", "--seed", "7", "--learning_rate", "1e-6", "--run_name", "null", "--save_strategy", "no")
    assert (recipe.settings.seed, recipe.settings.learning_rate) == (7, 1e-6)
    assert (recipe.settings.run_name, recipe.settings.save_strategy) == (None, "no")


def test_a_text_that_is_quoted_in_a_recipe_stays_one(parse):
    recipe = parse('run_name: "2024"\nmodel_init_kwargs: {revision: "1", subfolder: "007"}')
    assert recipe.settings.run_name == "2024"
    assert recipe.settings.model_init_kwargs == {"revision": "1", "subfolder": "007"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("run_name: 2024", r"`run_name`: must be a text, so write it in quotes; got 2024 \(int\)"),
        ("model_revision: 1.10", r"`model_revision`: must be a text, so write it in quotes; got 1.1 \(float\)"),
        ("run_name: true", r"`run_name`: must be a text, so write it in quotes; got True \(bool\)"),
        ("model_init_kwargs: {revision: 1}", "`model_init_kwargs.revision` must be a text; got the number 1. Write"),
        ('model_init_kwargs: {max_length: "1"}', "`model_init_kwargs.max_length` is the text '1'. Write the number"),
    ],
)
def test_a_number_in_place_of_a_text_is_refused_with_the_quotes_to_write(parse, line, message):
    with pytest.raises(RecipeError, match=message):
        parse(line)
