import pytest
from pair_recipe import write_pair_recipe, write_reward_recipe
from safetensors.torch import save_model
from some_recipes import with_model
from tiny import tiny_model

from align.checks.launch import Launch
from align.checks.memory import check_memory, state_bytes
from align.models.model_files import ModelFiles
from align.recipe.recipe import load_recipe

MILLION = 1_000_000


@pytest.mark.parametrize("family", ["llama", "qwen2"])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("shard", ["50GB", "20KB"])
def test_parameters_are_counted_as_the_model_counts_them(tmp_path, family, tied, shard):
    model = tiny_model(family, tie_word_embeddings=tied)
    model.save_pretrained(tmp_path, max_shard_size=shard)
    assert ModelFiles(str(tmp_path)).size[::2] == (model.num_parameters(), "(counted)")
    assert (len(list(tmp_path.glob("*.safetensors"))) > 1) == (shard == "20KB")


@pytest.mark.parametrize("shard", ["50GB", "20KB"])
def test_weights_that_lie_there_a_second_time_are_counted_once(tmp_path, shard):
    model = tiny_model()
    model.save_pretrained(tmp_path, max_shard_size=shard)
    save_model(model, str(tmp_path / "consolidated.safetensors"))
    assert ModelFiles(str(tmp_path)).size[::2] == (model.num_parameters(), "(counted)")


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("Qwen/Qwen2.5-7B-Instruct", 7_000_000_000),
        ("Qwen/Qwen2.5-0.5B", 500_000_000),
        ("HuggingFaceTB/SmolLM2-135M", 135_000_000),
        ("owner/model", None),
        ("owner7B/model", None),
    ],
)
def test_the_size_is_read_from_a_name_that_has_one(name, size):
    found = ModelFiles(name).size
    assert (found[0] if found else None) == size


# Bytes per parameter and device, by hand: weights, gradients, optimizer.
BY_HAND = {
    "one process": (Launch(), {}, (4, 4, 8)),
    "data parallel": (Launch(8), {}, (4, 4, 8)),
    "stage 1": (Launch(4, 1), {}, (2, 2, 3)),
    "stage 2": (Launch(4, 2), {}, (2, 0.5, 3)),
    "stage 3": (Launch(4, 3), {}, (0.5, 0.5, 3)),
    "stage 2 offloaded": (Launch(4, 2, True), {}, (2, 0.5, 0)),
    "stage 3 offloaded": (Launch(4, 3, True, True), {}, (0, 0.5, 0)),
    "stage 2 in fp32": (Launch(2, 2), {"bf16": False}, (4, 2, 4)),
    "adapter": (Launch(), {"use_peft": True}, (4, 0.08, 0.16)),
    "adapter at stage 2": (Launch(2, 2), {"use_peft": True}, (2, 0.02, 0.12)),
}


@pytest.mark.parametrize("case", BY_HAND)
def test_states_take_the_bytes_counted_by_hand(tiny_recipe, case):
    launch, changes, expected = BY_HAND[case]
    recipe = load_recipe(tiny_recipe(**{"bf16": True} | changes))
    states = state_bytes(recipe, launch, MILLION)
    assert [states[name] / MILLION for name in ("weights", "gradients", "optimizer")] == pytest.approx(list(expected))
    assert set(states) == {"weights", "gradients", "optimizer"}


def test_a_reference_model_and_vllm_take_their_weights(tiny_recipe):
    recipe = load_recipe(tiny_recipe(bf16=True, beta=0.1, use_vllm=True, vllm_mode="colocate"))
    states = state_bytes(recipe, Launch(4, 3), MILLION)
    assert states["reference"] == 2 * MILLION / 4
    assert states["vLLM weights"] == 2 * MILLION
    assert state_bytes(recipe, Launch(4, 2), MILLION)["reference"] == 2 * MILLION
    server = load_recipe(tiny_recipe(beta=0.1, use_vllm=True, vllm_mode="server", use_peft=True))
    assert {"reference", "vLLM weights"} & set(state_bytes(server, Launch(), MILLION)) == set()


