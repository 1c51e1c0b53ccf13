import pytest
import torch
from grpo_updates import (
    distance,
    double_model,
    generated,
    gradient,
    long_prompts,
    make_trainer,
    packed,
)
from peft import LoraConfig
from tiny import tiny_vl_model_and_processor

from align.methods.grpo.trainer import GuardedGRPOTrainer
from align.methods.rollouts.zero_advantage import Window

LOSSES = ("grpo", "bnpo", "dr_grpo", "dapo", "cispo", "sapo", "luspo", "vespo")


def nothing_teaches(prompts, completions, **kwargs):
    return [1.0] * len(prompts)


def scores_in_doubles(model, input_ids, attention_mask, logits_to_keep, **kwargs):
    """Scores completions as `_get_per_token_logps_and_entropies` does, whose output head is of single precision."""
    logits = model(input_ids=input_ids, attention_mask=attention_mask).logits[:, -logits_to_keep - 1 : -1]
    logps = logits.log_softmax(-1)
    tokens, counted = input_ids[:, -logits_to_keep:, None], attention_mask[:, -logits_to_keep:]
    return logps.gather(-1, tokens)[..., 0] * counted, -(logps.exp() * logps).sum(-1) * counted, None


@pytest.fixture(scope="module")
def doubles(tmp_path_factory):
    """A trainer in fp64, and its batches with the columns that vLLM, tools and a second iteration add."""
    torch.manual_seed(0)
    trainer = make_trainer(tmp_path_factory.mktemp("double"), double_model())
    batches = generated(trainer)
    trainer._get_per_token_logps_and_entropies = scores_in_doubles
    rng = torch.Generator().manual_seed(0)
    for batch in batches:
        shape = batch["completion_ids"].shape
        mask = batch["completion_mask"]
        batch["old_per_token_logps"] = -5 * torch.rand(shape, generator=rng, dtype=torch.float64) * mask
        batch["sampling_per_token_logps"] = batch["old_per_token_logps"] - 0.1
        batch["importance_sampling_ratio"] = 1 - torch.rand(shape, generator=rng, dtype=torch.float64) * mask
        batch["tool_mask"] = (torch.rand(shape, generator=rng) > 0.3).int()
        batch["tool_mask"][0] = 0  # a completion of which all is a tool's
    return trainer, batches


@pytest.mark.by_day(*(f"{loss}-token" for loss in LOSSES), "grpo-sequence", "dapo-sequence")
@pytest.mark.parametrize("level", ["token", "sequence"])
@pytest.mark.parametrize("loss_type", LOSSES)
def test_the_gradient_is_that_of_all_rows(doubles, monkeypatch, loss_type, level):
    trainer, batches = doubles
    monkeypatch.setattr(trainer, "loss_type", loss_type)
    monkeypatch.setattr(trainer, "importance_sampling_level", level)
    monkeypatch.setattr(trainer, "off_policy_mask_threshold", 0.3)
    for use_vllm in (False, True):  # whether the ratio to the sampler counts
        monkeypatch.setattr(trainer, "use_vllm", use_vllm)
        # The advantages to which `bnpo` gives another weight are of single precision.
        assert distance(trainer, batches) < (1e-6 if loss_type == "bnpo" else 1e-12)
    assert trainer._cuts_left is False  # its positions count padding


def test_rows_that_teach_fill_the_last_batches(doubles):
    trainer, batches = doubles
    found = packed(trainer, batches)
    sizes = [len(batch["advantages"]) if batch else 0 for batch in found]
    assert sizes == sorted(sizes, key=bool)
    assert sizes[0] == 0
    counted = [(batch["completion_mask"] * batch["tool_mask"]).any(1) for batch in batches]
    taught = [(batch["advantages"] != 0) & each for batch, each in zip(batches, counted, strict=True)]
    assert sum(sizes) == sum(int(each.sum()) for each in taught)


def test_padding_is_left_out_on_both_sides(tmp_path):
    trainer = make_trainer(tmp_path)
    batches = generated(trainer)
    widest = {name: batches[0][name].shape[1] for name in ("prompt_ids", "completion_ids")}
    found = [batch for batch in packed(trainer, batches) if batch]
    assert max(batch["prompt_ids"].shape[1] for batch in found) < widest["prompt_ids"]
    assert trainer._cuts_left
    assert distance(trainer, batches) < 2e-6


