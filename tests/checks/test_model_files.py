import json
import re
import shutil

import pytest
from some_recipes import OUTCOMES, with_model
from tiny import tiny_model

from align.checks.launch import Launch
from align.checks.model import check_model
from align.models.model_files import ModelFiles, file_problems
from align.recipe.recipe import load_recipe
from align.services.prepared import prepare


@pytest.fixture
def folder(tiny_model_folder, tmp_path):
    """A model that a test may damage."""
    return shutil.copytree(tiny_model_folder, tmp_path / "model")


def say(path, **changes):
    """Changes what a model says of itself."""
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def test_a_whole_model_passes_in_one_file_or_several(folder):
    assert file_problems(folder, writes_text=True) == []
    (folder / "model.safetensors").unlink()
    tiny_model().save_pretrained(folder, max_shard_size="20KB")
    assert file_problems(folder, writes_text=True) == []


def test_a_shard_that_is_missing_is_named(folder):
    (folder / "model.safetensors").unlink()
    tiny_model().save_pretrained(folder, max_shard_size="20KB")
    shards = sorted(folder.glob("model-*.safetensors"))
    shards[-1].unlink()
    (problem,) = file_problems(folder)
    assert f"1 of {len(shards)} files of weights" in problem
    assert shards[-1].name in problem


@pytest.mark.parametrize("size", [0, 5, 400, 5_000])
def test_weights_that_were_cut_off_are_damaged_and_stop_no_check(folder, size):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    (problem,) = file_problems(folder)
    assert problem.startswith(f"{path} is damaged")
    _ = ModelFiles(str(folder)).size


def test_a_folder_without_weights_or_tokenizer_lacks_both(folder):
    for path in [*folder.glob("*.safetensors"), *folder.glob("tokenizer*")]:
        path.unlink()
    weights, tokenizer = file_problems(folder)
    assert "holds no weights: neither model.safetensors nor model.safetensors.index.json" in weights
    assert "holds no tokenizer" in tokenizer


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_type": None}, "must say the type of the model as `model_type`, such as llama; got None"),
        ({"model_type": "lama"}, "knows no `model_type` 'lama'. Did you mean 'llama'?"),
        ({"model_type": "own", "auto_map": {"AutoConfig": "own.Own"}}, "`trust_remote_code: true` runs it"),
        ({"architectures": ["LlamaForSequenceClassification"]}, "LlamaForSequenceClassification, which has no head"),
        ({"architectures": ["LlamaModel"]}, "is a LlamaModel, which has no head"),
    ],
)
def test_what_a_model_says_of_itself_fits_what_is_trained(folder, changes, words):
    say(folder / "config.json", **changes)
    (problem,) = file_problems(folder, writes_text=True)
    assert words in problem


def test_an_adapter_is_no_model_to_start_from(tmp_path):
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "owner/base"}')
    (problem,) = file_problems(tmp_path)
    assert "holds an adapter, and training starts from a whole model. Merge it into its base" in problem


def test_code_of_its_own_is_taken_where_it_may_run(folder):
    own = {"auto_map": {"AutoConfig": "own.Own"}, "architectures": ["OwnModel"]}
    say(folder / "config.json", model_type="own", **own)
    assert file_problems(folder, runs_code=True, writes_text=True) == []


def test_a_config_that_was_cut_off_is_said_to_be_no_json(folder):
    (folder / "config.json").write_text('{"model_type": ')
    (problem,) = file_problems(folder)
    assert f"{folder / 'config.json'} is not valid JSON" in problem


def test_a_reward_model_of_outcomes_may_start_from_one(folder, tmp_path):
    say(folder / "config.json", architectures=["LlamaForSequenceClassification"])
    data = {"path": "./rows.jsonl", "text": "t", "outcome": "y", "confounders": ["c"]}
    content = {"method": OUTCOMES, "model_name_or_path": str(folder), "dataset": data}
    (tmp_path / "recipe.yaml").write_text(json.dumps(content))
    assert check_model(*with_model(load_recipe(tmp_path / "recipe.yaml"))) == []


def test_a_policy_does_not_start_from_a_reward_model(tmp_path, tiny_recipe):
    path = tiny_recipe()
    say(tmp_path / "model" / "config.json", architectures=["LlamaForSequenceClassification"])
    (finding,) = check_model(*with_model(load_recipe(path)))
    assert (finding.level, finding.check) == ("error", "model")
    assert "has no head that writes text" in finding.text
    assert file_problems(tmp_path / "model") == []


def test_a_tokenizer_that_was_cut_off_is_a_sentence(tmp_path, tiny_recipe):
    path = tiny_recipe(reward_funcs=["format"], reward_weights=[1.0])
    broken = tmp_path / "model" / "tokenizer.json"
    broken.write_text(broken.read_text()[:500])
    finding = prepare(load_recipe(path), Launch()).errors[0]
    assert re.search(r"tokenizer\.json is not valid JSON: .*Copy the model again", finding.text)


@pytest.mark.parametrize(("name", "hint"), [("model.safetensors", ""), ("owner/m.gguf", "{gguf_file: m.gguf}")])
def test_a_file_in_place_of_a_model_is_an_error_of_the_check(tiny_recipe, tmp_path, monkeypatch, name, hint):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"")
    (finding,) = check_model(*with_model(load_recipe(tiny_recipe(model_name_or_path=name))))
    assert finding.level == "error"
    assert finding.text.startswith(f"`model_name_or_path`: {name} is a file. Name a model's folder")
    assert finding.text.endswith(f"`model_init_kwargs: {hint}`." if hint else "or a hub id.")
