import pytest
import torch
from peft import LoraConfig, get_peft_model
from tiny import tiny_model, tiny_vl_model_and_processor
from transformers import AutoConfig, AutoModelForCausalLM, set_seed

from align.errors import UserError
from align.training.output_head import Reference, Tokens, add_token_head, check_fused_head, read_output_head
from align.training.token_terms import token_terms

VOCABULARY = 40
SIZES = {
    "vocab_size": VOCABULARY,
    "num_hidden_layers": 2,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "initializer_range": 0.2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
READ = {  # by model type: settings beside SIZES
    "llama": {},
    "qwen2": {},
    "phi3": {},
    "phi": {},
    "gemma2": {"head_dim": 8, "final_logit_softcapping": 3.0},
    "gemma3_text": {"head_dim": 8, "final_logit_softcapping": 2.0},
    "nanochat": {"final_logit_softcapping": 2.0},
    "cohere": {"logit_scale": 0.25},
    "granite": {"logits_scaling": 4.0},
    "hyperclovax": {"logits_scaling": 0.5},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
    "gpt_neox": {},
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": 16, "init_std": 0.2},
    "bloom": {"n_head": 4},
    "falcon": {"num_key_value_heads": None},
    "mamba": {"state_size": 4},
    "minicpm3": {"num_key_value_heads": 4, "dim_model_base": 8},
}
TRL_READS_WRONG = {  # and what the logits are
    "mpt": ({"d_model": 32, "n_layers": 2, "n_heads": 4, "logit_scale": 0.5}, "head(hidden)"),
    "modernbert-decoder": ({}, "head(lm_head(hidden))"),
    "bert": ({"is_decoder": True}, "head(cls.predictions.transform(hidden))"),
    "recurrent_gemma": ({"num_hidden_layers": 3, "logits_soft_cap": 2.0}, "head(hidden), capped at 2"),
    "xlstm": ({"num_heads": 4, "output_logit_soft_cap": 2.0}, "head(hidden), capped at 2"),
}
EVERY = READ | {family: settings for family, (settings, _) in TRL_READS_WRONG.items()}


def make_model(family, **more):
    known = AutoConfig.for_model(family)
    settings = {name: value for name, value in SIZES.items() if hasattr(known, name)} | EVERY.get(family, {}) | more
    set_seed(0)
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **settings)).eval()


def logps_both_ways(model, dtype=torch.float32):
    """Log-probs of the next tokens as the patched forward reads them, and those of the model's own logits."""
    ids = torch.arange(3, 13).reshape(2, 5)
    scored = Tokens(torch.ones(2, 4, dtype=torch.bool), ids[:, 1:].flatten())
    with torch.no_grad(), torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        logits = model(input_ids=ids, use_cache=False).logits[:, :-1].float()
        reading = add_token_head(model)
        reference = Reference(model(input_ids=ids, use_cache=False, scored=scored), reading.head(model))
        found = model(input_ids=ids, use_cache=False, scored=scored, reference=reference)
    assert torch.equal(found.logps, found.ref_logps)
    return found.logps, logits.log_softmax(-1).flatten(0, 1).gather(-1, scored.labels[:, None])[:, 0]


@pytest.mark.parametrize("family", EVERY)
def test_log_probs_are_those_of_the_models_own_logits(family):
    ours, theirs = logps_both_ways(make_model(family))
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    assert theirs.std() > 0.1


@pytest.mark.parametrize("family", READ)
def test_trl_reads_the_same_of_most_families(family):
    check_fused_head(make_model(family))


@pytest.mark.parametrize("family", TRL_READS_WRONG)
def test_a_family_that_trl_reads_wrong_is_refused_by_name_where_trl_computes_the_loss(family):
    model, formula = make_model(family), TRL_READS_WRONG[family][1]
    with pytest.raises(UserError) as refusal:
        check_fused_head(model, "Do this.")
    assert str(refusal.value).startswith(f"The log-probs of {type(model).__name__} would be read wrong: ")
    assert str(refusal.value).endswith(f"(TRL does not know that they are {formula}). Do this.")


