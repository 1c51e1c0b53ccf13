import json
import math

from pair_recipe import write_pair_recipe, write_rows
from typer.testing import CliRunner

from align.checks.launch import current_launch
from align.checks.recipe import check_recipe
from align.cli.app import app
from align.configs.recipe import load_recipe
from align.trainers.build import build_trainer


def test_a_recipe_trains_on_the_folder_that_the_command_wrote(tmp_path, monkeypatch, tiny_model_folder):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "datasets")
    rows = [{"prompt": f"Town {i} lies on a slow river. Which town?", "reference": f"Town {i}"} for i in range(6)]
    data, out = write_rows(tmp_path / "rows.jsonl", rows), tmp_path / "own-mistakes"
    sampling = ["--model", tiny_model_folder, "--max_new_tokens", 64, "--wording", "reference"]
    result = CliRunner().invoke(app, [*map(str, ["augment", data, "--method", "rrpo", "--out", out, *sampling])])
    assert result.exit_code == 0, result.output
    pairs = [json.loads(line) for line in (out / "pairs.jsonl").read_text().splitlines()]

    settings = {"dataset": {"path": "./own-mistakes"}, "max_length": 256, "max_steps": 1, "save_strategy": "no"}
    path = write_pair_recipe(tmp_path, tiny_model_folder, **settings)
    recipe = load_recipe(path)
    checked = check_recipe(recipe, current_launch())
    assert checked.errors == []
    trainer = build_trainer(recipe, checked.data, checked.rewards)
    assert len(trainer.train_dataset) == len(pairs) >= 4
    trainer.train()
    (step,) = [record for record in trainer.state.log_history if "loss" in record]
    assert math.isfinite(step["loss"])
    assert step["grad_norm"] > 0
    assert 0 < step["rrpo/marked_share"] <= 1