@pytest.mark.by_day(
    "{'num_iterations': 2, 'loss_type': 'bnpo'}", "{'beta': 0.1}", "{'top_entropy_quantile': 0.5, 'max_steps': 1}"
)
@pytest.mark.parametrize(
    "settings",
    [
        {"num_iterations": 2, "loss_type": "bnpo"},
        {"steps_per_generation": 8, "loss_type": "grpo"},
        {"steps_per_generation": 2},
        {"beta": 0.1},
        {"entropy_coef": 0.1, "max_steps": 1},
        {"top_entropy_quantile": 0.5, "max_steps": 1},
    ],
    ids=str,
)
def test_steps_leave_the_weights_of_trl(tmp_path, tiny_model_folder, settings):
    weights, logs = [], []
    for knob in ("off", "auto"):
        trainer = make_trainer(tmp_path, str(tiny_model_folder), skip_without_advantage=knob, **settings)
        trainer.train()
        weights.append(torch.cat([weight.detach().flatten() for weight in trainer.model.parameters()]))
        logs.append(trainer.state.log_history[0])
    assert (weights[0] - weights[1]).abs().max() < 1e-6
    assert "entropy" in logs[1]  # in TRL's name
    for name in ("frac_reward_zero_std", "completions/mean_length", "reward"):
        assert logs[0][name] == logs[1][name]


def test_an_update_with_dropout_is_that_of_trl(tmp_path, tiny_model_folder, capsys):
    adapter, weights = LoraConfig(target_modules="all-linear", lora_dropout=0.5), []
    for knob in ("off", "auto"):
        settings = {"peft_config": adapter, "rows": long_prompts(), "skip_without_advantage": knob}
        trainer = make_trainer(tmp_path, str(tiny_model_folder), **settings)
        assert ("computed, too: dropout is drawn for all" in capsys.readouterr().err) == (knob == "auto")
        trainer.train()
        weights.append(torch.cat([weight.detach().flatten() for weight in trainer.model.parameters()]))
    assert torch.equal(*weights)
    assert "rollouts/read_tokens" not in trainer.state.log_history[0]


def test_an_adapter_gets_the_same_gradient(tmp_path):
    trainer = make_trainer(tmp_path, peft_config=LoraConfig(r=4, target_modules="all-linear"))
    assert distance(trainer, generated(trainer)) < 2e-6


@pytest.mark.by_day("idefics3")
@pytest.mark.parametrize("family", ["qwen2_5_vl", "idefics3"])
def test_rows_keep_their_images(tmp_path, family):
    pytest.importorskip("torchvision", reason="needs the extra `vision`")
    from scenes import COLOURS, square

    model, processor = tiny_vl_model_and_processor(family=family)
    rows = [
        {
            "prompt": [{"role": "user", "content": f"q {'many' * (i % 2)}"}],
            "images": [square(colour, place=(i, 3 * i)) for colour in list(COLOURS)[: 1 + i % 3]],
        }
        for i in range(8)
    ]
    trainer = make_trainer(tmp_path, model, rows=rows, tokenizer=processor)
    assert distance(trainer, generated(trainer)) < 2e-6


def test_where_nothing_teaches_a_row_without_weight_is_read(tmp_path):
    trainer = make_trainer(tmp_path, reward=nothing_teaches, weight_decay=0.0)
    before = [weight.detach().clone() for weight in trainer.model.parameters()]
    trainer.train()
    after = list(trainer.model.parameters())
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert all(weight.grad is None or not weight.grad.any() for weight in after)
    first = trainer.state.log_history[0]
    assert first["rollouts/trained_share"] == 0
    assert first["rollouts/trained_tokens"] == 0
    assert first["rollouts/floor_tokens"] == 0
    assert "entropy" not in first  # of no completion


