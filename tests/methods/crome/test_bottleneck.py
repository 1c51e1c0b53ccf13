"""The Gaussian bottleneck: its terms by hand, what it adds to the loss, and what is saved and read back."""

import json
import math

import pytest
import torch
from crome_trainer import TOKENIZER, make_rows, make_trainer
from tiny import tiny_reward_model
from trained import logged, weights
from transformers import AutoModelForSequenceClassification

from align.experimental.crome.bottleneck import (
    CONTRAST_COEF,
    NOISE_RATE,
    Bottleneck,
    code_length,
    contrast,
    draw_noise,
)
from align.experimental.crome.score_heads import load_terms
from align.methods.crome.loss import bradley_terry_loss
from align.models.reward_model import RewardModel


def reward_model(seed=0):
    return tiny_reward_model(seed, vocabulary=len(TOKENIZER))


def test_a_code_is_as_long_as_the_formula_says():
    noise = torch.tensor([0.0, math.log(3), -math.log(3)])  # sigma^2 over mu^2: 1, 3, 1/3
    expected = (math.log(2) + math.log(4 / 3) + math.log(4)) / 2 / 3
    assert code_length(noise).item() == pytest.approx(expected, abs=1e-6)


def test_contrast_asks_which_of_the_others_is_the_own_view():
    anchors, others = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 1.0], [3.0, 0.0], [0.0, 0.5]])
    found = contrast(anchors, others, first=1)
    similar = [[math.sqrt(0.5), 1.0, 0.0], [math.sqrt(0.5), 0.0, 1.0]]
    expected = [
        -math.log(math.exp(20 * row[own]) / sum(math.exp(20 * cosine) for cosine in row))
        for row, own in zip(similar, (1, 2), strict=True)
    ]
    assert found.tolist() == pytest.approx(expected, abs=1e-6)
    assert contrast(3 * anchors, others, first=1).tolist() == pytest.approx(expected, abs=1e-6)  # of cosines


def test_a_code_is_of_the_token_whose_score_counts_where_the_end_token_fills_rows_up(tmp_path):
    model = reward_model()
    trainer = make_trainer(tmp_path, model, make_rows(4), max_steps=1, vib_coef=0.3)
    model.config.pad_token_id = TOKENIZER.eos_token_id
    ids = torch.tensor([[5, 6, 7, TOKENIZER.eos_token_id], [5, 6, *[TOKENIZER.eos_token_id] * 2]])
    inputs = {"input_ids": ids, "attention_mask": torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])}
    trainer._draw_noise(model.score, inputs)
    rewards = model.train()(**inputs).logits[:, 0]
    torch.testing.assert_close(rewards, model.score.views[1] @ model.score.weight[0])


def test_noise_is_that_of_the_answer_wherever_it_stands():
    ids, mask = torch.tensor([[5, 6, 0], [7, 8, 9]]), torch.tensor([[1, 1, 0], [1, 1, 1]])
    found = draw_noise(ids, mask, 4, "0 3")
    assert torch.equal(found[0], draw_noise(torch.tensor([[5, 6]]), torch.ones(1, 2), 4, "0 3")[0])
    assert not torch.equal(found, draw_noise(ids, mask, 4, "0 4"))
    drawn = draw_noise(torch.arange(400).reshape(200, 2), torch.ones(200, 2), 50, "0 0")
    assert abs(drawn.mean().item()) < 0.05
    assert drawn.std().item() == pytest.approx(1, abs=0.05)


