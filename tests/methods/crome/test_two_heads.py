"""Two score heads: their terms by hand, what they add to the loss, and what is saved and read back."""

import json
import math

import numpy as np
import pytest
import torch
from crome_trainer import TOKENIZER, make_rows, make_trainer
from datasets import Dataset, IterableDataset
from tiny import tiny_reward_model
from trained import logged, weights
from transformers import AutoModelForSequenceClassification

from align.data.pairs.candidates import Candidates
from align.data.pairs.reward_bench import BenchPair
from align.errors import DataError, UserError
from align.evaluation.suites.reward_model.suite import evaluate_reward_model
from align.experimental.crome.parts import unlabelled_rows
from align.experimental.crome.two_heads import UnlabelledPairs, agreement, mutual_information
from align.methods.crome.loss import crome_loss
from align.models.reward_model import RewardModel

UNLABELLED = make_rows(10, seed=3)


def reward_model(seed=0):
    return tiny_reward_model(seed, vocabulary=len(TOKENIZER))


def two_heads(tmp_path, rows=None, seed=0, **settings):
    return make_trainer(tmp_path, reward_model(seed), rows, unlabelled=UNLABELLED, num_heads=2, **settings)


def test_heads_agree_by_the_product_of_their_chances():
    margins = torch.tensor([[0.0, math.log(3), math.log(3)], [1.0, math.log(3), -math.log(4)]])
    assert agreement(margins).tolist() == pytest.approx([0.5, 0.75**2 + 0.25**2, 0.75 * 0.2 + 0.25 * 0.8])


def test_mutual_information_is_that_of_the_joint_distribution_over_both_orders():
    margins = torch.tensor([[2.0, -0.3, 0.7], [1.0, 0.9, -2.0]])
    both = torch.cat([margins, -margins], dim=1).sigmoid().double()  # each pair either way round
    chances = torch.stack([both, 1 - both])  # (order, head, pair)
    joint = torch.einsum("ip,jp->ij", chances[:, 0], chances[:, 1]) / both.shape[1]
    product = joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True)
    expected = (joint * (joint / product).log()).sum().item()
    assert mutual_information(agreement(margins).mean()).item() == pytest.approx(expected, abs=1e-6)


def test_the_slope_is_finite_where_heads_always_agree():
    margins = torch.full((2, 3), 90.0, requires_grad=True)
    mutual_information(agreement(margins).mean()).backward()
    assert torch.isfinite(margins.grad).all()


def test_every_pair_is_read_once_each_time_around_and_processes_share_out():
    pairs = UnlabelledPairs(Dataset.from_list([{"n": n} for n in range(8)]), lambda rows: rows, 2, seed=0)
    one = UnlabelledPairs(Dataset.from_list([{"n": n} for n in range(8)]), lambda rows: rows, 4, seed=0)
    alone = [[row["n"] for row in one.batch(step, 1, 0, 1)] for step in range(4)]
    first = [[row["n"] for row in pairs.batch(step, 1, 0, 2)] for step in range(4)]
    other = UnlabelledPairs(Dataset.from_list([{"n": n} for n in range(8)]), lambda rows: rows, 2, seed=0)
    second = [[row["n"] for row in other.batch(step, 1, 1, 2)] for step in range(4)]
    both = [a + b for a, b in zip(first, second, strict=True)]
    assert both == alone
    assert sorted(alone[0] + alone[1]) == sorted(alone[2] + alone[3]) == list(range(8))
    assert alone[:2] != alone[2:]
    passes = UnlabelledPairs(Dataset.from_list([{"n": n} for n in range(8)]), lambda rows: rows, 4, seed=0)
    assert [[row["n"] for row in passes.batch(step, 2, 0, 1)] for step in (0, 0, 1, 1)] == alone


