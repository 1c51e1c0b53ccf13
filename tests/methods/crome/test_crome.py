import json

import pytest
import torch
from crome_trainer import PAIRWISE_LORA, SCALAR_LORA, TOKENIZER, make_rows, make_trainer
from started import start
from tiny import tiny_model
from trained import logged, weights
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, Gemma2Config, Gemma2ForCausalLM
from trl import RewardTrainer

from align.data.pairs.pairwise import pairwise_prompt
from align.methods.crome.loss import bradley_terry_loss, crome_loss, tie_loss


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crome") / "model"
    tiny_model(vocabulary=len(TOKENIZER)).save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)
    return str(folder)


ACCUMULATED = {"gradient_accumulation_steps": 2, "center_rewards_coefficient": 0.01}


@pytest.mark.by_day("messages-full-accumulated", "text-lora-accumulated")
@pytest.mark.parametrize(
    ("messages", "peft_config", "settings"),
    [(False, None, {}), (True, None, ACCUMULATED), (False, SCALAR_LORA, ACCUMULATED), (True, SCALAR_LORA, {})],
    ids=["text-full", "messages-full-accumulated", "text-lora-accumulated", "messages-lora"],
)
def test_without_ties_it_is_trls_reward_trainer_to_the_last_bit(
    tmp_path, model_folder, messages, peft_config, settings
):
    rows = make_rows(messages=messages)
    ours = make_trainer(tmp_path, model_folder, rows, peft_config=peft_config, share_prompts="off", **settings)
    ours.train()
    theirs = make_trainer(tmp_path, model_folder, rows, trainer=RewardTrainer, peft_config=peft_config, **settings)
    theirs.train()
    assert len(logged(ours)) == 3
    for key in ("loss", "accuracy", "margin", "mean_reward", "num_tokens"):
        assert logged(ours, key) == pytest.approx(logged(theirs, key), abs=1e-7), key
    assert logged(ours) == logged(theirs)
    assert torch.equal(weights(ours), weights(theirs))


def loss_and_gradient(trainer, loss):
    trainer.model.zero_grad()
    loss.backward()
    return loss.item(), torch.cat([p.grad.flatten() for p in trainer.model.parameters() if p.grad is not None])


@pytest.mark.parametrize("tie_coef", [0.0, 0.5])
def test_a_mixed_batch_has_the_loss_of_the_formula(tmp_path, model_folder, tie_coef):
    trainer = make_trainer(tmp_path, model_folder, make_rows(ties=True), tie_coef=tie_coef, max_steps=2)
    trainer.train()
    batch = next(iter(trainer.get_train_dataloader()))
    assert batch["tie"].any()
    assert not batch["tie"].all()
    found = loss_and_gradient(trainer, trainer.compute_loss(trainer.model, dict(batch)))
    rewards = trainer.model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, 0]
    margin = rewards[:4] - rewards[4:]
    expected = loss_and_gradient(trainer, crome_loss(margin, batch["tie"], tie_coef=tie_coef).mean())
    assert found[0] == pytest.approx(expected[0], abs=1e-6)
    torch.testing.assert_close(found[1], expected[1], atol=1e-6, rtol=1e-4)


def test_ties_alone_have_a_margin_and_no_accuracy(tmp_path, model_folder):
    rows = [row for row in make_rows(ties=True) if row["tie"]]
    trainer = make_trainer(tmp_path, model_folder, rows, max_steps=1)
    trainer.train()
    assert logged(trainer, "crome/tie_margin")[0] > 0
    assert "accuracy" not in trainer.state.log_history[0], "nothing here has an order"


def test_what_is_logged(tmp_path, model_folder):
    rows = make_rows(ties=True)
    trainer = make_trainer(tmp_path, model_folder, rows, eval_rows=rows, per_device_train_batch_size=16, max_steps=1)
    trainer.train()
    trainer.evaluate()
    record = trainer.state.log_history[0]
    ties = sum(row["tie"] for row in rows)
    assert record["crome/tie_share"] == pytest.approx(ties / 16)
    ordered = {name: [row for row in rows if row["source"] == name] for name in ("preference", "upgrade")}
    total = sum(record[f"crome/accuracy_{name}"] * len(part) for name, part in ordered.items())
    assert record["accuracy"] == pytest.approx(total / (16 - ties)), "accuracy is that of pairs with an order"
    margin = sum(record[f"crome/margin_{name}"] * len(part) for name, part in ordered.items())
    assert record["margin"] == pytest.approx(margin / (16 - ties), abs=1e-5)
    assert record["crome/tie_margin"] > 0
    assert "crome/accuracy_irrelevant_query" not in record
    evaluated = {"eval_accuracy", "eval_crome/tie_margin", "eval_crome/accuracy_upgrade"}
    assert evaluated <= set(trainer.state.log_history[-1])


