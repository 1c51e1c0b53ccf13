"""Completions behind two prompts: neutral it is TRL's, the gradient is the formula's, and no split changes it."""

import random

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from rollouts import ON, TOKENIZER, by_length, gradient_and_batches, make_rows, make_trainer
from scaled_models import SCALED, scaled_model
from tiny import tiny_model
from trained import logged, weights
from trl import GRPOConfig as PlainConfig
from trl import GRPOTrainer

from align.errors import DataError
from align.experimental.consistency.answers import IDS, MASK
from align.experimental.consistency.loss import js_divergence, kl_divergence
from align.experimental.consistency.rules import consistency_families, other_prompt

LORA = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")


def trained(folder, **settings):
    """Builds a trainer, which sets the seed of what is sampled, and trains."""
    trainer = make_trainer(folder, **settings)
    trainer.train()
    return trainer


def without_weights_moved(**settings):
    return {"max_steps": 1, "learning_rate": 0.0} | settings


def test_at_0_the_other_settings_change_nothing(tmp_path):
    neutral = trained(tmp_path, consistency_families=["distractor"], consistency_divergence="kl")
    plain = trained(tmp_path, trainer=GRPOTrainer, config=PlainConfig)
    assert torch.equal(weights(neutral), weights(plain))
    assert logged(neutral, "consistency/divergence") == []


@pytest.mark.parametrize(("kind", "divergence"), [("js", js_divergence), ("kl", kl_divergence)])
def test_loss_and_gradient_are_those_of_the_formula_at_the_temperature(tmp_path, kind, divergence):
    """Each row is read alone and without padding, behind the prompt that seed, step, place and prompt draw."""
    settings = without_weights_moved(temperature=1.7, **ON | {"consistency_divergence": kind})
    trainer = make_trainer(tmp_path / "on", **settings)
    found, (batch,) = gradient_and_batches(trainer)
    parent, (same,) = gradient_and_batches(make_trainer(tmp_path / "off", **settings | {"consistency_coef": 0.0}))
    assert batch["completion_ids"].equal(same["completion_ids"])
    model, terms, lengths = tiny_model(vocabulary=len(TOKENIZER)).train(), [], set()
    for row in range(8):
        completion = batch["completion_ids"][row][batch["completion_mask"][row].bool()].tolist()
        prompts = [
            batch[ids][row][batch[mask][row].bool()].tolist()
            for ids, mask in (("prompt_ids", "prompt_mask"), (IDS, MASK))
        ]
        assert TOKENIZER.decode(prompts[1]).endswith(TOKENIZER.decode(prompts[0]))
        lengths |= {len(prompt) for prompt in prompts}
        clean, other = (
            model(torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1] / 1.7 for prompt in prompts
        )
        terms.append(divergence(clean, other))
    assert len(lengths) > 3
    mean = torch.cat(terms).mean()
    expected = torch.cat([part.flatten() for part in torch.autograd.grad(2.0 * mean, list(model.parameters()))])
    torch.testing.assert_close(found - parent, expected, atol=5e-6, rtol=1e-3)
    assert logged(trainer, "consistency/divergence") == pytest.approx([mean.item()], rel=1e-4)
    assert logged(trainer, "consistency/changed") == [1.0]


@pytest.mark.parametrize("family", SCALED)
def test_a_model_that_scales_its_logits_is_trained(tmp_path, family):
    trainer = make_trainer(tmp_path, model=scaled_model(family, len(TOKENIZER)), **without_weights_moved(**ON))
    _, (batch,) = gradient_and_batches(trainer)
    model, terms = scaled_model(family, len(TOKENIZER)).train(), []
    for row in range(8):
        clean, other = (
            model(
                torch.cat([batch[ids], batch["completion_ids"]], 1)[row : row + 1],
                attention_mask=torch.cat([batch[mask], batch["completion_mask"]], 1)[row : row + 1],
            ).logits[0, -batch["completion_ids"].shape[1] - 1 : -1]
            for ids, mask in (("prompt_ids", "prompt_mask"), (IDS, MASK))
        )
        terms.append(js_divergence(clean, other)[batch["completion_mask"][row].bool()])
    assert logged(trainer, "consistency/divergence") == pytest.approx([torch.cat(terms).mean().item()], rel=1e-3)


def test_a_draw_depends_on_seed_step_place_and_prompt(tmp_path):
    trainer = make_trainer(tmp_path, **without_weights_moved(**ON))
    drawn = []
    inner = trainer._other_prompt
    trainer._other_prompt = lambda *args: drawn.append((args[1]["prompt"], inner(*args))) or drawn[-1][1]
    trainer.train()
    families = consistency_families(["distractor"])
    expected = [
        other_prompt(families, {"prompt": prompt}, random.Random(f"{trainer.args.seed}/0/{place}/{prompt}"))
        for place, (prompt, _) in enumerate(drawn)
    ]
    assert [version for _, version in drawn] == expected
    assert len(set(expected)) > 2  # generations of one prompt have versions of their own


def test_one_moved_token_of_a_completion_changes_what_is_predicted_after_it(tmp_path):
    """What predicts the token itself stays, behind both prompts; states that are not shifted would show it there."""
    trainer = make_trainer(tmp_path, **without_weights_moved(**ON))
    _, (batch,) = gradient_and_batches(trainer)
    found = []
    inner = trainer._comparison.sum
    trainer._comparison.sum = lambda clean, other: found.append((clean, other)) or inner(clean, other)
    row = int(batch["completion_mask"].sum(1).argmax())
    length = int(batch["completion_mask"][row].sum())
    assert length >= 4
    one = {name: value[row : row + 1] if value.dim() else value for name, value in batch.items()}
    moved = one | {"completion_ids": one["completion_ids"].clone()}
    moved["completion_ids"][0, 2] = (moved["completion_ids"][0, 2] + 7) % len(TOKENIZER)
    with torch.no_grad():
        trainer._compute_loss(trainer.model, one)
        trainer._compute_loss(trainer.model, moved)
    for side in (0, 1):
        changed = (found[0][side] - found[1][side]).abs().amax(-1) > 1e-7
        assert changed.tolist() == [place > 2 for place in range(length)]


