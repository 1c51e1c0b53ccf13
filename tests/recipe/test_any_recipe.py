"""Whatever a recipe says, it is parsed and checked, or refused in one sentence."""

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from some_recipes import OUTCOMES, QUESTIONS

from align.checks.launch import Launch
from align.errors import UserError
from align.methods import METHODS
from align.recipe.fields import config_fields
from align.recipe.keys import REWARD_KEYS
from align.recipe.model import ModelSettings
from align.recipe.recipe import load_recipe
from align.services.prepared import prepare

ODD = [10**18, 10**30, 1e308, float("nan"), float("inf"), "", " ", "./x", "../../x", "a/b", "none", "all", "auto", "{"]
ODD += ['{"a": 1}', "1e-6", "1" * 5_000, "1e400", "2026-02-30", "\u200b", "x" * 3_000, "trained", "format", "cosine"]
WORDS = st.sampled_from(["a", "path", "eval_path", "min_lr", "top_p", "num_cycles", "format", "dtype", "x y", ""])
ATOMS = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 10**6), st.floats(), st.sampled_from(ODD), st.text(max_size=8)
)
VALUES = st.recursive(
    ATOMS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3), max_leaves=6
)
METHOD = {
    OUTCOMES: {"dataset": {"text": "t", "outcome": "y", "confounders": ["c"]}},
    QUESTIONS: {"dataset": {"conversational": False, "prompt_template": "{question}\n{options}\n"}},
}


@st.composite
def changed_recipes(draw):
    """Draws a method, and one or two of its keys with any value."""
    method = draw(st.sampled_from(sorted(METHODS)))
    rewards = {"reward_funcs": ["format"]} if METHODS[method].has_rewards else {}
    content = {"method": method, "model_name_or_path": "./model", **rewards}
    keys = sorted({*config_fields(method), *ModelSettings.model_fields, *REWARD_KEYS, "method"})
    changes = draw(st.dictionaries(st.sampled_from(keys), VALUES, min_size=1, max_size=2))
    block = {"path": "./rows.jsonl"} | METHOD.get(method, {}).get("dataset", {})
    block |= draw(
        st.dictionaries(st.sampled_from(sorted(METHODS[method].part("dataset").model_fields)), VALUES, max_size=1)
    )
    return content | {"dataset": block} | changes


@pytest.fixture
def recipe_path(tmp_path, tiny_model_folder):
    (tmp_path / "model").symlink_to(tiny_model_folder)
    row = {"prompt": "q?", "question": "q?", "options": ["1", "2"], "answer": "A", "chosen": "1", "rejected": "2"}
    row |= {"t": "x", "y": 1.0, "c": 2.0}
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row | {"id": f"{i}"}) + "\n" for i in range(16)))
    return tmp_path / "recipe.yaml"


def check(path, content):
    """Parses and checks; a refusal must be one line that can be written."""
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8", errors="replace")
    refused = ""
    try:
        prepare(load_recipe(path), Launch())
    except UserError as error:
        refused = str(error)
    assert "\n" not in refused
    assert len(refused.encode()) < 2_000


@given(content=changed_recipes())
def test_any_value_of_any_key_is_checked_or_refused(recipe_path, content):
    check(recipe_path, content)


@given(text=st.text(alphabet=st.sampled_from(list("abm:-[]{}&*!<#|>'\"%@`\n\t ,?1.~=\\")), max_size=60))
def test_any_text_is_read_or_refused(recipe_path, text):
    recipe_path.write_text(f"method: {QUESTIONS}\n{text}", encoding="utf-8")
    with pytest.raises(UserError) as error:
        load_recipe(recipe_path)
    assert "\n" not in str(error.value)


@given(words=st.lists(st.text(max_size=6) | st.sampled_from(["--", "--seed", "--a.b", "[", "nan"]), max_size=4))
def test_any_words_after_the_recipe_are_read_or_refused(recipe_path, words):
    recipe_path.write_text(f"method: {QUESTIONS}\n", encoding="utf-8")
    with pytest.raises(UserError):
        load_recipe(recipe_path, words)
