"""Folders of which no reader would come to the end are refused in a sentence, by every reader."""

import json
import os
import shutil
import sys

import pytest
from some_recipes import QUESTIONS

from align.checks.launch import Launch
from align.errors import UserError
from align.models.checkpoint import find_checkpoint, load_model, load_tokenizer
from align.models.merging.parents import find_parents
from align.models.model_files import ModelFiles
from align.models.prompt_tokenizer import is_endless
from align.services.prepared import prepare

LOOPS = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
PIPE = r"tokenizer_config\.json is a pipe or a device, which would be waited for without end"
LAYERS = r"`num_hidden_layers` is 1,000,000,000 in config\.json; it is 0 to 10,000\. Copy the model again\."


@pytest.fixture
def damaged(tiny_model_folder, tmp_path):
    folder = shutil.copytree(tiny_model_folder, tmp_path / "model")

    def damage(kind):
        if kind == "template":
            (folder / "chat_template.jinja").write_text(LOOPS)
        elif kind == "pipe":
            (folder / "tokenizer_config.json").unlink()
            os.mkfifo(folder / "tokenizer_config.json")
        else:
            config = json.loads((folder / "config.json").read_text())
            (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 10**9}))
        return str(folder)

    return damage


@pytest.mark.parametrize(
    ("kind", "said"), [("template", "does not end for one message"), ("pipe", PIPE), ("layers", LAYERS)]
)
def test_a_folder_without_end_is_refused(kind, said, damaged, tiny_model_folder, recipe_of):
    path = damaged(kind)
    with pytest.raises(UserError, match=said):
        load_model(find_checkpoint(path), dtype="float32", device="cpu")
    with pytest.raises(UserError, match=said):
        find_parents(str(tiny_model_folder), path)
    recipe = recipe_of(QUESTIONS, model_name_or_path=path)
    if kind == "layers":  # which the files of weights tell
        assert "asks for 1000000000" in prepare(recipe, Launch()).errors[0].text
    else:
        with pytest.raises(UserError, match=said):
            prepare(recipe, Launch())


def test_a_pipe_in_place_of_the_configuration_is_no_model(damaged, tmp_path):
    path = tmp_path / "model" / "config.json"
    damaged("pipe")
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(UserError, match=r"there is neither `config\.json` nor"):
        find_checkpoint(str(tmp_path / "model"))
    with pytest.raises(UserError, match="a pipe or a device"):
        _ = ModelFiles(str(tmp_path / "model")).config


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        (LOOPS, False),
        ("{% macro m(n) %}{% for i in range(9999) %}{{ m(n + 1) }}{% endfor %}{% endmacro %}{{ m(0) }}", True),
        ("{% for m in messages %}{% for i in range(900) %}{{ m.content }}{% endfor %}{% endfor %}", True),
        ("{{ raise_exception('no') }}", True),
        ("{% if", True),
        ("", True),
    ],
    ids=["loops", "recursion", "long", "refuses", "broken", "empty"],
)
def test_a_template_is_tried_by_its_steps(text, ends):
    before = sys.gettrace()
    assert is_endless(text) is not ends
    assert sys.gettrace() is before


def test_a_template_that_a_recipe_names_is_tried_too(tiny_model_folder, tmp_path):
    (tmp_path / "own.jinja").write_text(LOOPS)
    with pytest.raises(UserError, match="does not end"):
        ModelFiles(str(tiny_model_folder), str(tmp_path / "own.jinja")).refuse_endless()
    ModelFiles(str(tiny_model_folder)).refuse_endless()
    assert load_tokenizer(find_checkpoint(str(tiny_model_folder))).chat_template
