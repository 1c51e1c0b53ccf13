"""The step of LfU: what it moves, what it leaves as it was, and what it does not depend on."""

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, PrefixTuningConfig, PromptEncoderConfig, PromptTuningConfig
from tiny import tiny_model, tiny_tokenizer
from trained import logged, weights
from transformers import TrainingArguments
from trl import SFTConfig, SFTTrainer

from align.experimental.lfu.config import LfUConfig
from align.experimental.lfu.loss import ascent_scale, consistency_sum
from align.experimental.lfu.trainer import LfUTrainer

TOKENIZER = tiny_tokenizer()
LORA = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM", lora_dropout=0.1)
QUIET = {"bf16": False, "use_cpu": True, "report_to": "none", "save_strategy": "no", "disable_tqdm": True}
QUIET |= {"gradient_checkpointing": False}  # which has its own test, and is on in a neutral run
NO_ALPHA = {"lfu_coef": 5.0, "lfu_alpha": 0.0}
MODES = pytest.mark.parametrize("mode", ["params", "aux_lora"])


def make_rows(count=16, form="texts"):
    rows = [{"prompt": f"{i} + {i}? ", "completion": f"It is {2 * i}" + "." * (i % 5 + 1)} for i in range(count)]
    if form == "messages":
        return [{"messages": [{"role": role, "content": row[name]} for role, name in TURNS]} for row in rows]
    return rows


TURNS = (("user", "prompt"), ("assistant", "completion"))


def make_trainer(tmp_path, trainer=LfUTrainer, *, rows=None, peft_config=None, eval_rows=None, dtype=None, **settings):
    base = QUIET | {
        "output_dir": str(tmp_path),
        "max_steps": 2,
        "per_device_train_batch_size": 4,
        "learning_rate": 1e-2,
        "logging_steps": 1,
        "max_length": 64,
    }
    model = tiny_model(vocabulary=len(TOKENIZER))
    return trainer(
        model.to(dtype) if dtype else model,
        args=getattr(trainer, "_config", SFTConfig)(**base | settings),
        train_dataset=Dataset.from_list(rows or make_rows()),
        eval_dataset=eval_rows if isinstance(eval_rows, dict) else Dataset.from_list(eval_rows) if eval_rows else None,
        processing_class=TOKENIZER,
        peft_config=peft_config,
    )


@pytest.mark.parametrize(
    ("form", "settings", "own"),
    [
        ("texts", {"gradient_checkpointing": True}, {}),
        ("messages", {"gradient_accumulation_steps": 2}, NO_ALPHA),
        ("messages", {"packing": True, "per_device_train_batch_size": 1}, {}),
        ("texts", {"loss_type": "dft"}, NO_ALPHA),
    ],
    ids=["texts", "accumulated", "packed", "dft"],
)
def test_neutral_it_is_trls_sft_to_the_last_bit(tmp_path, form, settings, own):
    rows = make_rows(form=form)
    runs = []
    for trainer, more in ((SFTTrainer, {}), (LfUTrainer, own)):
        runs.append(make_trainer(tmp_path, trainer, rows=rows, eval_rows=rows[:4], **settings | more))
        runs[-1].train()
        runs[-1].evaluate()
    theirs, ours = runs
    assert len(logged(theirs)) == 2
    for key in ("loss", "grad_norm", "mean_token_accuracy", "entropy", "num_tokens", "eval_loss"):
        assert logged(ours, key) == logged(theirs, key), key
    assert torch.equal(weights(ours), weights(theirs))


def test_a_second_training_counts_tokens_on_as_in_trl(tmp_path):
    counts = []
    for trainer in (SFTTrainer, LfUTrainer):
        run = make_trainer(tmp_path, trainer, max_steps=1)
        for _ in range(2):
            run.train()
        counts.append(logged(run, "num_tokens")[-1])
    assert counts[0] == counts[1] > 0