def test_responses_of_a_prompt_make_pairs_two_by_two():
    rows = [Candidates("a", "q?", ("1", "2", "3", "4", "5"), None, 1), Candidates("b", "r?", ("6", "6"), None, 2)]
    assert [(row["prompt"], row["chosen"], row["rejected"]) for row in unlabelled_rows(rows)] == [
        ("q?", "1", "2"), ("q?", "3", "4"),
    ]  # fmt: skip
    with pytest.raises(DataError, match="no prompt has two `responses` that differ"):
        unlabelled_rows(rows[1:])


@pytest.mark.parametrize("settings", [{}, {"tie_coef": 0.5, "center_rewards_coefficient": 0.1}])
def test_the_loss_is_that_of_the_formula(tmp_path, settings):
    trainer = two_heads(tmp_path, make_rows(4, ties=True), max_steps=1, disagreement_coef=0.7, **settings)
    inputs = trainer.data_collator([trainer.train_dataset[i] for i in range(4)])
    model, head = trainer.model.train(), trainer.model.score
    total = trainer.compute_loss(model, dict(inputs))

    def rewards(batch):
        texts = {name: batch[name] for name in ("input_ids", "attention_mask")}
        hidden = model.model(**texts).last_hidden_state[torch.arange(8), texts["attention_mask"].sum(1) - 1]
        return torch.cat([hidden @ (head.weight + sign * head.difference).T for sign in (1, -1)], 1).chunk(2)

    chosen, rejected = rewards(inputs)
    expected = crome_loss((chosen - rejected).T, inputs["tie"], tie_coef=settings.get("tie_coef", 1.0)).mean()
    expected = expected + settings.get("center_rewards_coefficient", 0) * ((chosen + rejected) ** 2).mean()
    first, second = rewards(_first_batch(trainer))
    information = mutual_information(agreement((first - second).T).mean())
    assert total.item() == pytest.approx((expected + 0.7 * information).item(), abs=1e-5)
    metrics = trainer._metrics["train"]
    differ = ((first - second) > 0).T
    assert metrics["crome/disagreement"] == [pytest.approx((differ[0] != differ[1]).float().mean().item())]
    ordered = ((chosen - rejected) > 0)[~inputs["tie"]].T
    assert metrics["crome/disagreement_labelled"] == [(ordered[0] != ordered[1]).float().mean().item()]
    mean = (chosen - rejected).mean(1)[~inputs["tie"]]
    assert metrics["margin"] == [pytest.approx(mean.mean().item(), abs=1e-5)]


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("ties", [False, True])
def test_a_margin_is_asked_of_both_heads(tmp_path, size, ties):
    rows = make_rows(4, ties=ties)
    rows = [row | {"margin": 0.0 if row.get("tie") else 3.0 * (i % 2)} for i, row in enumerate(rows)]
    trainer = two_heads(tmp_path, rows, per_device_train_batch_size=size)
    inputs = trainer.data_collator([trainer.train_dataset[i] for i in range(size)])
    model = trainer.model.eval()
    loss = trainer.compute_loss(model, dict(inputs))
    chosen, rejected = model(**{name: inputs[name] for name in ("input_ids", "attention_mask")}).logits.chunk(2)
    assert inputs["margin"].tolist() == [0.0, 3.0, 0.0, 0.0 if ties else 3.0][:size]
    margins = (chosen - rejected).T
    expected = crome_loss(margins - inputs["margin"], inputs["tie"], tie_coef=1.0).mean()
    assert loss.item() == pytest.approx(expected.item(), abs=1e-6)


def test_two_heads_learn_from_a_stream_whose_rows_all_get_a_margin(tmp_path):
    trainer = two_heads(tmp_path, IterableDataset.from_generator(make_rows), max_steps=2)
    trainer.train()
    assert trainer.state.global_step == 2
    assert all(math.isfinite(loss) for loss in logged(trainer, "loss"))


def _first_batch(trainer):
    fresh = UnlabelledPairs(trainer._unlabelled._rows, trainer.data_collator, 4, trainer.args.seed)
    return fresh.batch(0, 1, 0, 1)


