"""SFT with consistency: neutral it is TRL's, its gradient is the formula's, and no split changes it."""

import re
from functools import partial

import pytest
import torch
from datasets import Dataset
from test_lfu import LORA, TOKENIZER, gradient_of, make_rows
from test_lfu import make_trainer as make_any
from tiny import tiny_model
from trained import logged, weights
from transformers import AutoConfig, AutoModelForCausalLM
from trl import SFTTrainer

from align.experimental.consistency.loss import before_answers, js_divergence, kl_divergence
from align.experimental.consistency.rules import consistency_families
from align.experimental.consistency.sft import ConsistentSFTTrainer, VersionMaker

make_trainer = partial(make_any, trainer=ConsistentSFTTrainer)
FAMILIES = ["whitespace", "distractor"]
ON = {"consistency_coef": 2.0, "consistency_families": FAMILIES, "max_length": None}


def test_at_0_the_other_settings_change_nothing(tmp_path):
    runs = []
    for trainer, own in ((None, {"consistency_families": FAMILIES, "consistency_divergence": "kl"}), (SFTTrainer, {})):
        settings = {"trainer": trainer} if trainer else {}
        runs.append(make_trainer(tmp_path, **settings, peft_config=LORA, **own))
        runs[-1].train()
    assert torch.equal(*map(weights, runs))
    assert logged(runs[0], "consistency/divergence") == []


@pytest.mark.parametrize(("kind", "divergence"), [("js", js_divergence), ("kl", kl_divergence)])
def test_loss_and_gradient_are_those_of_the_formula(tmp_path, kind, divergence):
    rows = make_rows(4)
    trainer = make_trainer(tmp_path, rows=rows, max_steps=1, consistency_divergence=kind, **ON)
    found = gradient_of(trainer)
    model, terms, tokens = tiny_model(vocabulary=len(TOKENIZER)).train(), [], []
    versions = VersionMaker(
        consistency_families(FAMILIES),
        [row["prompt"] for row in rows],
        lambda p: TOKENIZER(p)["input_ids"],
        None,
        trainer.args.seed,
    )
    for number, row in enumerate(rows):
        prompt = TOKENIZER(row["prompt"])["input_ids"]
        answer = [*TOKENIZER(row["prompt"] + row["completion"])["input_ids"][len(prompt) :], TOKENIZER.eos_token_id]
        changed = versions.change(number, prompt + answer, prompt + answer, 0)
        assert changed.ids[-len(answer) :] == answer
        assert changed.ids != prompt + answer
        clean, other = (model(torch.tensor([ids])).logits[0] for ids in (prompt + answer, changed.ids))
        clean, other = (each[-len(answer) - 1 : -1] for each in (clean, other))
        terms.append(divergence(clean, other))
        tokens.append(-clean.log_softmax(-1).gather(-1, torch.tensor(answer)[:, None]))
    mean = torch.cat(terms).mean()
    loss = torch.cat(tokens).mean() + 2.0 * mean
    expected = torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(model.parameters()))])
    torch.testing.assert_close(found, expected, atol=2e-6, rtol=1e-4)
    assert logged(trainer, "consistency/divergence") == pytest.approx([mean.item()], rel=1e-4)
    assert logged(trainer, "consistency/changed") == [1.0]
    assert logged(trainer)[0] == pytest.approx(loss.item(), rel=1e-4)


def test_checkpointing_changes_no_gradient(tmp_path):
    with_it, without = (
        gradient_of(make_trainer(tmp_path, max_steps=1, gradient_checkpointing=on, **ON)) for on in (True, False)
    )
    torch.testing.assert_close(with_it, without, atol=1e-7, rtol=1e-5)


def test_the_split_of_a_batch_changes_nothing(tmp_path):
    runs = []
    for size, passes in ((8, 1), (2, 4)):
        split = {"per_device_train_batch_size": size, "gradient_accumulation_steps": passes}
        runs.append(make_trainer(tmp_path, rows=make_rows(form="messages"), **ON, **split))
        runs[-1].train()
    for key in ("loss", "grad_norm", "consistency/divergence", "consistency/changed"):
        assert logged(runs[0], key) == pytest.approx(logged(runs[1], key), rel=1e-3, abs=1e-6), key
    torch.testing.assert_close(weights(runs[0]), weights(runs[1]), atol=1e-4, rtol=1e-3)


