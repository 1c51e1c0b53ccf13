"""ODIN's two heads: their terms by hand, what they add to the loss, and what is saved and read back."""

import pytest
import torch
from crome_trainer import TOKENIZER, make_rows, make_trainer
from scipy.stats import pearsonr
from tiny import tiny_reward_model
from trained import weights
from transformers import AutoModelForSequenceClassification

from align.experimental.crome.odin import correlation
from align.methods.crome.loss import bradley_terry_loss


def reward_model(seed=0):
    return tiny_reward_model(seed, vocabulary=len(TOKENIZER))


def uneven_rows(count=4):
    rows = make_rows(count)
    return [row | {"chosen": row["chosen"] + " And more." * (i % 3)} for i, row in enumerate(rows)]


def test_a_correlation_is_pearsons_and_0_where_nothing_varies():
    scores, lengths = torch.tensor([0.3, -1.0, 2.0, 0.1]), torch.tensor([3, 1, 9, 2])
    assert correlation(scores, lengths).item() == pytest.approx(pearsonr(scores, lengths).statistic, abs=1e-6)
    assert correlation(torch.ones(4), lengths).item() == correlation(scores, torch.ones(4)).item() == 0.0


def test_the_loss_is_that_of_the_formula(tmp_path):
    trainer = make_trainer(tmp_path, reward_model(), uneven_rows(), max_steps=1, odin_coef=0.7)
    inputs = trainer.data_collator([trainer.train_dataset[i] for i in range(4)])
    model, head = trainer.model.train(), trainer.model.score
    total = trainer.compute_loss(model, dict(inputs))
    total.backward()
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    last = mask.sum(1) - 1
    hidden = model.model(input_ids=ids, attention_mask=mask).last_hidden_state[torch.arange(8), last]
    quality, other = ((hidden @ weight.T)[:, 0].detach() for weight in (head.weight, head.of_length))
    lengths = []
    for one, two in zip(*ids.chunk(2), strict=True):
        shared = next(place for place in range(len(one)) if one[place] != two[place])
        lengths.append(shared)
    lengths = mask.sum(1) - torch.tensor(lengths * 2)
    chosen, rejected = (quality + other).chunk(2)
    terms = abs(pearsonr(quality, lengths).statistic) - pearsonr(other, lengths).statistic
    flat = [weight.detach().flatten() for weight in (head.weight, head.of_length)]
    terms += abs(flat[0] @ flat[1] / (flat[0].norm() * flat[1].norm())).item()
    expected = bradley_terry_loss(chosen - rejected).mean().item() + 0.7 * terms
    assert total.item() == pytest.approx(expected, abs=1e-4)
    assert head.of_length.grad.abs().max() > 0


def test_the_head_of_quality_goes_with_length_less_than_the_one_that_is_dropped(tmp_path):
    trainer = make_trainer(tmp_path, reward_model(), uneven_rows(24), max_steps=30, odin_coef=1.0, logging_steps=30)
    trainer.train()
    (entry,) = (each for each in trainer.state.log_history if "crome/odin_length_correlation" in each)
    assert abs(entry["crome/odin_quality_correlation"]) < entry["crome/odin_length_correlation"]


def test_what_is_saved_is_an_ordinary_reward_model_and_a_resumed_run_ends_as_a_whole_one(tmp_path):
    settings = {"odin_coef": 0.5, "save_strategy": "steps", "save_steps": 2, "max_steps": 4}
    whole = make_trainer(tmp_path / "whole", reward_model(), uneven_rows(16), **settings)
    whole.train()
    resumed = make_trainer(tmp_path / "resumed", reward_model(seed=1), uneven_rows(16), **settings)
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-2"))
    torch.testing.assert_close(weights(resumed), weights(whole), rtol=0, atol=1e-6)
    resumed.save_model(str(tmp_path / "saved"))
    plain, info = AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved", output_loading_info=True)
    assert (plain.num_labels, info["missing_keys"], info["unexpected_keys"]) == (1, set(), set())
    assert torch.equal(plain.score.weight, resumed.model.score.weight)
