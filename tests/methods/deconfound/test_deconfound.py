import json

import numpy as np
import pytest
import torch
from datasets import Dataset
from observed_table import write_outcome_recipe
from peft import LoraConfig
from started import start
from tiny import tiny_reward_model, tiny_tokenizer
from trained import logged

from align.checks.rewards import check_reward_model
from align.methods.deconfound.config import DeconfoundConfig
from align.methods.deconfound.data import load
from align.methods.deconfound.trainer import DeconfoundTrainer, OutcomeCollator, prediction_metrics
from align.models.reward_model import RewardModel
from align.recipe.recipe import load_recipe
from align.training.build import build_trainer

TOKENIZER = tiny_tokenizer()


def build(tmp_path, model, **changes):
    dataset = {"max_rows": 96} | changes.pop("dataset", {})
    recipe = load_recipe(write_outcome_recipe(tmp_path, model, save_strategy="no", dataset=dataset, **changes))
    data = load(recipe)
    return build_trainer(recipe, data, []), data


def test_the_loss_is_the_squared_error_of_the_corrected_outcome_as_transformers_computes_it(
    tmp_path, tiny_model_folder
):
    trainer, _ = build(tmp_path, tiny_model_folder)
    batch = next(iter(trainer.get_train_dataloader()))
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "labels")}
    expected = trainer.model(**inputs).loss  # `problem_type="regression"`
    assert trainer.compute_loss(trainer.model, batch).item() == pytest.approx(expected.item(), abs=1e-6)
    assert trainer.model.config.problem_type == "regression"


def test_a_text_is_tokenised_as_the_reward_model_reads_it(tmp_path, tiny_model_folder):
    trainer, data = build(tmp_path, tiny_model_folder)
    model = RewardModel(trainer.model, trainer.processing_class)
    row = data.rows[0]
    assert trainer.train_dataset[0]["input_ids"] == list(model._tokens(row["prompt"], row["text"]))


def test_messages_are_tokenised_as_the_reward_model_reads_them(tmp_path, tiny_model_folder):
    trainer, data = build(tmp_path, tiny_model_folder, dataset={"conversational": True})
    row = data.rows[0]
    assert row["prompt"] == [{"role": "user", "content": "q0?"}]
    model = RewardModel(trainer.model, trainer.processing_class)
    assert trainer.train_dataset[0]["input_ids"] == list(model._tokens(row["prompt"], row["text"]))


def test_accumulated_batches_take_the_step_of_one_large_batch(tmp_path, tiny_model_folder):
    weights = []
    for size, accumulation in ((8, 1), (4, 2)):
        trainer, _ = build(
            tmp_path, tiny_model_folder, per_device_train_batch_size=size, gradient_accumulation_steps=accumulation,
            max_steps=2, optim="sgd",
        )  # fmt: skip
        trainer.train()
        weights.append(torch.cat([parameter.detach().flatten() for parameter in trainer.model.parameters()]))
    torch.testing.assert_close(weights[0], weights[1], rtol=0, atol=1e-5)


def test_it_learns_what_words_are_worth(tmp_path, tiny_model_folder):
    settings = {"max_steps": 40, "learning_rate": 5e-3, "per_device_train_batch_size": 16}
    dataset = {"eval_path": "./eval.csv", "max_rows": 240}
    trainer, _ = build(tmp_path, tiny_model_folder, dataset=dataset, **settings)
    trainer.train()
    errors = logged(trainer, "deconfound/mse")
    assert np.mean(errors[-10:]) < 0.7 * np.mean(errors[:10])
    assert trainer.evaluate()["eval_deconfound/correlation_corrected"] > 0.5


def test_the_metrics_are_those_of_the_predictions(tmp_path, tiny_model_folder):
    trainer, data = build(tmp_path, tiny_model_folder, dataset={"eval_path": "./eval.csv"}, eval_strategy="steps",
                          eval_steps=4)  # fmt: skip
    trainer.train()
    found = [record for record in trainer.state.log_history if "eval_loss" in record][-1]
    rows = data.eval_rows
    predictions = RewardModel(trainer.model, trainer.processing_class).score(
        [row["prompt"] for row in rows], [row["text"] for row in rows]
    )
    expected = prediction_metrics(
        predictions, np.array([row["label"] for row in rows]), np.array([row["outcome"] for row in rows]),
        np.array([row["confounders"] for row in rows]), ["popularity"],
    )  # fmt: skip
    assert set(expected) == {
        "deconfound/mse", "deconfound/correlation_corrected", "deconfound/correlation_outcome",
        "deconfound/correlation_popularity", "deconfound/target_popularity",
    }  # fmt: skip
    for name, value in expected.items():
        assert found[f"eval_{name}"] == pytest.approx(value, abs=1e-4), name


