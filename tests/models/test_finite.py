"""Weights that are no numbers are refused wherever a model is loaded, and in whatever way it is held."""

import math
import shutil

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from some_recipes import outcome_readers
from tiny import tiny_model, tiny_reward_model, tiny_tokenizer
from transformers import AutoModelForCausalLM

from align.errors import UserError
from align.methods import METHODS
from align.models.checkpoint import find_checkpoint, load_model
from align.models.finite import spoiled, stored_weights
from align.models.merging.parents import find_parents
from align.models.reward_model import RewardModel
from align.models.rewards import resolve_rewards
from align.models.samplers.local_model import LocalSampler
from align.models.samplers.sampler import Request, SamplerError
from align.training.build import build_trainer

WORDS = r"{} cannot be used: 1 of its \d+ weights hold NaN or infinity, such as (?:model\.)?{}\. Take a checkpoint"
UP = r"layers\.1\.mlp\.up_proj\.weight"


def spoil(folder, name, value=math.nan, file="model.safetensors"):
    weights = load_file(folder / file)
    weights[name].view(-1)[-1] = value
    save_file(weights, folder / file, metadata={"format": "pt"})
    return str(folder)


@pytest.fixture(scope="module")
def nan_model(tiny_model_folder, tmp_path_factory):
    folder = shutil.copytree(tiny_model_folder, tmp_path_factory.mktemp("nan") / "model")
    return spoil(folder, "model.layers.1.mlp.up_proj.weight")


def sample(path):
    request = Request([{"role": "user", "content": "a"}], max_new_tokens=1, temperature=0.0, top_p=1.0, seed=0)
    LocalSampler(path).sample([request], lambda place, result: None)


READERS = {
    "eval": lambda path: load_model(find_checkpoint(path), dtype="float32", device="cpu"),
    "filter and augment": sample,
    **{f"outcomes: {name}": reader for name, reader in outcome_readers().items()},
}


@pytest.mark.parametrize("reader", READERS)
def test_a_reader_refuses_them(reader, nan_model):
    with pytest.raises((UserError, SamplerError), match=WORDS.format(nan_model, UP)):
        READERS[reader](nan_model)


@pytest.mark.parametrize("method", METHODS)
def test_a_trainer_of_each_method_refuses_them(method, recipe_of, nan_model):
    recipe = recipe_of(method, model_name_or_path=nan_model)
    with pytest.raises(UserError, match=WORDS.format(nan_model, UP)):
        build_trainer(recipe, recipe.record.part("load")(recipe), resolve_rewards(recipe))


@pytest.fixture
def reward_folder(tmp_path):
    tokenizer = tiny_tokenizer()
    tiny_reward_model(vocabulary=len(tokenizer)).save_pretrained(tmp_path / "judge")
    tokenizer.save_pretrained(tmp_path / "judge")
    return tmp_path / "judge"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_reward_model_refuses_them_in_its_head(reward_folder, value):
    RewardModel.load(reward_folder)
    path = spoil(reward_folder, "score.weight", value)
    with pytest.raises(UserError, match=WORDS.format(path, r"score\.weight")):
        RewardModel.load(path)


def test_a_trainer_refuses_a_reward_model_with_them(reward_folder, recipe_of):
    path = spoil(reward_folder, "score.weight")
    method = next(name for name, record in METHODS.items() if record.has_rewards)
    recipe = recipe_of(method, reward_funcs=[path])
    with pytest.raises(UserError, match=WORDS.format(path, r"score\.weight")):
        build_trainer(recipe, recipe.record.part("load")(recipe), resolve_rewards(recipe))


def test_an_adapter_is_refused_by_its_own_weights(tiny_model_folder, tmp_path):
    model = AutoModelForCausalLM.from_pretrained(tiny_model_folder)
    get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", init_lora_weights=False)).save_pretrained(tmp_path / "a")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tiny_model_folder / name, tmp_path / "a")
    load_model(find_checkpoint(str(tmp_path / "a")), dtype="float32", device="cpu")
    find_parents(str(tiny_model_folder), str(tmp_path / "a"))
    name = next(iter(load_file(tmp_path / "a" / "adapter_model.safetensors")))
    path = spoil(tmp_path / "a", name, file="adapter_model.safetensors")
    with pytest.raises(UserError, match=rf"^The adapter {path} cannot be used: 1 of its 8 weights .*lora_A"):
        load_model(find_checkpoint(path), dtype="float32", device="cpu")
    with pytest.raises(UserError, match=rf"^The adapter {path} cannot be used: 1 of its 8 weights .*lora_A"):
        find_parents(str(tiny_model_folder), path)


def test_models_are_not_merged_with_them(tiny_model_folder, nan_model):
    for pair in ((str(tiny_model_folder), nan_model), (nan_model, str(tiny_model_folder))):
        with pytest.raises(UserError, match=WORDS.format(nan_model, UP)):
            find_parents(*pair)


def test_files_are_read_in_all_their_parts(tmp_path):
    model = tiny_model()
    model.lm_head.weight.data[0, 0] = math.inf
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    names = {name for name, _ in stored_weights(str(tmp_path))}
    assert names == set(load_model_names(model))
    assert f"cannot be used: 1 of its {len(names)} weights" in spoiled("m", stored_weights(str(tmp_path)))


def load_model_names(model):
    return (name for name, _ in model.named_parameters())  # a tied head is saved once


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_every_type_and_shape_is_looked_through(dtype, value):
    whole = torch.full((7, 1030), torch.finfo(dtype).max, dtype=dtype)  # whose sum would be infinite
    assert spoiled("m", [("a", whole), ("b", whole.T), ("c", whole[:, ::3]), ("d", whole[0, 0])]) == ""
    whole[6, 1029] = value
    assert spoiled("m", [("a", whole), ("b", whole.T), ("c", whole[:, ::3]), ("d", whole[0, 0])]).startswith(
        "The model m cannot be used: 3 of its 4"
    )


FLOAT8 = [each for name, each in vars(torch).items() if name.startswith("float8_")]


@pytest.mark.parametrize("dtype", FLOAT8, ids=str)
def test_float8_is_looked_through_too(dtype):
    values = torch.tensor([0.5, torch.finfo(dtype).max, 1.0]).to(dtype)
    assert spoiled("m", [("a", values)]) == ""
    values[1] = math.nan
    assert "1 of its 1 weights hold NaN or infinity" in spoiled("m", [("a", values)])


def test_what_is_held_elsewhere_or_packed_is_left_out():
    packed = torch.ones(3).byte()
    four_bits = packed.view(torch.float4_e2m1fn_x2)
    held = {"empty": torch.zeros(0), "meta": torch.zeros(2, device="meta"), "packed": packed, "four bits": four_bits}
    assert spoiled("m", held.items()) == ""
