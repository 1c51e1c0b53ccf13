"""DDPO: its loss by hand, RRPO to the last bit where it is off, and DPO where nothing weighs more."""

import math

import pytest
import torch
from pair_trainer import make_trainer
from trained import logged, weights
from trl import DPOTrainer

from align.experimental.rrpo.trainer import DDPOTrainer
from align.methods.rrpo.loss import span_log_ratio


def test_off_it_is_rrpo_to_the_last_bit(tmp_path, tiny_model_folder):
    rival = make_trainer(tmp_path, tiny_model_folder, trainer=DDPOTrainer, kl_coef=0.1)
    ours = make_trainer(tmp_path, tiny_model_folder, kl_coef=0.1)
    for trainer in (rival, ours):
        trainer.train()
    assert logged(rival) == logged(ours)
    assert len(logged(ours)) == 2
    assert torch.equal(weights(rival), weights(ours))


def test_with_one_weight_for_all_tokens_it_follows_dpo(tmp_path, tiny_model_folder):
    rival = make_trainer(tmp_path, tiny_model_folder, trainer=DDPOTrainer, kl_coef=0.0, ddpo_gamma=1.0)
    theirs = make_trainer(tmp_path, tiny_model_folder, trainer=DPOTrainer)
    for trainer in (rival, theirs):
        trainer.train()
    assert logged(rival) == pytest.approx(logged(theirs), abs=1e-5)
    torch.testing.assert_close(weights(rival), weights(theirs), atol=1e-4, rtol=0)


def test_tokens_that_differ_weigh_more_by_hand(tmp_path, tiny_model_folder):
    trainer = make_trainer(tmp_path, tiny_model_folder, trainer=DDPOTrainer, kl_coef=0.0, ddpo_gamma=5.0, beta=0.5)
    # two pairs of three tokens: chosen, chosen, rejected, rejected; the last token of the second pair is padding
    logps = torch.tensor([[-1.0, -2.0, -3.0], [-1.0, -1.0, 0.0], [-1.0, -4.0, -3.0], [-2.0, -1.0, 0.0]])
    ref_logps = torch.tensor([[-1.5, -2.0, -1.0], [-1.0, -3.0, 0.0], [-1.0, -3.0, -3.5], [-1.0, -1.0, 0.0]])
    spans = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 1, 0], [1, 0, 0]]).bool()
    losses = trainer._pair_losses(logps, ref_logps, torch.zeros(4, 3), spans)
    chosen = [5 * 0.5 + 0.0 - 2.0, 0.0 + 5 * 2.0]
    rejected = [0.0 + 5 * -1.0 + 0.5, 5 * -1.0 + 0.0]
    expected = [math.log(1 + math.exp(-0.5 * (c - r))) for c, r in zip(chosen, rejected, strict=True)]
    assert losses.tolist() == pytest.approx(expected, rel=1e-5)


def test_the_loss_of_a_batch_is_that_of_full_logits(tmp_path, tiny_model_folder):
    trainer = make_trainer(tmp_path, tiny_model_folder, trainer=DDPOTrainer, kl_coef=0.0, ddpo_gamma=3.0, max_steps=1)
    trainer.train()  # away from the reference
    batch = next(iter(trainer.get_train_dataloader()))
    with torch.no_grad():
        found = trainer.compute_loss(trainer.model, dict(batch)).item()
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
        logps, ref_logps = (
            model(**inputs).logits[:, :-1].log_softmax(-1).gather(-1, batch["input_ids"][:, 1:, None])[..., 0]
            for model in (trainer.model, trainer.ref_model)
        )
    responses, spans = (batch[name][:, 1:].float() for name in ("completion_mask", "span_mask"))
    assert 0 < spans.sum() < responses.sum()
    chosen, rejected = span_log_ratio(logps, ref_logps, responses + 2 * spans).chunk(2)
    expected = -torch.nn.functional.logsigmoid(trainer.args.beta * (chosen - rejected)).mean().item()
    assert found == pytest.approx(expected, abs=1e-5)
    assert found != pytest.approx(math.log(2), abs=1e-3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ddpo_gamma": 5.0}, "DDPO, which has no KL: `kl_coef` must be 0.0, got 0.01. Or set `ddpo_gamma: 0`."),
        ({"ddpo_gamma": 5.0, "kl_coef": 0.0, "spans": "whole"}, "`spans` must be differing, got whole"),
        ({"ddpo_gamma": -1.0}, "`ddpo_gamma` must be"),
        ({"ddpo_gamma": float("nan")}, "`ddpo_gamma` must be"),
    ],
)
def test_settings_that_ddpo_does_not_have_are_refused(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        DDPOTrainer._config(str(tmp_path), use_cpu=True, bf16=False, **settings)
