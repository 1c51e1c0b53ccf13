"""Pairs without what the model takes for their causes: which tokens move, and what that adds to the loss."""

import pytest
import torch
from crome_trainer import TOKENIZER, make_rows, make_trainer
from tiny import tiny_reward_model
from trained import logged, weights

from align.experimental.crome.destroyed import answer_mask, attributions, destroy
from align.methods.crome.loss import tie_loss


def reward_model(seed=0):
    return tiny_reward_model(seed, vocabulary=len(TOKENIZER))


def batch(texts):
    return dict(TOKENIZER(texts, padding=True, padding_side="right", return_tensors="pt"))


TEXTS = batch(["q? It is good and long. ", "q? It is sad. ", "q? It is bad. ", "q? No way at all, never. "])


def test_an_answer_begins_where_the_two_texts_part():
    mask = answer_mask(**{"ids": TEXTS["input_ids"], "attention_mask": TEXTS["attention_mask"]})
    shown = [
        "".join(c if own else "-" for c, own in zip(TOKENIZER.convert_ids_to_tokens(row), flags, strict=True))
        for row, flags in zip(TEXTS["input_ids"], mask, strict=True)
    ]
    assert [each.split("<pad>")[0].rstrip("-") for each in shown] == [
        "---------good and long. ", "---It is sad. ", "---------bad. ", "---No way at all, never. ",
    ]  # fmt: skip
    assert not (mask & ~TEXTS["attention_mask"].bool()).any()


def test_attributions_are_gradient_times_input_and_leave_the_weights_alone():
    model = reward_model()
    found = attributions(model, TEXTS)
    assert all(weight.grad is None for weight in model.parameters())
    leaf = model.get_input_embeddings()(TEXTS["input_ids"]).detach().requires_grad_()
    scores = []
    last = TEXTS["attention_mask"].sum(1) - 1
    hidden = model.model(inputs_embeds=leaf, attention_mask=TEXTS["attention_mask"]).last_hidden_state
    scores = model.score(hidden[torch.arange(4), last]).squeeze(-1)
    (scores[:2] - scores[2:]).sum().backward()
    torch.testing.assert_close(found, (leaf.grad * leaf.detach()).sum(-1).abs())


def test_a_tenth_of_an_answer_moves_and_nothing_else():
    ids, mask = torch.arange(100).repeat(2, 1), torch.zeros(2, 100).bool()
    mask[0, 40:], mask[1, 90:91] = True, True
    attribution = torch.zeros(2, 100)
    attribution[:, [41, 50, 60, 70, 80, 99]] = 1.0
    attribution[:, :40] = 9.0  # of the prompt
    destroyed = destroy(ids, attribution, mask, "0 0")
    moved = (destroyed[0] != ids[0]).nonzero().squeeze(-1).tolist()
    assert moved == [41, 50, 60, 70, 80, 99]
    assert sorted(destroyed[0, moved].tolist()) == moved
    assert torch.equal(destroyed[1], ids[1])  # an answer of one token
    alone = destroy(ids[:1], attribution[:1], mask[:1], "0 0")
    assert torch.equal(alone[0], destroyed[0])  # whoever else is in the batch
    assert not torch.equal(destroy(ids, attribution, mask, "0 1")[0], destroyed[0])  # another step


def test_the_loss_is_that_of_the_formula(tmp_path):
    """TRL's loss plus the weight times the tie loss of the destroyed pairs."""
    rows = make_rows(4, ties=True)
    plain, ours = (
        make_trainer(tmp_path, reward_model(), rows, max_steps=1, destroyed_ties=weight) for weight in (0.0, 0.7)
    )
    inputs = ours.data_collator([ours.train_dataset[i] for i in range(4)])
    base = plain.compute_loss(plain.model.train(), dict(inputs))
    total = ours.compute_loss(ours.model.train(), dict(inputs))
    texts = {name: inputs[name] for name in ("input_ids", "attention_mask")}
    mask = answer_mask(texts["input_ids"], texts["attention_mask"])
    destroyed = destroy(texts["input_ids"], attributions(ours.model, texts), mask, f"{ours.args.seed} 0")
    first, second = ours.model(input_ids=destroyed, attention_mask=texts["attention_mask"]).logits.squeeze(-1).chunk(2)
    ordered = ~inputs["tie"]
    expected = base + 0.7 * tie_loss(first - second)[ordered].sum() / 4
    assert ordered.sum() == 2
    assert total.item() == pytest.approx(expected.item(), abs=1e-6)
    assert ours._metrics["train"]["crome/destroyed_margin"] == [
        pytest.approx((first - second)[ordered].abs().mean().item(), abs=1e-6)
    ]


def test_without_it_nothing_changes_and_with_it_destroyed_pairs_come_together(tmp_path):
    found = {}
    for weight in (0.0, 1.0):
        trainer = make_trainer(tmp_path, reward_model(), max_steps=2, destroyed_ties=weight, logging_steps=2)
        trainer.train()
        found[weight] = weights(trainer)
    assert len(logged(trainer, "crome/destroyed_margin")) == 1
    neutral = make_trainer(tmp_path, reward_model(), max_steps=2, logging_steps=2)
    neutral.train()
    assert torch.equal(found[0.0], weights(neutral))
    assert not torch.equal(found[0.0], found[1.0])


def test_checkpointing_and_an_adapter_train(tmp_path):
    from crome_trainer import SCALAR_LORA

    trainer = make_trainer(
        tmp_path, reward_model(), max_steps=2, destroyed_ties=1.0, gradient_checkpointing=True, peft_config=SCALAR_LORA
    )
    trainer.train()
    assert trainer.state.global_step == 2