def test_neutral_with_an_adapter_and_dropout_it_is_trls_sft_to_the_last_bit(tmp_path):
    ends = []
    for trainer in (LfUTrainer, SFTTrainer):
        run = make_trainer(tmp_path, trainer, peft_config=LORA)  # its dropout begins at the seed that is set here
        run.train()
        ends.append(weights(run))
    assert torch.equal(*ends)


@pytest.mark.by_day("full")
@pytest.mark.parametrize("peft_config", [None, LORA], ids=["full", "lora"])
def test_a_step_of_no_length_changes_nothing_but_the_log(tmp_path, peft_config):
    """Here LfU's own code runs, and adds zeros: not the short cut for neutral settings."""
    plain = make_trainer(tmp_path, SFTTrainer, peft_config=peft_config)
    plain.train()
    for mode in ("params", "aux_lora"):
        ours = make_trainer(tmp_path, lfu_coef=5.0, lfu_mode=mode, peft_config=peft_config)
        ours.args.lfu_alpha = 0.0
        ours.args.__class__ = type("Running", (LfUConfig,), {"is_sft": False})
        ours.train()
        assert logged(ours, "lfu/consistency") == [0.0] * 2, mode
        assert torch.equal(weights(ours), weights(plain)), mode


class Watched(LfUTrainer):
    """Keeps the SFT loss on the batch before and after the undesirable step, and weights around it."""

    def _learn_from_undesirable(self, batches):
        self.before, self.seen = weights(self), []
        step = self._undesirable
        aim, made = step.aim, step.made
        step.aim = lambda alpha, mean: self._note(batches, made, aim(alpha, mean))
        result = super()._learn_from_undesirable(batches)
        step.aim = aim
        self.after = weights(self)
        return result

    def _note(self, batches, made, length):
        with torch.no_grad():
            before = self._sft_loss(batches)
            with made():
                self.moved = weights(self)
                after = self._sft_loss(batches)
        self.seen.append((before, after))
        return length

    def _sft_loss(self, batches):
        return sum(self.model(**{k: v for k, v in batch.items() if k != "use_cache"}).loss.item() for batch in batches)


@pytest.mark.by_day("full-params", "lora-aux_lora")
@MODES
@pytest.mark.parametrize("peft_config", [None, LORA], ids=["full", "lora"])
def test_the_step_has_length_alpha_raises_the_loss_and_is_taken_back(tmp_path, mode, peft_config):
    trainer = make_trainer(
        tmp_path, Watched, lfu_coef=5.0, lfu_alpha=0.05, lfu_mode=mode, max_steps=1, peft_config=peft_config
    )
    trainer.train()
    ((before, after),) = trainer.seen
    assert after > before
    assert logged(trainer, "lfu/step_length") == pytest.approx([0.05], rel=1e-4)
    if mode == "params":
        assert (trainer.moved - trainer.before).norm().item() == pytest.approx(0.05, rel=1e-4)
    assert torch.equal(trainer.before, trainer.after)
    assert logged(trainer, "lfu/consistency")[0] > 0


@MODES
def test_the_weights_come_back_when_the_forward_pass_fails(tmp_path, mode):
    trainer = make_trainer(tmp_path, lfu_coef=5.0, lfu_mode=mode, max_steps=1)
    start, calls, read = weights(trainer), [], trainer._hidden_states

    def fail_after_the_step(batch):
        calls.append(batch)
        if len(calls) == 2:
            raise RuntimeError("out of memory")
        return read(batch)

    trainer._hidden_states = fail_after_the_step
    with pytest.raises(RuntimeError, match="out of memory"):
        trainer.train()
    assert torch.equal(weights(trainer), start)


def gradient_of(trainer):
    """Returns the gradient before the first update."""
    seen = []
    clip = trainer.accelerator.clip_grad_norm_

    def note(parameters, *args, **kwargs):
        trained = [p for p in trainer.model.parameters() if p.grad is not None]
        seen.append(torch.cat([p.grad.detach().flatten() for p in trained]))
        return clip(parameters, *args, **kwargs)

    trainer.accelerator.clip_grad_norm_ = note
    trainer.train()
    return seen[0]