@pytest.mark.parametrize(
    ("messages", "peft_config"), [(True, None), (False, PAIRWISE_LORA)], ids=["messages-full", "text-lora"]
)
def test_a_pairwise_model_reads_both_orders(tmp_path, model_folder, messages, peft_config):
    rows = make_rows(ties=True, messages=messages)
    trainer = make_trainer(
        tmp_path, model_folder, rows, model_type="pairwise", peft_config=peft_config, max_steps=2, tie_coef=0.5
    )
    trainer.train()
    batch = next(iter(trainer.get_train_dataloader()))
    found = trainer.compute_loss(trainer.model, dict(batch)).item()

    trainer.save_model(str(tmp_path / "saved"))
    saved = AutoModelForCausalLM.from_pretrained(tmp_path / "saved").eval()
    a, b = TOKENIZER.convert_tokens_to_ids(["A", "B"])
    losses = []
    for i, tie in enumerate(batch["tie"]):
        both = []
        for ids, mask in ((batch["input_ids"][j], batch["attention_mask"][j]) for j in (i, i + 4)):
            logits = saved(input_ids=ids[mask.bool()][None]).logits[0, -1]
            both.append(logits[a] - logits[b])
        loss = tie_loss if tie else bradley_terry_loss
        losses.append((0.5 if tie else 1.0) * (loss(both[0]) + loss(-both[1])) / 2)
    assert found == pytest.approx(torch.stack(losses).mean().item(), abs=1e-5)
    row = rows[0]
    question = pairwise_prompt(row["prompt"], row["chosen"], row["rejected"])
    text = TOKENIZER.decode(trainer.train_dataset[0]["chosen_ids"])
    assert text == (question if not messages else f"user: {question[0]['content']}\nassistant: ")


@pytest.mark.slow
def test_a_pairwise_model_learns(tmp_path, model_folder):
    rows = make_rows(64, ties=True)
    trainer = make_trainer(
        tmp_path, model_folder, rows, model_type="pairwise", max_steps=36, per_device_train_batch_size=8
    )
    trainer.train()
    loss = logged(trainer)
    assert sum(loss[-10:]) < sum(loss[:10])
    assert saved_config(trainer, tmp_path)["truealign_pairwise"] is True


def saved_config(trainer, tmp_path):
    import json

    trainer.save_model(str(tmp_path / "saved"))
    return json.loads((tmp_path / "saved" / "config.json").read_text())


def test_a_pairwise_model_with_capped_logits(tmp_path):
    config = Gemma2Config(
        vocab_size=len(TOKENIZER), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, pad_token_id=0, eos_token_id=1, bos_token_id=None,
        final_logit_softcapping=0.05, initializer_range=0.2,
    )  # fmt: skip
    torch.manual_seed(0)
    trainer = make_trainer(tmp_path, Gemma2ForCausalLM(config), model_type="pairwise")
    row = trainer.data_collator([trainer.train_dataset[0]])
    model = trainer.model.eval()
    capped = model(input_ids=row["input_ids"], attention_mask=row["attention_mask"]).logits
    trainer.save_model(str(tmp_path / "saved"))
    saved = AutoModelForCausalLM.from_pretrained(tmp_path / "saved").eval()
    a, b = TOKENIZER.convert_tokens_to_ids(["A", "B"])
    for i in range(2):
        logits = saved(input_ids=row["input_ids"][i][row["attention_mask"][i].bool()][None]).logits[0, -1]
        assert capped[i, 0].item() == pytest.approx((logits[a] - logits[b]).item(), abs=1e-5)


READ_AGAIN = """
import json, sys, torch
from peft import AutoPeftModelForSequenceClassification
from transformers import AutoModelForSequenceClassification, AutoTokenizer
def scores(folder, kind):
    load = AutoPeftModelForSequenceClassification if kind == "lora" else AutoModelForSequenceClassification
    model = load.from_pretrained(folder, **({"num_labels": 1} if kind == "lora" else {})).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.padding_side = "right"
    texts = [tokenizer.apply_chat_template(m, tokenize=False) for m in json.loads(sys.argv[1])]
    batch = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
    with torch.no_grad():
        return model(**batch).logits[:, 0].tolist()
print(json.dumps({kind: scores(folder, kind) for kind, folder in json.loads(sys.argv[2]).items()}))
"""
KINDS = {"full": None, "lora": SCALAR_LORA}


@pytest.fixture(scope="module")
def scores_and_read(tmp_path_factory, model_folder):
    """Trains a model of each kind; returns the scores of the trainers, and those of a fresh process for both."""
    rows, scores, folders = make_rows(8, messages=True), {}, {}
    for kind, peft_config in KINDS.items():
        folder = tmp_path_factory.mktemp(kind)
        trainer = make_trainer(folder, model_folder, rows, peft_config=peft_config)
        trainer.train()
        trainer.save_model(str(folder / "saved"))
        folders[kind] = str(folder / "saved")
        model = trainer.model.eval()
        batch = trainer.data_collator([trainer.train_dataset[i] for i in range(8)])
        with torch.no_grad():
            logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        scores[kind] = logits[:8, 0].tolist()
    messages = [row["prompt"] + row["chosen"] for row in rows]
    read = start("-c", READ_AGAIN, json.dumps(messages), json.dumps(folders))
    assert read.returncode == 0, read.stderr
    return scores, json.loads(read.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.nightly  # `test_distributed.py` reads what other processes have saved
@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_model_gives_the_same_scores_in_a_fresh_process(scores_and_read, kind):
    scores, read = scores_and_read
    assert read[kind] == pytest.approx(scores[kind], abs=1e-5)


@pytest.mark.by_day("scalar")
@pytest.mark.parametrize("model_type", ["scalar", "pairwise"])
def test_bf16_and_checkpointing_train(tmp_path, model_folder, model_type):
    trainer = make_trainer(
        tmp_path, model_folder, make_rows(ties=True), model_type=model_type, bf16=True, gradient_checkpointing=True,
        max_steps=2,
    )  # fmt: skip
    trainer.train()
    assert all(0 < loss < 10 for loss in logged(trainer))


def test_a_saved_scalar_model_is_a_plain_classifier(tmp_path, model_folder):
    trainer = make_trainer(tmp_path, model_folder, max_steps=1)
    trainer.save_model(str(tmp_path / "saved"))
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved")
    assert (model.config.num_labels, model.config.pad_token_id) == (1, TOKENIZER.pad_token_id)
