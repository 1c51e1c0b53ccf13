"""The loss that the trainer computes: DPO's where nothing of RRPO is left, and elsewhere that of full logits."""

import pytest
import torch
from pair_trainer import make_trainer
from peft import LoraConfig
from tiny import tiny_tokenizer
from trained import logged, weights
from transformers import (
    CohereConfig,
    CohereForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GraniteConfig,
    GraniteForCausalLM,
    ModernBertDecoderConfig,
    ModernBertDecoderForCausalLM,
    MptConfig,
    MptForCausalLM,
    PhiConfig,
    PhiForCausalLM,
    set_seed,
)
from trl import DPOTrainer

from align.methods.rrpo.loss import rrpo_loss, span_log_ratio, tdpo_loss, token_kl

NEUTRAL = {"spans": "whole", "kl_coef": 0.0}
SMALL = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.2,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "bos_token_id": None,
}
LORA = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")


@pytest.mark.parametrize(
    "settings",
    [{"gradient_checkpointing": True}, {"gradient_accumulation_steps": 2}, {"loss_type": ["ipo"], "beta": 0.3}],
    ids=["checkpointed", "accumulated", "other loss"],
)
def test_neutral_settings_equal_dpo_to_the_last_bit(tmp_path, tiny_model_folder, settings):
    ours = make_trainer(tmp_path, tiny_model_folder, **NEUTRAL | settings)
    ours.train()
    theirs = make_trainer(tmp_path, tiny_model_folder, trainer=DPOTrainer, **settings)
    theirs.train()
    assert logged(ours) == logged(theirs)
    assert len(logged(ours)) == 2
    assert torch.equal(weights(ours), weights(theirs))


@pytest.mark.parametrize("peft_config", [None, LORA], ids=["full", "lora"])
def test_whole_spans_and_hardly_any_kl_follow_dpo(tmp_path, tiny_model_folder, peft_config):
    ours = make_trainer(tmp_path, tiny_model_folder, spans="whole", kl_coef=1e-12, peft_config=peft_config)
    ours.train()
    theirs = make_trainer(tmp_path, tiny_model_folder, trainer=DPOTrainer, peft_config=peft_config)
    theirs.train()
    assert logged(ours) == pytest.approx(logged(theirs), abs=1e-5)
    for key in ("rewards/chosen", "rewards/rejected", "rewards/margins", "logps/chosen", "num_tokens"):
        assert logged(ours, key) == pytest.approx(logged(theirs, key), abs=1e-3), key
    torch.testing.assert_close(weights(ours), weights(theirs), atol=1e-4, rtol=0)


def naive_losses(trainer, batch):
    """The loss of every pair from full logits."""
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    logits = trainer.model(**inputs).logits[:, :-1]
    with torch.no_grad():
        if trainer.ref_model is None:
            with trainer.model.disable_adapter():
                ref_logits = trainer.model(**inputs).logits[:, :-1]
        else:
            ref_logits = trainer.ref_model(**inputs).logits[:, :-1]
    labels, responses, spans = (batch[n][:, 1:] for n in ("input_ids", "completion_mask", "span_mask"))
    logps, ref_logps = (x.log_softmax(-1).gather(-1, labels[..., None])[..., 0] for x in (logits, ref_logits))
    ratios = span_log_ratio(logps, ref_logps, spans).chunk(2)
    kl = (token_kl(logits, ref_logits) * responses).sum(-1).chunk(2)
    coefs = {"beta": trainer.args.beta, "kl_coef": trainer.args.kl_coef}
    if trainer.args.kl_placement == "margin":
        return tdpo_loss(*ratios, *kl, **coefs)
    return rrpo_loss(*ratios, kl[0], **coefs)


@pytest.mark.parametrize(
    ("settings", "peft_config"),
    [
        ({"kl_coef": 0.1, "gradient_checkpointing": True}, None),
        ({"kl_coef": 0.1, "gradient_checkpointing": True}, LORA),
        ({"kl_coef": 0.0}, LORA),
        ({"kl_coef": 0.5, "kl_placement": "margin"}, None),
        ({"spans": "whole"}, None),
    ],
    ids=["rrpo", "rrpo-lora", "without kl-lora", "tdpo", "without spans"],
)
def test_loss_and_gradient_equal_the_naive_form(tmp_path, tiny_model_folder, settings, peft_config):
    trainer = make_trainer(tmp_path, tiny_model_folder, max_steps=1, peft_config=peft_config, **settings)
    trainer.train()  # away from the reference
    batch = next(iter(trainer.get_train_dataloader()))
    trainer.model.train()
    grads = []
    losses = []
    for loss in (
        trainer.compute_loss(trainer.model, dict(batch)),
        naive_losses(trainer, batch).mean(),
    ):
        trainer.model.zero_grad()
        loss.backward()
        losses.append(loss.item())
        grads.append(torch.cat([p.grad.flatten() for p in trainer.model.parameters() if p.requires_grad]))
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    assert (grads[0] - grads[1]).norm() <= 1e-4 * grads[1].norm()
    assert grads[1].norm() > 0


FAMILIES = {
    "soft cap (Gemma 2)": lambda size: Gemma2ForCausalLM(
        Gemma2Config(vocab_size=size, head_dim=8, final_logit_softcapping=3.0, **SMALL)
    ),
    "scaled (Granite)": lambda size: GraniteForCausalLM(GraniteConfig(vocab_size=size, logits_scaling=4.0, **SMALL)),
    "scaled (Cohere)": lambda size: CohereForCausalLM(CohereConfig(vocab_size=size, logit_scale=0.25, **SMALL)),
    "scale not used (MPT)": lambda size: MptForCausalLM(
        MptConfig(vocab_size=size, logit_scale=0.5, d_model=32, n_layers=2, n_heads=4, initializer_range=0.2)
    ),
    "head before the head (ModernBERT)": lambda size: ModernBertDecoderForCausalLM(
        ModernBertDecoderConfig(vocab_size=size, **SMALL | {"bos_token_id": 2})
    ),
    "biased head (Phi)": lambda size: PhiForCausalLM(PhiConfig(vocab_size=size, **SMALL)),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_families_that_change_their_logits_equal_the_naive_form(tmp_path, family):
    set_seed(0)
    model, ref_model = (
        FAMILIES[family](len(tiny_tokenizer())) for _ in range(2)
    )  # a reference that is not the policy
    trainer = make_trainer(tmp_path, model, ref_model=ref_model, kl_coef=0.1)
    batch = next(iter(trainer.get_train_dataloader()))
    trainer.model.train()
    assert trainer.compute_loss(trainer.model, dict(batch)).item() == pytest.approx(
        naive_losses(trainer, batch).mean().item(), abs=1e-5
    )
    assert naive_losses(trainer, batch).mean().item() != pytest.approx(0.693, abs=1e-3)