@pytest.mark.parametrize("family", ["modernbert-decoder", "gemma2"])
def test_half_precision_is_read_within_its_rounding(family):
    ours, theirs = logps_both_ways(make_model(family).bfloat16())
    torch.testing.assert_close(ours, theirs, atol=0.05, rtol=0.02)


def test_a_vision_language_model_is_read():
    model, _ = tiny_vl_model_and_processor()
    assert read_output_head(model).formula == "head(hidden)"


@pytest.mark.parametrize("saved", [None, ["lm_head"]], ids=["lora", "head trained whole"])
def test_a_head_that_is_trained_whole_beside_an_adapter_is_read(saved):
    model = tiny_model(vocabulary=VOCABULARY, tie_word_embeddings=False)
    adapter = LoraConfig(r=4, target_modules="all-linear", modules_to_save=saved, task_type="CAUSAL_LM")
    peft_model = get_peft_model(model, adapter).eval()
    for parameter in peft_model.parameters():
        parameter.data += 0.01
    ours, theirs = logps_both_ways(peft_model.get_base_model())
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda logits: logits + 1, "what it does to logits behind its output head is not known"),
        (lambda logits: logits[..., :-1], "what it does to logits behind its output head is not known"),
        (lambda logits: logits / 0.7, "what it does to logits behind its output head is not known"),
        (lambda logits: logits.no_such_thing, "AttributeError: 'Tensor' object has no attribute 'no_such_thing'"),
    ],
    ids=["shifted", "cut", "scaled", "broken"],
)
def test_logits_that_are_something_else_are_refused_by_name(change, words):
    model = tiny_model(vocabulary=VOCABULARY)
    original = model.forward

    def forward(*args, **kwargs):
        output = original(*args, **kwargs)
        output.logits = change(output.logits)
        return output

    model.forward = forward
    with pytest.raises(UserError, match=f"log-probs of {type(model).__name__} would be read wrong") as refusal:
        add_token_head(model)
    assert words in str(refusal.value)


def test_a_body_of_another_name_is_said():
    settings = SIZES | {"head_dim": 8, "intermediate_size_mlp": 64, "num_local_experts": 2}
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model("llama4_text", **settings))
    with pytest.raises(UserError, match=r"Llama4ForCausalLM .* \(ValueError: it has no body named `language_model`\)"):
        read_output_head(model)


def test_asking_changes_nothing():
    model = make_model("modernbert-decoder").train()
    before, state = dict(model.named_modules()), torch.get_rng_state()
    calls = []
    for module in before.values():
        module.register_forward_pre_hook(lambda *_: calls.append(1))  # as ZeRO-3 gathers weights in
    for parameter in model.parameters():
        parameter.data = torch.empty(0)  # as a sharded weight is
    assert read_output_head(model).transform == "lm_head"
    assert torch.equal(state, torch.get_rng_state())
    assert dict(model.named_modules()) == before
    assert all(module.training for module in before.values())
    assert calls == []


def test_the_gradient_reaches_what_is_in_front_of_the_head():
    model = make_model("modernbert-decoder")
    reading = read_output_head(model)
    hidden = torch.randn(3, 32, generator=torch.Generator().manual_seed(0))
    head = reading.head(model)
    given = reading.prepare(model, hidden)
    token_terms(given, head, given.detach(), head, torch.tensor([3, 4, 5])).logps.sum().backward()
    assert model.lm_head.dense.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("family", ["qwen3_moe", "phimoe"])  # which name the number of experts in two ways
def test_the_load_balancing_loss_is_the_models_own(family):
    experts = {"num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
    model = make_model(family, **experts)
    ids = torch.arange(3, 13).reshape(2, 5)
    given = {"input_ids": ids, "attention_mask": (ids < 12).long(), "output_router_logits": True, "use_cache": False}
    with torch.no_grad():
        wanted = model(**given).aux_loss
        reading = add_token_head(model)
        scored = Tokens(torch.ones(2, 4, dtype=torch.bool), ids[:, 1:].flatten())
        reference = Reference(model(**given, scored=scored), reading.head(model))
        found = model(**given, scored=scored, reference=reference).aux_loss
    assert wanted > 0
    assert torch.equal(found, wanted)
