"""Pickled weights are read by no command; a real checkpoint of each kind is offered to each of them."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from some_recipes import outcome_readers
from transformers import AutoModelForCausalLM

from align.checks.launch import read_launch
from align.checks.rewards import check_reward_model
from align.errors import UserError
from align.models.checkpoint import find_checkpoint, load_model
from align.models.model_files import pickled_weights
from align.models.pretrained import load_pretrained, refuse_pickled_weights
from align.models.reward_model import RewardModel
from align.models.samplers.local_model import LocalSampler
from align.models.samplers.sampler import Request, SamplerError
from align.recipe.recipe import load_recipe
from align.services.prepared import prepare

HARMLESS = "training_args.bin", "optimizer.pt", "rng_state_0.pth"


def pickle_weights(folder, safetensors="model.safetensors", pickled="pytorch_model.bin"):
    torch.save(load_file(folder / safetensors), folder / pickled)
    (folder / safetensors).unlink()
    return str(folder)


@pytest.fixture
def pickled(tiny_model_folder, tmp_path):
    folder = shutil.copytree(tiny_model_folder, tmp_path / "pickled")
    path = pickle_weights(folder)
    AutoModelForCausalLM.from_pretrained(path)  # transformers reads it
    return path


@pytest.fixture
def pickled_adapter(tiny_model_folder, tmp_path):
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_model_folder), LoraConfig(task_type="CAUSAL_LM"))
    model.save_pretrained(tmp_path / "adapter")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tiny_model_folder / name, tmp_path / "adapter")
    return pickle_weights(tmp_path / "adapter", "adapter_model.safetensors", "adapter_model.bin")


def sample(path):
    request = Request([{"role": "user", "content": "a"}], max_new_tokens=1, temperature=0.0, top_p=1.0, seed=0)
    LocalSampler(path).sample([request], lambda place, result: None)


READERS = {
    "eval": lambda path: load_model(find_checkpoint(path), dtype="float32", device="cpu"),
    "eval --reward_model": RewardModel.load,
    "augment": sample,
    **{f"outcomes: {name}": reader for name, reader in outcome_readers().items()},
    "anything": lambda path: load_pretrained(AutoModelForCausalLM, path, use_safetensors=False),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", ["pickled", "pickled_adapter"])
def test_pickled_weights_are_refused_with_the_way_to_convert_them(reader, kind, request, tiny_model_folder):
    path = request.getfixturevalue(kind)
    if reader == "eval --reward_model":
        config = json.loads((tiny_model_folder / "config.json").read_text()) | {"truealign_pairwise": True}
        (Path(path) / "config.json").write_text(json.dumps(config))
    with pytest.raises((UserError, SamplerError), match=r"pickled weights only \(.*\.bin\).*save_pretrained"):
        READERS[reader](path)


def test_an_adapter_on_a_pickled_base_is_refused(pickled, tmp_path):
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_model.safetensors").touch()
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": pickled}))
    with pytest.raises(UserError, match=r"pickled holds pickled weights only"):
        refuse_pickled_weights(str(tmp_path / "adapter"))


def test_a_recipe_with_pickled_weights_is_refused_before_anything_is_loaded(tiny_recipe, pickled):
    def errors(*overrides):
        checked = prepare(
            load_recipe(tiny_recipe(reward_funcs=["format"], reward_weights=[1.0]), overrides), read_launch(None)
        )
        return " ".join(finding.text for finding in checked.errors)

    said = errors("--model_name_or_path", pickled)
    assert "`model_name_or_path`" in said
    assert "holds pickled weights only (pytorch_model.bin)" in said
    assert "use_safetensors` is always true" in errors("--model_init_kwargs.use_safetensors", "false")
    (finding,) = check_reward_model("r", pickled)
    assert (finding.level, "pickled weights only" in finding.text) == ("error", True)


def test_files_that_are_no_weights_are_no_weights(tiny_model_folder, tmp_path):
    folder = shutil.copytree(tiny_model_folder, tmp_path / "model")
    for name in HARMLESS:
        (folder / name).touch()
    assert pickled_weights(str(folder)) == ""
    (folder / "model.safetensors").unlink()
    assert pickled_weights(str(folder)) == ""  # who loads it says that there are none
    (folder / "pytorch_model-00001-of-00002.bin").touch()
    assert "pytorch_model-00001-of-00002.bin" in pickled_weights(str(folder))


def test_adapters_of_transformers_and_peft_are_loaded_as_before(tiny_model_folder, tmp_path):
    from peft import LoraConfig, get_peft_model

    base = AutoModelForCausalLM.from_pretrained(tiny_model_folder)
    torch.manual_seed(0)
    model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", init_lora_weights=False)).eval()
    model.save_pretrained(tmp_path)
    ids = torch.tensor([[5, 6, 7]])
    loaded = load_pretrained(AutoModelForCausalLM, str(tmp_path)).eval()
    torch.testing.assert_close(loaded(ids).logits, model(ids).logits)
