"""ODIN's two heads: their terms by hand, what they add to the loss, and what is saved and read back."""

import pytest
import torch
from crome_trainer import SCALAR_LORA, TOKENIZER, make_rows, make_trainer
from scipy.stats import pearsonr
from tiny import tiny_reward_model
from trained import weights
from transformers import AutoModelForSequenceClassification

from align.errors import UserError
from align.experimental.crome.odin import LengthHead, answer_mask, correlation
from align.experimental.crome.score_heads import load_terms
from align.methods.crome.loss import bradley_terry_loss
from align.models.score_head import score_places


def reward_model(seed=0):
    return tiny_reward_model(seed, vocabulary=len(TOKENIZER))


def uneven_rows(count=4):
    rows = make_rows(count)
    return [row | {"chosen": row["chosen"] + " And more." * (i % 3)} for i, row in enumerate(rows)]


def test_a_correlation_is_pearsons_and_0_where_nothing_varies():
    scores, lengths = torch.tensor([0.3, -1.0, 2.0, 0.1]), torch.tensor([3, 1, 9, 2])
    assert correlation(scores, lengths).item() == pytest.approx(pearsonr(scores, lengths).statistic, abs=1e-6)
    assert correlation(torch.ones(4), lengths).item() == correlation(scores, torch.ones(4)).item() == 0.0


def test_an_answer_begins_where_the_two_texts_part():
    rows = ["q? It is good and long. ", "q? It is sad. ", "q? It is bad. ", "q? No way at all, never. "]
    texts = TOKENIZER(rows, padding=True, padding_side="right", return_tensors="pt")
    mask = answer_mask(texts["input_ids"], texts["attention_mask"])
    shown = [
        "".join(c if own else "-" for c, own in zip(TOKENIZER.convert_ids_to_tokens(row), flags, strict=True))
        for row, flags in zip(texts["input_ids"], mask, strict=True)
    ]
    assert [each.split("<pad>")[0].rstrip("-") for each in shown] == [
        "---------good and long. ", "---It is sad. ", "---------bad. ", "---No way at all, never. ",
    ]  # fmt: skip
    assert not (mask & ~texts["attention_mask"].bool()).any()


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


def test_scores_count_where_they_are_read_also_if_the_end_token_fills_rows_up():
    model, end = reward_model(), TOKENIZER.eos_token_id
    head = model.score = LengthHead(model.score)
    model.config.pad_token_id = end
    ids = torch.tensor([[5, 6, 7, end], [5, 6, end, end]])
    head.keep(score_places(ids, end))
    rewards = model.train()(input_ids=ids, attention_mask=torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])).logits[:, 0]
    torch.testing.assert_close(rewards, head.views[0] + head.views[1])


def test_without_it_nothing_changes(tmp_path):
    found = []
    for settings in ({}, {"odin_coef": 0.0}, {"odin_coef": 1.0}):
        trainer = make_trainer(tmp_path, reward_model(), max_steps=2, **settings)
        trainer.train()
        found.append(weights(trainer))
    assert torch.equal(found[0], found[1])
    assert len(found[2]) > len(found[1])


@pytest.mark.parametrize(
    ("text", "message"),
    [("{}", "cannot be read as numbers named 'of_length'"), ('{"of_length": [1.0]}', "has 1 numbers named")],
)
def test_a_file_of_another_head_is_refused(tmp_path, text, message):
    (tmp_path / "truealign_head.json").write_text(text)
    with pytest.raises(UserError, match=message):
        load_terms(tmp_path, LengthHead(torch.nn.Linear(4, 1, bias=False)))


def test_models_that_cannot_have_it_are_refused(tmp_path):
    with pytest.raises(ValueError, match="`odin_coef` adds a term to the score head, and an adapter"):
        make_trainer(tmp_path, reward_model(), odin_coef=1.0, peft_config=SCALAR_LORA)
    model = reward_model()
    model.score = torch.nn.Sequential(model.score)
    with pytest.raises(ValueError, match="one linear layer `score` with one output"):
        make_trainer(tmp_path, model, odin_coef=1.0)


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
