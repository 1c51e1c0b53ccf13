import json
import math

import pytest
from pair_recipe import write_pair_recipe, write_rows
from typer.testing import CliRunner

from align.checks.launch import current_launch
from align.cli.app import app
from align.recipe.recipe import load_recipe
from align.services.prepared import prepare
from align.training.build import build_trainer

pytestmark = pytest.mark.slow


def test_a_recipe_trains_on_the_folder_that_the_command_wrote(tmp_path, monkeypatch, tiny_model_folder):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "datasets")
    rows = [{"prompt": f"Town {i} lies on a slow river. Which town?", "reference": f"Town {i}"} for i in range(6)]
    data, out = write_rows(tmp_path / "rows.jsonl", rows), tmp_path / "own-mistakes"
    sampling = ["--model", tiny_model_folder, "--max_new_tokens", 64, "--wording", "reference"]
    result = CliRunner().invoke(app, [*map(str, ["augment", data, "--method", "rrpo", "--out", out, *sampling])])
    assert result.exit_code == 0, result.output
    pairs = [json.loads(line) for line in (out / "pairs.jsonl").read_text().splitlines()]

    trainer, step = train_one_step(tmp_path, tiny_model_folder, max_length=256)
    assert len(trainer.train_dataset) == len(pairs) >= 4
    assert step["grad_norm"] > 0
    assert 0 < step["rrpo/marked_share"] <= 1


def test_a_recipe_trains_on_pairs_that_a_model_made_from_perturbed_images(tmp_path, monkeypatch):
    pytest.importorskip("PIL.Image", reason="needs the extra `vision`")
    from scenes import COLOURS, write_squares
    from tiny import tiny_vl_model_and_processor

    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "datasets")
    for part in tiny_vl_model_and_processor():
        part.save_pretrained(tmp_path / "vl")
    images = write_squares(tmp_path / "images")
    rows = [
        {"prompt": "Which colours?", "reference": colour, "images": images[: 1 + i % 2]}
        for i, colour in enumerate(COLOURS)
    ]
    data, out = write_rows(tmp_path / "rows.jsonl", rows), tmp_path / "own-mistakes"
    sampling = ["--model", tmp_path / "vl", "--max_new_tokens", 64, "--wording", "reference"]
    result = CliRunner().invoke(app, [*map(str, ["augment", data, "--method", "rrpo", "--out", out, *sampling])])
    assert result.exit_code == 0, result.output
    pairs = [json.loads(line) for line in (out / "pairs.jsonl").read_text().splitlines()]
    assert {len(pair["images"]) for pair in pairs} == {1, 2}

    trainer, step = train_one_step(tmp_path, tmp_path / "vl", max_length=None)
    assert [len(row["images"]) for row in trainer.train_dataset] == [len(pair["images"]) for pair in pairs]
    assert step["grad_norm"] > 0


def train_one_step(folder, model, **settings):
    """Trains on the pairs of a folder by a recipe that `align check` passes."""
    path = write_pair_recipe(
        folder, model, dataset={"path": "./own-mistakes"}, max_steps=1, save_strategy="no", **settings
    )
    recipe = load_recipe(path)
    checked = prepare(recipe, current_launch())
    assert checked.errors == []
    trainer = build_trainer(recipe, checked.data, checked.rewards)
    trainer.train()
    (step,) = [record for record in trainer.state.log_history if "loss" in record]
    assert math.isfinite(step["loss"])
    return trainer, step