def test_one_head_is_as_before(tmp_path):
    found = []
    for settings in ({}, {"num_heads": 1, "disagreement_coef": 3.0}):
        trainer = make_trainer(tmp_path, reward_model(), make_rows(ties=True), **settings)
        trainer.train()
        found.append(weights(trainer))
    assert torch.equal(*found)
    assert not logged(trainer, "crome/disagreement")


def test_a_checkpoint_is_the_mean_of_the_heads_and_says_what_they_differ_in(tmp_path):
    trainer = two_heads(tmp_path, make_rows(ties=True), eval_rows=make_rows(4, seed=9), eval_strategy="steps")
    trainer.train()
    trainer.save_model()
    assert logged(trainer, "eval_crome/disagreement_labelled")
    prompts, answers = ["q1?", "q2?"], ["It is 12.", "It is 13, and more."]
    model = RewardModel.load(tmp_path, device="cpu")
    with torch.no_grad():
        ids = [TOKENIZER(f"{p}{a}<eos>", return_tensors="pt") for p, a in zip(prompts, answers, strict=True)]
        expected = np.array([trainer.model.eval()(**each).logits[0].tolist() for each in ids]).T
    assert model.has_two_heads
    assert model.head_scores(prompts, answers) == pytest.approx(expected, abs=1e-5)
    assert model.score(prompts, answers) == pytest.approx(expected.mean(0), abs=1e-5)
    plain, info = AutoModelForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert (plain.num_labels, info["missing_keys"], info["unexpected_keys"]) == (1, set(), set())
    pairs = [BenchPair(str(i), row["prompt"], row["chosen"], row["rejected"], None, None, i) for i, row in
             enumerate(UNLABELLED)]  # fmt: skip
    result = evaluate_reward_model(RewardModel.load(tmp_path, device="cpu", on_too_long="nan"), pairs)
    sides = [model.head_scores([p.prompt for p in pairs], [getattr(p, side) for p in pairs]) for side in
             ("chosen", "rejected")]  # fmt: skip
    right = sides[0] > sides[1]
    summary = result.summary()
    assert summary["disagreement"].value == pytest.approx((right[0] != right[1]).mean())
    assert summary["agreed_accuracy"].n == (right[0] == right[1]).sum()


def test_a_model_with_one_head_has_no_second(tmp_path):
    reward_model().save_pretrained(tmp_path)
    TOKENIZER.save_pretrained(tmp_path)
    model = RewardModel.load(tmp_path, device="cpu")
    assert not model.has_two_heads
    with pytest.raises(UserError, match=r"one score head.*`num_heads: 2`"):
        model.head_scores(["q?"], ["a"])
    (tmp_path / "truealign_head.json").write_text(json.dumps({"difference": [1.0]}))
    with pytest.raises(UserError, match="has 1 numbers named 'difference' for 32 features"):
        RewardModel.load(tmp_path, device="cpu")


def test_a_resumed_run_ends_as_one_that_was_not_cut(tmp_path):
    settings = {"save_strategy": "steps", "save_steps": 2, "max_steps": 4}
    whole = two_heads(tmp_path / "whole", **settings)
    whole.train()
    resumed = two_heads(tmp_path / "resumed", seed=1, **settings)
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-2"))
    torch.testing.assert_close(weights(resumed), weights(whole), rtol=0, atol=1e-6)


def test_heads_and_unlabelled_pairs_need_each_other(tmp_path):
    with pytest.raises(ValueError, match="`num_heads: 2` needs an `unlabelled_dataset`"):
        make_trainer(tmp_path, reward_model(), num_heads=2)
    with pytest.raises(ValueError, match="is read by two heads only"):
        make_trainer(tmp_path, reward_model(), unlabelled=UNLABELLED)
    long = [row | {"chosen": "x" * 50} for row in UNLABELLED]
    with pytest.raises(ValueError, match="All 10 pairs of the unlabelled dataset are longer than `max_length`"):
        make_trainer(tmp_path, reward_model(), num_heads=2, max_length=40, unlabelled=long)