@pytest.mark.by_day("dft", "lora")
@pytest.mark.parametrize(
    "settings",
    [{"loss_type": "dft"}, {"dtype": torch.bfloat16}, {"peft_config": LORA}, {"completion_only_loss": False}],
    ids=["dft", "bf16", "lora", "prompts, too"],
)
def test_trls_other_settings_go_on_working(tmp_path, settings):
    trainer = make_trainer(tmp_path, eval_rows=make_rows(4), **ON | settings)
    trainer.train()
    assert all(0 < value < 0.7 for value in logged(trainer, "consistency/divergence"))
    assert trainer.evaluate()["eval_loss"] > 0
    assert not any("consistency" in key for key in trainer.state.log_history[-1])  # evaluations are SFT's


def test_an_evaluation_that_is_called_train_changes_nothing(tmp_path):
    others = {"train": Dataset.from_list([{"prompt": "?", "completion": "Who knows"}] * 3)}
    runs = [make_trainer(tmp_path, max_steps=1, eval_rows=held_out, **ON) for held_out in (None, others)]
    for run in runs:
        run.train()
    assert torch.equal(*map(weights, runs))
    assert runs[1].evaluate()["eval_train_loss"] > 0


def test_a_model_that_caps_its_logits_is_trained(tmp_path, monkeypatch):
    """The divergence of the first step is that of the model's own logits."""
    config = {
        "vocab_size": len(TOKENIZER),
        "final_logit_softcapping": 3.0,
        "attn_implementation": "eager",
        "head_dim": 8,
    }
    size = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    made = AutoConfig.for_model(
        "gemma2", **config, **size, num_key_value_heads=2, initializer_range=0.2, pad_token_id=0
    )
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(made)
    monkeypatch.setattr("test_lfu.tiny_model", lambda **given: model)
    trainer = make_trainer(tmp_path, rows=make_rows(4), max_steps=1, **ON | {"learning_rate": 0.0})
    terms = []
    extend = trainer._versions.extend

    def kept(batch, *args):
        plan = extend(batch, *args)
        with torch.no_grad():
            logits = model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        width = plan["compared"].shape[1]
        clean = before_answers(logits[plan["rows"]], plan["clean_starts"], width)
        other = before_answers(logits[-len(plan["rows"]) :], plan["starts"], width)
        terms.append(js_divergence(clean, other)[plan["compared"]])
        return plan

    trainer._versions.extend = kept
    trainer.train()
    assert logged(trainer, "consistency/divergence") == pytest.approx([terms[0].mean().item()], rel=1e-3)


def test_of_messages_the_last_answer_alone_is_compared(tmp_path):
    """TRL learns every token of a conversation; those of the prompt have no counterpart in the other one."""
    trainer = make_trainer(tmp_path, rows=make_rows(4, form="messages"), max_steps=1, **ON)
    seen = []
    inner = trainer._versions.extend
    trainer._versions.extend = lambda *args: seen.append(inner(*args)) or seen[-1]
    trainer.train()
    answers = [TOKENIZER(row["completion"])["input_ids"] for row in make_rows(4)]
    assert all(
        0 <= n - len(answer) <= 4
        for n, answer in zip(sorted(seen[0]["compared"].sum(1).tolist()), sorted(answers, key=len), strict=True)
    )


def test_rows_that_nothing_changes_leave_sft(tmp_path):
    rows = [{"prompt": f"{i}", "completion": "It is so."} for i in range(8)]  # one word has no space to widen
    runs = []
    for own in (ON | {"consistency_families": ["whitespace"]}, {"max_length": None}):
        runs.append(make_trainer(tmp_path, rows=rows, **own))
        runs[-1].train()
    assert logged(runs[0], "consistency/changed") == [0.0] * 2
    assert logged(runs[0], "consistency/divergence") == [0.0] * 2
    assert torch.equal(*map(weights, runs))


def test_it_brings_the_predictions_together(tmp_path):
    last = {}
    for coef in (1e-9, 20.0):
        trainer = make_trainer(tmp_path, max_steps=8, **ON | {"consistency_coef": coef, "learning_rate": 3e-3})
        trainer.train()
        last[coef] = sum(logged(trainer, "consistency/divergence")[-4:])
    assert last[20.0] < 0.7 * last[1e-9]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (Dataset.from_list([{"input_ids": [3, 4], "labels": [3, 4]}]), "needs a data set of texts or messages"),
        (Dataset.from_list([{"messages": [{"role": "assistant", "content": "x"}]}]), "do not end with an answer"),
    ],
)
def test_rows_without_a_prompt_are_refused(tmp_path, rows, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        make_trainer(tmp_path, rows=list(rows), **ON)