def test_confounders_keep_their_digits_in_float32():
    seconds = 1_700_000_000.0
    row = {"input_ids": [1], "label": 0.0, "outcome": seconds + 2}
    batch = OutcomeCollator(0, seconds, (seconds, 0.0))([row | {"confounders": [seconds + 3, 0.5]}])
    assert (batch["outcome"].tolist(), batch["confounders"].tolist()) == ([2.0], [[3.0, 0.5]])
    far = prediction_metrics(*np.float32([[1, 2, 4]] * 2), np.arange(3.0), np.float32([[1e30], [2e30], [4e30]]), ["c"])
    assert far["deconfound/correlation_c"] == pytest.approx(1)


def test_a_correlation_that_is_not_defined_is_left_out():
    found = prediction_metrics(np.ones(3), np.arange(3.0), np.arange(3.0), np.ones((3, 1)), ["c"])
    assert set(found) == {"deconfound/mse"}


KINDS = {"full": {}, "lora": {"use_peft": True, "lora_r": 4}}
READ_AGAIN = """
import json, sys
from align.models.reward_model import RewardModel
print(json.dumps([RewardModel.load(folder).score(*json.loads(sys.argv[1])).tolist() for folder in sys.argv[2:]]))
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory, tiny_model_folder):
    """Trains a model of each kind; returns by kind: folder, data, its scores, and those of a fresh process."""
    asked, saved = (["q0?", "q1?"], ["cat dog sun", "ice"]), {}
    for kind, settings in KINDS.items():
        folder = tmp_path_factory.mktemp(kind)
        trainer, data = build(folder, tiny_model_folder, **settings)
        trainer.train()
        trainer.save_model(str(folder / "saved"))
        scores = RewardModel(trainer.model, trainer.processing_class).score(*asked)
        saved[kind] = (folder / "saved", data, scores.tolist())
    result = start("-c", READ_AGAIN, json.dumps(asked), *(str(folder) for folder, *_ in saved.values()))
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout.splitlines()[-1])
    return {kind: (*each, scores) for (kind, each), scores in zip(saved.items(), found, strict=True)}


@pytest.mark.slow
@pytest.mark.nightly  # `test_distributed.py` reads what other processes have saved
@pytest.mark.parametrize("kind", KINDS)
def test_a_fresh_process_reads_the_saved_model_with_equal_scores(saved, kind):
    folder, data, expected, found = saved[kind]
    assert found == pytest.approx(expected, abs=1e-5)
    assert abs(expected[0] - expected[1]) > 1e-4
    assert json.loads((folder / "correction.json").read_text())["confounders"] == ["popularity"]
    scale = json.loads((folder / "reward_scale.json").read_text())
    assert (scale["mean"], scale["deviation"]) == (data.extra.scale.mean, data.extra.scale.deviation)


def test_the_saved_model_is_a_reward_for_other_recipes(tmp_path, tiny_model_folder):
    trainer, _ = build(tmp_path, tiny_model_folder)
    trainer.save_model(str(tmp_path / "saved"))
    levels = [finding.level for finding in check_reward_model("r", str(tmp_path / "saved"))]
    assert levels == ["ok"]


def test_rows_that_are_too_long_are_left_out_and_named(tmp_path, tiny_model_folder, caplog):
    trainer, data = build(tmp_path, tiny_model_folder)
    lengths = sorted(len(row["input_ids"]) for row in trainer.train_dataset)
    short, _ = build(tmp_path, tiny_model_folder, max_length=lengths[-1] - 1)
    assert 0 < len(short.train_dataset) < len(data.rows)
    assert f"of {len(data.rows)} training rows are longer than `max_length`" in caplog.text
    with pytest.raises(ValueError, match="All training rows are longer than `max_length` = 3"):
        build(tmp_path, tiny_model_folder, max_length=3)


def test_a_loaded_model_needs_a_tokenizer(tmp_path, tiny_model_folder):
    _, data = build(tmp_path, tiny_model_folder)
    rows, config = Dataset.from_list(data.rows), DeconfoundConfig(str(tmp_path / "x"), use_cpu=True)
    with pytest.raises(TypeError, match="`processing_class` must be a tokenizer"):
        DeconfoundTrainer(tiny_reward_model(), config, rows, correction=data.extra.correction, scale=data.extra.scale)
    trainer = DeconfoundTrainer(
        tiny_reward_model(), config, rows, correction=data.extra.correction, scale=data.extra.scale,
        processing_class=TOKENIZER,
        peft_config=LoraConfig(r=2, target_modules="all-linear", task_type="SEQ_CLS"),
    )  # fmt: skip
    trained = {name for name, parameter in trainer.model.named_parameters() if parameter.requires_grad}
    assert any("score" in name for name in trained)
    assert all("lora" in name or "score" in name for name in trained)
