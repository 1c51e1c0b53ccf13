import json
import re

import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file
from some_recipes import QUESTIONS
from started import ROOT, metrics_of, train_and_kill

from align.errors import RunFolderError
from align.methods import METHODS
from align.report import build_report
from align.services.train import run

pytestmark = pytest.mark.slow

COLUMNS = [
    "trace",
    "first_answer",
    "second_answers",
    "permutation",
    "outcome",
    "answer_consistency",
    "variety",
    "gold",
]


@pytest.fixture
def answering_recipe(tiny_recipe, answering_model_folder):
    def write(**changes):
        settings = {"model_name_or_path": str(answering_model_folder), "max_completion_length": 16}
        return tiny_recipe(**settings | {"learning_rate": 1e-3} | changes)

    return write


def completions_of(folder, step):
    return pd.read_parquet(folder / "completions" / f"completions_{step:05d}.parquet")


@pytest.fixture
def pages(monkeypatch):
    """Lets a page be written after each step, and keeps every page of a run."""
    written = []

    def keep(*given, **kwargs):
        written.append(build_report(*given, **kwargs).read_text())
        return given[0] / "report.html"

    monkeypatch.setattr("align.report.build_report", keep)
    monkeypatch.setattr("align.training.callbacks.EVERY_SECONDS", 0.0)
    monkeypatch.setattr("align.training.callbacks.SHARE", 1.0)
    return written


def test_a_run_leaves_everything_one_needs_to_trust_it(answering_recipe, tmp_path, capsys, pages):
    path = answering_recipe()
    assert run(str(path), [], None) == 0
    folder = tmp_path / "run"
    assert {file.name for file in folder.iterdir()} >= {
        "recipe.yaml", "versions.json", "metrics.jsonl", "completions", "checkpoint-2", "checkpoint-4", "README.md",
        "report.html", "model.safetensors", "tokenizer.json",
    }  # fmt: skip
    page = (ROOT / "docs" / "reference" / "files-of-a-run.md").read_text(encoding="utf-8")
    left = {re.sub(r"\d+$", "N", file.name) for file in folder.iterdir()}
    assert sorted(left - set(re.findall(r"`([\w.-]+)(?:/[^`]*)?`", page))) == [], "the page of the files has them all"
    text = (folder / "recipe.yaml").read_text()
    recipe = yaml.safe_load(text)
    assert "\n# generation_batch_size: 8\n" in text, "what nobody wrote is there, too, and read by nobody"
    assert (recipe["learning_rate"], recipe["model_name_or_path"][0]) == (1e-3, "/")
    assert json.loads((folder / "versions.json").read_text())["data"]["train.jsonl"]
    metrics = metrics_of(folder)
    assert sorted(metrics) == [1, 2, 3, 4]
    own = {name for name in METHODS[QUESTIONS].console if name.startswith(QUESTIONS)}
    own.add(f"{QUESTIONS}/second_pass_share")
    assert {"reward", "rewards/variety/mean", *own} <= set(metrics[1])
    assert QUESTIONS.upper() in (folder / "README.md").read_text()
    assert str(folder / "report.html") in capsys.readouterr().out
    running = [page.partition("Still running: ")[2].partition(" in ")[0] for page in pages]
    assert running[0] == "step 1 of 4"
    assert set(running[1:-1]) <= {f"step {step} of 4" for step in (2, 3, 4)}
    assert running[-1] == ""
    assert len(pages) >= 2
    table = pd.concat(completions_of(folder, step) for step in metrics)
    assert set(COLUMNS) <= set(table.columns)
    assert len(table) == 4 * 8
    answered = table[table["first_answer"].notna() & (table["first_answer"] != "")]
    assert len(answered) > 16, "the model was taught to answer"
    assert set(answered["outcome"]) <= {"both", "first_only", "second_only", "neither"}
    assert (answered["trace"] == "x").any()
    assert set(answered["permutation"].map(len)) & {4}
    trained, start = (
        load_file(folder / "model.safetensors"),
        load_file(f"{recipe['model_name_or_path']}/model.safetensors"),
    )
    assert any(not torch.equal(trained[name], start[name]) for name in start)

    with pytest.raises(RunFolderError, match="already holds a finished run, up to checkpoint-4"):
        run(str(path), [], None)


def test_a_killed_run_resumes_to_the_end_of_an_uninterrupted_one(answering_recipe, tmp_path):
    steps = 8
    path = answering_recipe(max_steps=steps, save_steps=1, gradient_accumulation_steps=2)
    assert run(str(path), ["--output_dir", str(tmp_path / "whole")], None) == 0
    reached = train_and_kill(path, tmp_path / "run")
    assert reached < steps, "the run ended before it was killed"
    assert run(str(path), [], "auto") == 0

    expected, found = metrics_of(tmp_path / "whole"), metrics_of(tmp_path / "run")
    assert sorted(found) == list(range(1, steps + 1))
    for step, line in expected.items():
        assert found[step]["reward"] == pytest.approx(line["reward"], abs=1e-6), step
        assert found[step]["loss"] == pytest.approx(line["loss"], abs=1e-6), step
        assert found[step]["learning_rate"] == line["learning_rate"]
    for step in range(reached + 1, steps + 1):
        both = [completions_of(tmp_path / name, step)[["completion", *COLUMNS]] for name in ("whole", "run")]
        pd.testing.assert_frame_equal(*both)
    weights = [load_file(tmp_path / name / "model.safetensors") for name in ("whole", "run")]
    for name, weight in weights[0].items():
        torch.testing.assert_close(weights[1][name], weight, rtol=0, atol=1e-6)


def test_resuming_under_another_recipe_is_refused(answering_recipe, tmp_path):
    path = answering_recipe(max_steps=1, save_steps=1)
    assert run(str(path), [], None) == 0
    with pytest.raises(RunFolderError, match=r"`beta: 0.0`, now it is `0\.1`"):
        run(str(path), ["--beta", "0.1"], "auto")
