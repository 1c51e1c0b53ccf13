"""SFT as TRL has it: to the last bit, with what is ours beside it; and TRL's label smoothing by its formula."""

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from tiny import tiny_model, tiny_tokenizer
from trained import logged, weights
from transformers import TrainingArguments
from trl import SFTConfig, SFTTrainer

from align.methods.sft.config import SFTConfig as OurConfig
from align.methods.sft.trainer import CountedSFTTrainer

TOKENIZER = tiny_tokenizer()
LORA = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM", lora_dropout=0.1)
QUIET = {"bf16": False, "use_cpu": True, "report_to": "none", "save_strategy": "no", "disable_tqdm": True}
QUIET |= {"gradient_checkpointing": False}  # which is on in one of the runs below
TURNS = (("user", "prompt"), ("assistant", "completion"))


def make_rows(count=16, form="texts"):
    rows = [{"prompt": f"{i} + {i}? ", "completion": f"It is {2 * i}" + "." * (i % 5 + 1)} for i in range(count)]
    if form == "messages":
        return [{"messages": [{"role": role, "content": row[name]} for role, name in TURNS]} for row in rows]
    return rows


def make_trainer(tmp_path, trainer=CountedSFTTrainer, *, rows=None, peft_config=None, eval_rows=None, **settings):
    base = QUIET | {
        "output_dir": str(tmp_path),
        "max_steps": 2,
        "per_device_train_batch_size": 4,
        "learning_rate": 1e-2,
        "logging_steps": 1,
        "max_length": 64,
    }
    config = OurConfig if trainer is CountedSFTTrainer else SFTConfig
    return trainer(
        tiny_model(vocabulary=len(TOKENIZER)),
        args=config(**base | settings),
        train_dataset=Dataset.from_list(rows or make_rows()),
        eval_dataset=Dataset.from_list(eval_rows) if eval_rows else None,
        processing_class=TOKENIZER,
        peft_config=peft_config,
    )


@pytest.mark.parametrize(
    ("form", "settings"),
    [
        ("texts", {"gradient_checkpointing": True}),
        ("messages", {"gradient_accumulation_steps": 2}),
        ("messages", {"packing": True, "per_device_train_batch_size": 1}),
        ("texts", {"loss_type": "dft"}),
    ],
    ids=["texts", "accumulated", "packed", "dft"],
)
def test_it_is_trls_sft_to_the_last_bit(tmp_path, form, settings):
    rows = make_rows(form=form)
    runs = []
    for trainer in (SFTTrainer, CountedSFTTrainer):
        runs.append(make_trainer(tmp_path, trainer, rows=rows, eval_rows=rows[:4], **settings))
        runs[-1].train()
        runs[-1].evaluate()
    theirs, ours = runs
    assert len(logged(theirs)) == 2
    for key in ("loss", "grad_norm", "mean_token_accuracy", "entropy", "num_tokens", "eval_loss"):
        assert logged(ours, key) == logged(theirs, key), key
    assert torch.equal(weights(ours), weights(theirs))


def test_a_second_training_counts_tokens_on_as_in_trl(tmp_path):
    counts = []
    for trainer in (SFTTrainer, CountedSFTTrainer):
        run = make_trainer(tmp_path, trainer, max_steps=1)
        for _ in range(2):
            run.train()
        counts.append(logged(run, "num_tokens")[-1])
    assert counts[0] == counts[1] > 0


def test_with_an_adapter_and_dropout_it_is_trls_sft_to_the_last_bit(tmp_path):
    ends = []
    for trainer in (CountedSFTTrainer, SFTTrainer):
        run = make_trainer(tmp_path, trainer, peft_config=LORA)  # its dropout begins at the seed that is set here
        run.train()
        ends.append(weights(run))
    assert torch.equal(*ends)


def test_another_config_is_refused(tmp_path):
    args = SFTConfig(output_dir=str(tmp_path), **QUIET)
    with pytest.raises(TypeError, match=r"must be an SFTConfig of align\.methods\.sft\.config, got that of trl\."):
        CountedSFTTrainer(
            tiny_model(vocabulary=len(TOKENIZER)), args, train_dataset=Dataset.from_list(make_rows()),
            processing_class=TOKENIZER,
        )  # fmt: skip


def test_plain_training_arguments_become_its_config_as_in_trl(tmp_path):
    losses = []
    for trainer in (SFTTrainer, CountedSFTTrainer):
        args = TrainingArguments(output_dir=str(tmp_path), max_steps=1, logging_steps=1, **QUIET)
        model, rows = tiny_model(vocabulary=len(TOKENIZER)), Dataset.from_list(make_rows())
        run = trainer(model, args, train_dataset=rows, processing_class=TOKENIZER)
        run.train()
        losses.append(logged(run))
    assert losses[0] == losses[1] != []
    assert type(run.args) is OurConfig


def test_rows_of_like_length_make_a_batch_where_trl_is_asked_for_it(tmp_path):
    rows = [{"text": "so " * (1 + i % 4) + f"{i}."} for i in range(128)]
    spread = {}
    for name in ("random", "group_by_length"):
        trainer = make_trainer(tmp_path, rows=rows, train_sampling_strategy=name)
        lengths = [batch["attention_mask"].sum(1) for batch in trainer.get_train_dataloader()]
        spread[name] = sum(int(each.max() - each.min()) for each in lengths)
    assert spread["group_by_length"] < 0.7 * spread["random"]


def by_hand(rows, factor):
    """Returns (1 - e) * nll + e * mean over the vocabulary of the negative log-probs, over the completions' tokens."""
    model, terms = tiny_model(vocabulary=len(TOKENIZER)), []
    for row in rows:
        prompt = TOKENIZER(row["prompt"])["input_ids"]
        ids = torch.tensor([*prompt, *TOKENIZER(row["completion"])["input_ids"], TOKENIZER.eos_token_id])
        with torch.no_grad():
            found = -model(ids[None]).logits[0].log_softmax(-1)
        for place in range(len(prompt), len(ids)):
            scores = found[place - 1]
            terms.append((1 - factor) * scores[ids[place]] + factor * scores.mean())
    return torch.stack(terms).mean().item()


@pytest.mark.parametrize("factor", [0.0, 0.3])
def test_the_loss_is_the_formula(tmp_path, factor):
    rows = make_rows(4)
    trainer = make_trainer(tmp_path, rows=rows, max_steps=1, learning_rate=0.0, label_smoothing_factor=factor)
    trainer.train()
    assert trainer.state.log_history[0]["loss"] == pytest.approx(by_hand(rows, factor), abs=1e-4)