@pytest.mark.by_day("dapo")
@pytest.mark.parametrize("loss_type", ["dapo", "grpo"])
def test_the_split_of_a_batch_changes_nothing(tmp_path, loss_type):
    runs = []
    for size, passes in ((8, 1), (2, 4)):
        split = {"per_device_train_batch_size": size, "gradient_accumulation_steps": passes}
        runs.append(make_trainer(tmp_path, loss_type=loss_type, **ON, **split))
        runs[-1].train()
    for key in ("loss", "grad_norm", "consistency/divergence", "consistency/changed"):
        assert logged(runs[0], key) == pytest.approx(logged(runs[1], key), rel=1e-3, abs=1e-6), key
    torch.testing.assert_close(weights(runs[0]), weights(runs[1]), atol=1e-4, rtol=1e-3)


def test_a_generation_of_several_steps_is_weighed_as_one_of_one(tmp_path):
    """Two steps learn from one generation, and each weighs its tokens by half of the whole."""
    trainer = make_trainer(tmp_path, num_iterations=1, steps_per_generation=2, learning_rate=0.0, **ON)
    grads, batches = gradient_and_batches(trainer)
    own = [int((batch["completion_mask"].bool() & batch[MASK].any(1, keepdim=True)).sum()) for batch in batches]
    assert batches[0]["perturbed_total"] == batches[1]["perturbed_total"] == sum(own)
    assert grads.isfinite().all()


@pytest.mark.by_day("beta", "mask_truncated_completions", "num_iterations")
@pytest.mark.parametrize(
    "settings",
    [
        {"peft_config": LORA},
        {"beta": 0.1, "peft_config": LORA},
        {"gradient_checkpointing": True},
        {"mask_truncated_completions": True},
        {"num_iterations": 2},
        {"top_entropy_quantile": 0.5},
        {"pad_to_multiple_of": 8},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_trls_other_settings_go_on_working(tmp_path, settings):
    trainer = make_trainer(tmp_path, eval_dataset=None, **ON | settings)
    trainer.train()
    values = logged(trainer, "consistency/divergence")
    assert len(values) == 2
    assert all(0 <= value < 0.7 for value in values)
    assert any(values) or settings == {"mask_truncated_completions": True}  # then nothing of a row is learnt


def test_rows_that_nothing_changes_leave_the_parent(tmp_path):
    rows = [{"prompt": f"{i}"} for i in range(16)]  # one word has no space to widen
    runs = [trained(tmp_path, rows=rows, consistency_coef=coef) for coef in (1.0, 0.0)]
    assert logged(runs[0], "consistency/changed") == logged(runs[0], "consistency/divergence") == [0.0, 0.0]
    assert torch.equal(*map(weights, runs))


def test_rows_that_some_family_changes_are_compared_alone(tmp_path):
    rows = [{"prompt": f"{i}" if i % 2 else f"What is {i}?"} for i in range(16)]
    trainer = make_trainer(tmp_path, rows=rows, consistency_coef=1.0, max_steps=4)
    trainer.train()
    shares = logged(trainer, "consistency/changed")
    assert set(shares) <= {0.0, 0.5, 1.0}
    assert [value > 0 for value in logged(trainer, "consistency/divergence")] == [share > 0 for share in shares]


def test_a_family_that_fails_costs_its_rows_and_is_named_once(tmp_path, capfd):
    (tmp_path / "bad.py").write_text("def fails(version, rng):\n    return version['facts']\n")
    trainer = make_trainer(tmp_path, consistency_coef=1.0, consistency_families=[f"{tmp_path}/bad.py:fails"])
    trainer.train()
    assert logged(trainer, "consistency/changed") == [0.0, 0.0]
    said = capfd.readouterr().err
    assert said.count("Family `fails`, row ") == 1
    assert "completions of such rows are not compared" in said


def test_evaluations_are_the_parents(tmp_path):
    rows = make_rows(8)
    trainer = make_trainer(tmp_path, eval_dataset=Dataset.from_list(rows), per_device_eval_batch_size=8, **ON)
    found = trainer.evaluate()
    assert "eval_loss" in found
    assert not any("consistency" in key for key in found)


@pytest.mark.parametrize(
    ("settings", "kind", "words"),
    [
        ({"rows": [{"prompt": "a b", "image": "a.png"}]}, DataError, "compares prompts of text, and rows have images"),
        ({"consistency_families": ["option_order"]}, ValueError, "changes the options of a question"),
        ({"consistency_divergence": "jsd"}, ValueError, "must be one of js, kl"),
        ({"consistency_coef": -1.0}, ValueError, "must be at least 0, got -1.0"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_a_sentence(tmp_path, settings, kind, words):
    with pytest.raises(kind, match=words):
        make_trainer(tmp_path, **ON | settings)


def test_prompts_that_the_data_do_not_have_are_refused(tmp_path):
    def rollout(prompts, trainer):
        return {}

    class Rolled(type(make_trainer(tmp_path))):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, rollout_func=rollout, **kwargs)

    with pytest.raises(ValueError, match="with an environment or a `rollout_func`"):
        make_trainer(tmp_path, trainer=Rolled, **ON)
    assert by_length(["abc"]) == [0.0]
