"""Merged weights against their equation, on real models and adapters."""

import json
import shutil

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from tiny import tiny_model, tiny_tokenizer

from align.errors import UserError
from align.models.checkpoint import find_checkpoint, load_model
from align.models.merging.merge import merge, read_alphas
from align.models.merging.parents import find_parents


def saved(folder, seed=0, family="llama", dtype=torch.float32, **overrides):
    tokenizer = tiny_tokenizer()
    model = tiny_model(family, seed=seed, vocabulary=len(tokenizer), **overrides).to(dtype)
    model.save_pretrained(folder, max_shard_size="20KB" if family == "qwen2" else "5GB")
    tokenizer.save_pretrained(folder)
    return folder


def weights(folder):
    return {name: each for path in folder.glob("*.safetensors") for name, each in load_file(path).items()}


@pytest.mark.parametrize(
    ("family", "dtype", "tied"),
    [("llama", torch.float32, True), ("qwen2", torch.bfloat16, False)],
    ids=["tied-fp32", "sharded-bf16"],
)
def test_weights_are_the_weighted_sum_in_fp32_and_both_ends_are_the_parents(tmp_path, family, dtype, tied):
    folders = [saved(tmp_path / name, i, family, dtype, tie_word_embeddings=tied) for i, name in enumerate("ab")]
    parents = find_parents(*map(str, folders))
    first, second = map(weights, folders)
    for alpha in (0.0, 0.3, 1.0):
        out = tmp_path / f"{alpha}"
        assert not merge(parents, alpha, out)
        assert {path.name for path in out.glob("model*")} == {path.name for path in folders[1].glob("model*")}
        found = weights(out)
        assert set(found) == set(first)
        for name, each in found.items():
            expected = (1 - alpha) * first[name].float() + alpha * second[name].float()
            assert each.dtype == dtype
            rounding = 1e-6 if dtype == torch.float32 else 2**-8  # of the sum, which is then rounded once
            torch.testing.assert_close(each.float(), expected, rtol=rounding, atol=1e-7)
    assert all(torch.equal(each, first[name]) for name, each in weights(tmp_path / "0.0").items())
    assert all(torch.equal(each, second[name]) for name, each in weights(tmp_path / "1.0").items())
    model, tokenizer = load_model(find_checkpoint(str(tmp_path / "0.3")), dtype="auto", device="cpu")
    assert model.dtype == dtype
    assert tokenizer.chat_template == tiny_tokenizer().chat_template


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_a_consolidated_copy_beside_the_weights_is_not_read(tmp_path, family):
    base, tuned = (saved(tmp_path / name, i, family) for i, name in enumerate("ab"))
    alone = tmp_path / "alone"
    merge(find_parents(str(base), str(tuned)), 0.3, alone)
    save_file({"layers.0.attention.wq.weight": torch.zeros(2, 2)}, base / "consolidated.safetensors")
    beside = tmp_path / "beside"
    merge(find_parents(str(base), str(tuned)), 0.3, beside)
    first, second = weights(alone), weights(beside)
    assert set(first) == set(second)
    assert all(torch.equal(each, second[name]) for name, each in first.items())


def lora(tmp_path, **settings):
    base = saved(tmp_path / "base")
    model, _ = load_model(find_checkpoint(str(base)), dtype="float32", device="cpu")
    config = LoraConfig(r=4, target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM", **settings)
    adapted = get_peft_model(model, config)
    for name, each in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(each, std=0.2)
    adapted.save_pretrained(tmp_path / "adapter")
    adapter = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    adapter["base_model_name_or_path"] = str(base)
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(adapter))
    return base, tmp_path / "adapter"


@pytest.mark.parametrize("rank_stabilised", [False, True])
def test_a_scaled_adapter_equals_the_dense_merge(tmp_path, rank_stabilised):
    base, adapter = lora(tmp_path, use_rslora=rank_stabilised)
    merge(find_parents(str(base), str(adapter)), 0.4, tmp_path / "merged")
    dense, _ = load_model(find_checkpoint(str(adapter)), dtype="float32", device="cpu")
    scaled, _ = load_model(find_checkpoint(str(tmp_path / "merged")), dtype="float32", device="cpu")
    dense, scaled = dense.merge_and_unload().state_dict(), scaled.merge_and_unload().state_dict()
    first, moved = weights(base), 0
    for name, each in first.items():
        expected = 0.6 * each + 0.4 * dense[name]
        assert (scaled[name] - expected).abs().max() < 1e-6
        moved += not torch.equal(dense[name], each)
    assert moved == 4