@pytest.mark.parametrize("loss_type", ["grpo", "dapo", "bnpo"])
def test_with_a_kl_all_completions_keep_their_gradient(tmp_path, tiny_model_folder, loss_type):
    settings = {"beta": 0.5, "loss_type": loss_type, "per_device_train_batch_size": 8}
    trainer = make_trainer(tmp_path, str(tiny_model_folder), rows=long_prompts(), **settings)
    with torch.no_grad():  # away from the reference
        for weight in trainer.model.parameters():
            weight += 0.02 * torch.randn_like(weight)
    batches = generated(trainer)
    assert all((batch["ref_per_token_logps"] != 0).any() for batch in batches)
    assert trainer._packs == (loss_type != "bnpo")
    assert distance(trainer, batches) < 2e-6


class WithATerm(GuardedGRPOTrainer):
    def _compute_loss(self, model, inputs):
        self.rows.append(len(inputs.get("advantages", ())))
        return super()._compute_loss(model, inputs)


@pytest.mark.parametrize(
    ("says", "told"),
    [
        ({}, "WithATerm has a loss of its own"),
        ({"term_over_all": "a bonus"}, "a bonus"),
        ({"term_over_all": None}, ""),
    ],
    ids=["nothing", "a term", "no term"],
)
def test_a_loss_of_a_subclass_gets_all_completions_unless_it_says_that_it_need_not(tmp_path, capsys, says, told):
    kind = type("Mine", (WithATerm,), {"rows": []} | says)
    make_trainer(tmp_path, max_steps=1, kind=kind).train()
    assert (sum(kind.rows) == 16) == bool(told)
    assert ("Completions without an advantage are computed, too" in (said := capsys.readouterr().err)) == bool(told)
    assert told in said


def test_a_rank_with_less_left_reads_rows_without_weight(doubles, monkeypatch):
    trainer, batches = doubles
    monkeypatch.setattr(trainer, "loss_type", "grpo")
    window = Window(batches, "grpo")
    expected, found = gradient(trainer, window.batches(2)), gradient(trainer, window.batches(4))
    assert torch.equal(expected, found)
    assert all(len(batch["advantages"]) for batch in window.batches(4))


def test_no_batch_is_larger_than_those_of_trl(doubles):
    _, batches = doubles
    window = Window(batches, "dapo")
    most = batches[0]["prompt_ids"].numel() + batches[0]["completion_ids"].numel()
    for batch in filter(None, window.batches(2)):
        rows = [mask.sum(1).max() * len(mask) for mask in (batch["prompt_mask"], batch["completion_mask"])]
        assert sum(rows) <= most
        assert rows[1] <= batches[0]["completion_ids"].numel()


def batch_of(*lengths, width=16):
    """Makes a batch of completions with such lengths behind prompts of two tokens, all of which teach."""
    rows = len(lengths)
    ids = {"prompt_ids": torch.zeros(rows, 2), "completion_ids": torch.zeros(rows, width)}
    mask = (torch.arange(width) < torch.tensor(lengths)[:, None]).int()
    ones = {"prompt_mask": torch.ones(rows, 2), "advantages": torch.ones(rows)}
    return ids | ones | {"completion_mask": mask}


def test_rows_are_packed_by_length_into_few_batches():
    mixed = Window([batch_of(1, 16, 1, 16), batch_of(16, 1, 16, 1)], "dapo")
    assert mixed.packed == [[0, 2, 5, 7], [1, 3, 4, 6]]
    assert len(Window([batch_of(1, 1, 1, 1)] * 4, "dapo").packed) == 1
    assert len(Window([batch_of(16, 16, 16, 16)] * 4, "dapo").packed) == 4
    narrow = Window([batch_of(1, 16, 1, 16), batch_of(16, 1, 16, 1)], "dapo", 8)  # its prompts are too short to share
    assert narrow.packed == mixed.packed
    one_place = Window([batch_of(1, 1, 1, 16)], "dapo")  # a second batch would be one more than TRL's
    assert one_place.packed == [[0, 1, 2, 3]]


def test_off_is_trl(tmp_path):
    trainer = make_trainer(tmp_path, skip_without_advantage="off")
    trainer.train()
    assert {"entropy", "clip_ratio/high_mean"} <= trainer.state.log_history[0].keys()
    assert "rollouts/trained_share" not in trainer.state.log_history[0]
