import json
import shutil

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tiny import tiny_model, tiny_reward_model, tiny_tokenizer

from align.data.questions.multiple_choice import Question
from align.data.questions.templates import PromptTemplate
from align.errors import UserError
from align.models.checkpoint import find_checkpoint, load_model
from align.models.policies.asking import Decoding
from align.models.policies.model_policy import ModelPolicy

WITHOUT_CUDA = pytest.mark.skipif(torch.cuda.is_available(), reason="a model can be moved there")
TEMPLATE = PromptTemplate("{question}\n{options}\n", conversational=False)
QUESTIONS = [Question(f"q{i}", "?" * (1 + i), ("gold", "iron"), 0, None, (), i) for i in range(6)]


@pytest.fixture
def adapter(tiny_model_folder, tmp_path):
    """An adapter that changes the answers of its base."""
    model = get_peft_model(
        tiny_model(vocabulary=len(tiny_tokenizer())), LoraConfig(task_type="CAUSAL_LM", init_lora_weights=False)
    )
    model.peft_config["default"].base_model_name_or_path = str(tiny_model_folder)
    model.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


def answers(path, **decoding):
    model, tokenizer = load_model(find_checkpoint(str(path)), dtype="float32", device="cpu")
    policy = ModelPolicy(model, tokenizer, TEMPLATE, batch_size=4)
    return [[each.text for each in row] for row in policy.generate(QUESTIONS, Decoding(max_new_tokens=8, **decoding))]


def test_an_adapter_is_loaded_on_its_base(adapter, tiny_model_folder):
    found = find_checkpoint(str(adapter))
    assert (found.kind, found.base) == ("adapter", str(tiny_model_folder))
    assert answers(adapter) != answers(tiny_model_folder)


def test_the_fingerprint_follows_the_content_and_not_the_place(tiny_model_folder, adapter, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(tiny_model_folder, copy)
    known = find_checkpoint(str(tiny_model_folder)).fingerprint
    assert find_checkpoint(str(copy)).fingerprint == known
    (copy / "README.md").write_text("A card decides nothing.")
    assert find_checkpoint(str(copy)).fingerprint == known
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(bytes(weights))
    assert find_checkpoint(str(copy)).fingerprint != known
    of_adapter = find_checkpoint(str(adapter)).fingerprint
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": str(copy)}))
    assert find_checkpoint(str(adapter)).fingerprint != of_adapter


def test_an_adapter_on_the_hub_is_named_by_its_commit(tmp_path, monkeypatch):
    """The cache of the hub as it is after two downloads of `main`, between which the adapter was pushed again."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    cache, found = tmp_path / "models--me--adapter", []
    (cache / "refs").mkdir(parents=True)
    config = {"peft_type": "LORA", "base_model_name_or_path": "me/base", "task_type": "CAUSAL_LM"}
    for commit in ("a" * 40, "b" * 40):
        folder = cache / "snapshots" / commit
        folder.mkdir(parents=True)
        for name, content in (("adapter_config.json", json.dumps(config)), ("adapter_model.safetensors", "")):
            (folder / name).write_text(content)
        (cache / "refs" / "main").write_text(commit)
        found.append(find_checkpoint("me/adapter"))
    assert [each.base for each in found] == ["me/base"] * 2
    assert found[0].fingerprint != found[1].fingerprint


def test_samples_depend_on_the_seed_and_differ_from_each_other(tiny_model_folder):
    sampled = answers(tiny_model_folder, temperature=1.0, num_samples=3, seed=1)
    assert [len(row) for row in sampled] == [3] * 6
    assert any(len(set(row)) > 1 for row in sampled)
    assert sampled == answers(tiny_model_folder, temperature=1.0, num_samples=3, seed=1)
    assert sampled != answers(tiny_model_folder, temperature=1.0, num_samples=3, seed=2)


def test_what_is_no_policy_is_refused_with_a_way_out(tmp_path, tiny_model_folder):
    tiny_reward_model().save_pretrained(tmp_path / "scalar")
    (tmp_path / "pairwise").mkdir()
    (tmp_path / "pairwise" / "config.json").write_text('{"truealign_pairwise": true}')
    (tmp_path / "run" / "checkpoint-5").mkdir(parents=True)
    for saved in ("config.json", "generation_config.json", "tokenizer_config.json"):
        (tmp_path / "run" / "checkpoint-5" / saved).write_text("{}")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{")
    for name, message in {
        "scalar": r"is a reward model \(`config.json` names LlamaForSequenceClassification\).*`--reward_model",
        "pairwise": r"is a reward model \(`config.json` has `truealign_pairwise: true`\)",
        "run": r"holds no model.*It holds checkpoint-5: name one of them",
        "broken": r"config.json is not valid JSON",
        "nowhere/at/all": r"There is no folder .*nowhere",
    }.items():
        with pytest.raises(UserError, match=message):
            find_checkpoint(str(tmp_path / name))


@pytest.mark.parametrize(
    ("dtype", "device", "message"),
    [
        ("float99", "cpu", "`dtype` must be auto, or a type of torch such as float32 or bfloat16; got 'float99'"),
        ("float32", "nowhere", "cannot be loaded: .*nowhere"),
        pytest.param("float32", "cuda", "cannot be loaded: Torch not compiled with CUDA", marks=WITHOUT_CUDA),
    ],
)
def test_a_type_and_a_place_that_are_none_are_one_sentence(tiny_model_folder, dtype, device, message):
    with pytest.raises(UserError, match=message):
        load_model(find_checkpoint(str(tiny_model_folder)), dtype=dtype, device=device)


def test_a_folder_without_weights_is_one_sentence(tiny_model_folder, tmp_path):
    shutil.copytree(tiny_model_folder, tmp_path / "empty")
    (tmp_path / "empty" / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"The model .*empty cannot be loaded"):
        load_model(find_checkpoint(str(tmp_path / "empty")), dtype="float32", device="cpu")