def test_adapters_that_alpha_does_not_scale_are_refused(tmp_path):
    base, adapter = lora(tmp_path, use_dora=True)
    with pytest.raises(UserError, match="LoRA with `use_dora`"):
        find_parents(str(base), str(adapter))


def test_a_merge_is_written_once_whole_and_never_over_something_else(tmp_path):
    parents = find_parents(*(str(saved(tmp_path / name, i)) for i, name in enumerate("ab")))
    (tmp_path / ".out.draft").mkdir()
    (tmp_path / ".out.draft" / "half.safetensors").write_text("of a merge that was killed")
    merge(parents, 0.5, tmp_path / "out")
    assert not (tmp_path / "out" / "half.safetensors").exists()
    assert merge(parents, 0.5, tmp_path / "out")
    with pytest.raises(UserError, match="holds something else"):
        merge(parents, 0.6, tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"num_hidden_layers": 3}, "`num_hidden_layers` is 2 in"),
        ({"vocabulary": 140}, "`vocab_size`"),
        ({"tie_word_embeddings": False}, "`tie_word_embeddings` is True in"),
        ({"rope_theta": 5.0}, "rope"),
        ({}, "are quantized"),
    ],
)
def test_models_that_do_not_fit_are_refused_with_what_differs(tmp_path, change, said):
    base = saved(tmp_path / "a")
    other = tiny_tokenizer()
    settings = {"vocabulary": len(other)} | change
    tiny_model(seed=1, **settings).save_pretrained(tmp_path / "b")
    other.save_pretrained(tmp_path / "b")
    if not change:
        for name in "ab":
            config = json.loads((tmp_path / name / "config.json").read_text())
            (tmp_path / name / "config.json").write_text(json.dumps(config | {"quantization_config": {"bits": 8}}))
    with pytest.raises(UserError, match=said):
        find_parents(str(base), str(tmp_path / "b"))


def test_other_tokens_pickled_weights_the_same_model_and_a_base_that_is_none_are_refused(tmp_path):
    base, adapter = lora(tmp_path)
    with pytest.raises(UserError, match="are the same model"):
        find_parents(str(base), str(base))
    with pytest.raises(UserError, match=r"`--base` .* is an adapter"):
        find_parents(str(adapter), str(base))
    stranger = saved(tmp_path / "stranger", 3)
    with pytest.raises(UserError, match="Give the adapter's own base"):
        find_parents(str(stranger), str(adapter))
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens(["<more>"])
    tokenizer.save_pretrained(stranger)
    with pytest.raises(UserError, match="have other tokens"):
        find_parents(str(base), str(stranger))
    shutil.copytree(base, tmp_path / "pickled")
    (tmp_path / "pickled" / "model.safetensors").unlink()
    torch.save(weights(base), tmp_path / "pickled" / "pytorch_model.bin")
    with pytest.raises(UserError, match="pickled weights only"):
        find_parents(str(base), str(tmp_path / "pickled"))


@pytest.mark.parametrize("word", ["2", "-0.1", "0:1:0", "0:1", "1:0:0.1", "nan", "a", "0:1:1e-9"])
def test_weights_that_make_no_sense_are_refused(word):
    with pytest.raises(UserError, match="`--alpha` must"):
        read_alphas((word,))


def test_ranges_have_both_ends_and_no_rounding():
    assert read_alphas(("0:1:0.1",))[3] == 0.3
    assert len(read_alphas(("0:1:0.1",))) == 11


def test_a_merge_of_models_of_two_types_has_the_tuned_models_and_keeps_whole_numbers(tmp_path):
    base, tuned = saved(tmp_path / "a", 0), saved(tmp_path / "b", 1, dtype=torch.bfloat16)
    for folder in (base, tuned):
        save_file(weights(folder) | {"positions": torch.arange(7)}, folder / "model.safetensors", {"format": "pt"})
    merge(find_parents(str(base), str(tuned)), 0.3, tmp_path / "out")
    kinds = {name: each.dtype for name, each in weights(tuned).items()}
    found = weights(tmp_path / "out")
    assert {name: each.dtype for name, each in found.items()} == kinds
    assert found["positions"].tolist() == list(range(7))