def test_the_loss_is_that_of_the_formula(tmp_path):
    trainer = make_trainer(tmp_path, reward_model(), make_rows(4), max_steps=1, vib_coef=0.3)
    inputs = trainer.data_collator([trainer.train_dataset[i] for i in range(4)])
    model, head = trainer.model.train(), trainer.model.score
    head.log_noise.data = torch.linspace(-2, 1, head.in_features)
    total = trainer.compute_loss(model, dict(inputs))
    total.backward()
    texts = {name: inputs[name] for name in ("input_ids", "attention_mask")}
    hidden = model.model(**texts).last_hidden_state[torch.arange(8), texts["attention_mask"].sum(1) - 1]
    noise = draw_noise(*texts.values(), head.in_features, f"{trainer.args.seed} 0")
    code = hidden * (1 + noise * (head.log_noise / 2).exp())
    chosen, rejected = (code @ head.weight.T).squeeze(-1).chunk(2)
    terms = contrast(code, hidden).mean() / 2 + contrast(hidden, code).mean() / 2
    expected = bradley_terry_loss(chosen - rejected).mean()
    expected = expected + 0.3 * (code_length(head.log_noise) + CONTRAST_COEF * terms)
    assert total.item() == pytest.approx(expected.item(), abs=1e-5)
    assert head.log_noise.grad.abs().min() > 0
    assert trainer._metrics["train"]["crome/vib_contrast"] == [pytest.approx(terms.item(), abs=1e-5)]
    assert trainer._metrics["train"]["crome/vib_noisy_share"] == [(head.log_noise >= 0).float().mean().item()]


def test_without_it_nothing_changes_and_with_it_noise_learns_at_its_own_rate(tmp_path):
    found = []
    for settings in ({}, {"vib_coef": 0.0}, {"vib_coef": 1.0, "lr_scheduler_type": "constant"}):
        trainer = make_trainer(tmp_path, reward_model(), max_steps=6, logging_steps=6, **settings)
        before = trainer.model.score.log_noise.clone() if settings.get("vib_coef") else None
        trainer.train()
        found.append(weights(trainer))
    assert torch.equal(found[0], found[1])
    moved = (trainer.model.score.log_noise - before).detach()
    assert moved.max().item() == pytest.approx(6 * NOISE_RATE, rel=0.05)  # Adam's steps are as long as the rate
    for name in ("length", "contrast", "noisy_share"):
        assert len(logged(trainer, f"crome/vib_{name}")) == 1


def test_a_checkpoint_is_an_ordinary_reward_model_that_reads_the_mean_path(tmp_path):
    trainer = make_trainer(tmp_path, reward_model(), make_rows(ties=True), vib_coef=0.5, save_strategy="steps")
    trainer.train()
    trainer.save_model()
    texts = [("q1?", "It is 12."), ("q2?", "It is 13, and more.")]
    loaded = RewardModel.load(tmp_path, device="cpu").score(*zip(*texts, strict=True))
    ids = [TOKENIZER(f"{prompt}{answer}<eos>", return_tensors="pt") for prompt, answer in texts]
    with torch.no_grad():
        expected = [trainer.model.eval()(**each).logits.item() for each in ids]
    assert loaded.tolist() == pytest.approx(expected, abs=1e-6)
    plain, info = AutoModelForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert (plain.num_labels, info["missing_keys"], info["unexpected_keys"]) == (1, set(), set())


def test_a_resumed_run_ends_as_one_that_was_not_cut(tmp_path):
    settings = {"vib_coef": 0.5, "save_strategy": "steps", "save_steps": 2, "max_steps": 4}
    whole = make_trainer(tmp_path / "whole", reward_model(), **settings)
    whole.train()
    resumed = make_trainer(tmp_path / "resumed", reward_model(seed=1), **settings)
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-2"))
    torch.testing.assert_close(weights(resumed), weights(whole), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [("{}", "cannot be read as numbers named 'log_noise'"), ('{"log_noise": [1.0]}', "has 1 numbers named")],
)
def test_a_file_of_another_head_is_refused(tmp_path, text, message):
    (tmp_path / "truealign_head.json").write_text(text)
    with pytest.raises(Exception, match=message):
        load_terms(tmp_path, Bottleneck(torch.nn.Linear(4, 1, bias=False)))
    assert json.loads(text) is not None


def test_models_that_cannot_have_it_are_refused(tmp_path):
    from crome_trainer import SCALAR_LORA

    with pytest.raises(ValueError, match="`vib_coef` adds a term to the score head, and an adapter"):
        make_trainer(tmp_path, reward_model(), vib_coef=1.0, peft_config=SCALAR_LORA)
    model = reward_model()
    model.score = torch.nn.Sequential(model.score)
    with pytest.raises(ValueError, match="one linear layer `score` with one output"):
        make_trainer(tmp_path, model, vib_coef=1.0)