def test_the_gradient_is_that_of_the_formula(tmp_path):
    """Written out with a functional call, which is right as long as nothing is computed twice."""
    settings = {"lfu_coef": 5.0, "lfu_alpha": 0.1, "lfu_layers": [-1], "gradient_checkpointing": False}
    trainer = make_trainer(tmp_path, max_steps=1, **settings)
    model = tiny_model(vocabulary=len(TOKENIZER)).train()
    found = gradient_of(trainer)
    batch = trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
    own = dict(model.named_parameters())
    labels = batch["labels"]
    mask = labels != -100
    sft = torch.nn.functional.cross_entropy(
        model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1].flatten(0, 1),
        labels[:, 1:].flatten(), ignore_index=-100,
    )  # fmt: skip
    gradients = dict(zip(own, torch.autograd.grad(sft, list(own.values()), retain_graph=True), strict=True))
    norm = torch.cat([gradient.flatten() for gradient in gradients.values()]).norm()
    moved = {name: weight + 0.1 * gradients[name] / norm for name, weight in own.items()}

    def hidden(parameters):
        inputs = {"attention_mask": batch["attention_mask"], "output_hidden_states": True}
        return torch.func.functional_call(model, parameters, (batch["input_ids"],), inputs).hidden_states[-1]

    distance = (hidden(own).detach() - hidden(moved))[mask].square().mean()
    loss = sft + 5.0 * distance
    expected = torch.autograd.grad(loss, list(own.values()))
    torch.testing.assert_close(found, torch.cat([part.flatten() for part in expected]), atol=1e-6, rtol=1e-4)
    assert logged(trainer, "lfu/consistency") == pytest.approx([distance.item()], rel=1e-4)
    assert logged(trainer)[0] == pytest.approx(loss.item(), rel=1e-4)


@MODES
def test_checkpointing_changes_no_gradient(tmp_path, mode):
    with_it, without = (
        gradient_of(make_trainer(tmp_path, lfu_coef=5.0, lfu_mode=mode, max_steps=1, gradient_checkpointing=on))
        for on in (True, False)
    )
    torch.testing.assert_close(with_it, without, atol=1e-7, rtol=1e-5)


@pytest.mark.by_day("lora")
@pytest.mark.parametrize(
    ("mode", "peft_config"),
    [("params", None), ("aux_lora", LoraConfig(r=4, task_type="CAUSAL_LM"))],
    ids=["full", "lora"],
)
def test_the_split_of_a_batch_changes_nothing(tmp_path, mode, peft_config):
    runs = []
    for size, passes in ((8, 1), (4, 2)):
        settings = {"per_device_train_batch_size": size, "gradient_accumulation_steps": passes, "max_steps": 2}
        runs.append(make_trainer(tmp_path, lfu_coef=5.0, lfu_mode=mode, peft_config=peft_config, **settings))
        runs[-1].train()
    for key in ("loss", "grad_norm", "lfu/consistency", "lfu/step_length"):
        assert logged(runs[0], key) == pytest.approx(logged(runs[1], key), rel=1e-3, abs=1e-6), key
    torch.testing.assert_close(weights(runs[0]), weights(runs[1]), atol=1e-4, rtol=1e-3)


def test_another_config_is_refused(tmp_path):
    args = SFTConfig(output_dir=str(tmp_path), **QUIET)
    with pytest.raises(TypeError, match="`args` must be a LfUConfig, got SFTConfig"):
        LfUTrainer(
            tiny_model(vocabulary=len(TOKENIZER)), args, train_dataset=Dataset.from_list(make_rows()),
            processing_class=TOKENIZER,
        )  # fmt: skip


@pytest.mark.parametrize("kind", [PromptTuningConfig, PrefixTuningConfig, PromptEncoderConfig])
def test_an_adapter_that_learns_a_prompt_is_refused(tmp_path, kind):
    learnt = kind(task_type="CAUSAL_LM", num_virtual_tokens=4)
    with pytest.raises(ValueError, match=f"{kind.__name__} learns a prompt .* Use LoRA, train all weights, or set"):
        make_trainer(tmp_path, lfu_coef=5.0, peft_config=learnt)
    if kind is PromptTuningConfig:
        make_trainer(tmp_path, peft_config=learnt)  # which is TRL's SFT