@pytest.mark.slow
@pytest.mark.parametrize("devices", [2, 8])
def test_the_estimate_is_deepspeeds_less_its_buffers(tiny_recipe, devices):
    """DeepSpeed adds a sharded fp32 copy of the gradients, 4 bytes at stage 2 and 2 at stage 3 in its formula."""
    pytest.importorskip("deepspeed", reason="needs the extra `deepspeed`")
    from deepspeed.runtime.zero.stage3 import estimate_zero3_model_states_mem_needs
    from deepspeed.runtime.zero.stage_1_and_2 import estimate_zero2_model_states_mem_needs

    recipe = load_recipe(tiny_recipe(bf16=True))
    _, two = estimate_zero2_model_states_mem_needs(MILLION, num_gpus_per_node=devices, cpu_offload=False)
    _, three, largest = estimate_zero3_model_states_mem_needs(
        MILLION, largest_layer_params=0, num_gpus_per_node=devices, cpu_offload=False, cpu_offload_params=False
    )
    ours = [sum(state_bytes(recipe, Launch(devices, stage), MILLION).values()) for stage in (2, 3)]
    assert two - ours[0] == pytest.approx(4 * MILLION / devices)
    assert three - ours[1] == pytest.approx(2 * MILLION / devices)
    assert largest == 0


def test_the_finding_says_what_it_counted(tiny_recipe, tmp_path):
    (finding,) = check_memory(*with_model(load_recipe(tiny_recipe())), Launch(2, 3))
    assert "(counted), ZeRO stage 3 over 2" in finding.text
    assert finding.numbers["total_bytes"] == pytest.approx(finding.numbers["parameters"] * 16 / 2)
    (unknown,) = check_memory(*with_model(load_recipe(tiny_recipe(model_name_or_path="owner/model"))), Launch())
    assert unknown.level == "warning"


def test_pairs_need_a_reference_model_unless_the_adapter_can_be_switched_off(tmp_path, tiny_model_folder):
    path = write_pair_recipe(tmp_path, tiny_model_folder)
    states = state_bytes(load_recipe(path), Launch(), MILLION)
    assert {name: size / MILLION for name, size in states.items()} == {
        "weights": 4, "gradients": 4, "optimizer": 8, "reference": 4,
    }  # fmt: skip
    assert "reference" not in state_bytes(load_recipe(path, ["--use_peft", "true"]), Launch(), MILLION)


def test_reference_log_probs_computed_beforehand_need_no_reference_in_training(tmp_path, tiny_model_folder):
    plain_dpo = {"spans": "whole", "kl_coef": 0.0, "precompute_ref_log_probs": True}
    recipe = load_recipe(write_pair_recipe(tmp_path, tiny_model_folder, **plain_dpo))
    assert "reference" not in state_bytes(recipe, Launch(), MILLION)


@pytest.mark.parametrize("changes", [{}, {"use_peft": True}, {"model_type": "pairwise"}])
def test_a_reward_model_keeps_no_reference(tmp_path, tiny_model_folder, changes):
    recipe = load_recipe(write_reward_recipe(tmp_path, tiny_model_folder, **changes))
    assert set(state_bytes(recipe, Launch(), MILLION)) == {"weights", "gradients", "optimizer"}
    (finding,) = check_memory(*with_model(recipe), Launch())
    assert "up to 512 tokens" in finding.text


def test_a_scalar_reward_model_does_without_the_head_of_the_language_model(tmp_path, tiny_model_folder):
    from transformers import AutoModelForSequenceClassification

    tiny_model(tie_word_embeddings=False).save_pretrained(tmp_path / "untied")
    scalar = AutoModelForSequenceClassification.from_pretrained(tmp_path / "untied", num_labels=1)
    for model_type, expected in (
        ("scalar", scalar.num_parameters() - scalar.score.weight.numel()),
        ("pairwise", tiny_model(tie_word_embeddings=False).num_parameters()),
    ):
        path = write_reward_recipe(tmp_path, tiny_model_folder, model_name_or_path="./untied", model_type=model_type)
        (finding,) = check_memory(*with_model(load_recipe(path)), Launch())
        assert finding.numbers["parameters"] == expected


@pytest.mark.parametrize(("max_length", "words"), [(64, "up to 512 tokens"), (None, "8 sequences of any length")])
def test_the_finding_counts_the_tokens_of_both_responses(tmp_path, tiny_model_folder, max_length, words):
    recipe = load_recipe(write_pair_recipe(tmp_path, tiny_model_folder, max_length=max_length))
    (finding,) = check_memory(*with_model(recipe), Launch())
    assert words in finding.text
    assert "completion" not in finding.text