@pytest.mark.by_day("{}", "{'lfu_mode': 'aux_lora'}")
@pytest.mark.parametrize("settings", [{}, {"gradient_checkpointing": True}, {"lfu_mode": "aux_lora"}], ids=str)
def test_a_step_that_reaches_nothing_that_is_compared_is_said(tmp_path, caplog, settings):
    upper = LoraConfig(r=4, task_type="CAUSAL_LM", layers_to_transform=[1], target_modules=["q_proj"])
    make_trainer(tmp_path, lfu_coef=5.0, lfu_layers=[0], peft_config=upper, **settings).train()
    assert caplog.text.count("all that is trained lies above the layers that are compared") == 1
    caplog.clear()
    make_trainer(tmp_path, lfu_coef=5.0, peft_config=upper, max_steps=1, **settings).train()
    assert "does nothing" not in caplog.text


def test_plain_training_arguments_become_its_config_as_in_trl(tmp_path):
    losses = []
    for trainer in (SFTTrainer, LfUTrainer):
        args = TrainingArguments(output_dir=str(tmp_path), max_steps=1, logging_steps=1, **QUIET)
        model, rows = tiny_model(vocabulary=len(TOKENIZER)), Dataset.from_list(make_rows())
        run = trainer(model, args, train_dataset=rows, processing_class=TOKENIZER)
        run.train()
        losses.append(logged(run))
    assert losses[0] == losses[1] != []
    assert type(run.args) is LfUConfig


def test_packed_rows_and_messages_train(tmp_path):
    trainer = make_trainer(tmp_path, rows=make_rows(form="messages"), lfu_coef=5.0, packing=True, max_steps=2)
    trainer.train()
    assert all(value > 0 for value in logged(trainer, "lfu/consistency"))


def test_rows_of_like_length_make_a_batch_where_trl_is_asked_for_it(tmp_path):
    rows = [{"text": "so " * (1 + i % 4) + f"{i}."} for i in range(128)]
    spread = {}
    for name in ("random", "group_by_length"):
        trainer = make_trainer(tmp_path, rows=rows, train_sampling_strategy=name)
        lengths = [batch["attention_mask"].sum(1) for batch in trainer.get_train_dataloader()]
        spread[name] = sum(int(each.max() - each.min()) for each in lengths)
    assert spread["group_by_length"] < 0.7 * spread["random"]


def test_weights_in_16_bits_swallow_the_step_and_the_log_says_so(tmp_path):
    lengths = {}
    for mode in ("params", "aux_lora"):
        settings = {"lfu_coef": 5.0, "lfu_alpha": 1e-3, "lfu_mode": mode, "max_steps": 1, "dtype": torch.bfloat16}
        trainer = make_trainer(tmp_path, **settings)
        trainer.train()
        (lengths[mode],) = logged(trainer, "lfu/step_length")
    assert lengths["params"] < 0.8e-3
    assert lengths["aux_lora"] == pytest.approx(1e-3, rel=1e-3)


def test_the_loss_by_hand():
    h = torch.tensor([[[1.0, 2.0], [0.0, 0.0]]], requires_grad=True)
    moved = torch.tensor([[[2.0, 4.0], [9.0, 9.0]]], requires_grad=True)
    found = consistency_sum([h, h], [moved, moved.detach()], torch.tensor([[True, False]]))
    assert found.item() == pytest.approx((1 + 4) / 2)  # one token; both layers alike; mean over a width of two
    found.backward()
    assert moved.grad.tolist() == [[[0.5, 1.0], [0.0, 0.0]]]  # half of it: the other layer is a constant
    assert h.grad is None
    assert ascent_scale([torch.zeros(2)], alpha=0.1).item() == 0
    assert ascent_scale([torch.tensor([float("inf")])], alpha=0.1).item() == 0
