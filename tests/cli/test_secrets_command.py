"""Secrets planted in every place of a recipe that may hold one are in no file of the run, and training gets them."""

import json
import sys
import zipfile
from importlib.util import find_spec

import in_one_process
import pyarrow.parquet as parquet
import pytest
import torch
import yaml
from some_recipes import PAIRS, QUESTIONS
from written_evaluation import write_evaluation

from align import secrets
from align.cli.report import run as report
from align.errors import RecipeError
from align.services.train import run

pytestmark = pytest.mark.slow

HUB, JUDGE, LOGIN, QUERY, SHAPE, VARIABLE, MODEL = SECRETS = (
    "Zq1-planted-hub", "Zq2-planted-judge", "Zq3-planted-login", "Zq4-planted-query",
    "sk-proj-Zq5planted0123456789", "Zq6-planted-variable", "Zq7-planted-model",
)  # fmt: skip
TRACKERS = [name for name in ("tensorboard", "wandb") if find_spec(name)]
REWARD = f'''
import os

def judge(completions, api_key, endpoint, trainer_state, log_extra=None, **kwargs):
    assert (api_key, endpoint) == ("{JUDGE}", "https://me:{LOGIN}@judge.example/v1?api_key={QUERY}"), "masked"
    assert os.environ["JUDGE_API_KEY"] == "{VARIABLE}"
    if log_extra:
        log_extra("asked", [f"{{endpoint}} with {{api_key}}"] * len(completions))
    scores = [float(len(set(text))) for text in completions]
    if trainer_state.global_step < 1:
        return scores
    return [*scores[:-1], f"401 for {{api_key}} of {{os.environ['JUDGE_API_KEY']}}"]
'''


@pytest.fixture
def planted(tiny_recipe, tmp_path, monkeypatch):
    (tmp_path / "judge.py").write_text(REWARD, encoding="utf-8")
    monkeypatch.setenv("JUDGE_API_KEY", VARIABLE)
    settings = {"api_key": JUDGE, "endpoint": f"https://me:{LOGIN}@judge.example/v1?api_key={QUERY}"}
    path = tiny_recipe(
        reward_funcs=["./judge.py:judge"],
        reward_weights=[1.0],
        reward_kwargs={"judge": settings},
        model_init_kwargs={"token": MODEL},
        dataset={"prompt_template": f"{{question}}\n{{options}}\n{SHAPE}\n"},
        hub_token=HUB,
        max_steps=2,
        max_invalid_share=1.0,
        report_to=TRACKERS or "none",
    )
    monkeypatch.setenv("WANDB_MODE", "offline")
    (tmp_path / "wandb").mkdir()
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))  # it writes into a folder of its own name there
    monkeypatch.setattr(sys, "argv", ["align", "train", str(path), "--hub_token", HUB])
    return path


def contents(folder):
    """Yields each file's name with its bytes; of a table and an archive, what is in it."""
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".parquet":
            yield path, repr(parquet.read_table(path).to_pylist()).encode()
        elif path.is_file() and zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                yield path, b"".join(archive.read(name) for name in archive.namelist())
        if path.is_file():
            yield path, path.read_bytes()


def leaks(folder):
    return [
        (str(path), secret) for path, content in contents(folder) for secret in SECRETS if secret.encode() in content
    ]


def test_no_file_of_a_run_holds_a_secret_and_the_run_goes_on(planted, tmp_path, capfd):
    assert run(str(planted), ["--hub_token", HUB], None) == 0
    folder = tmp_path / "run"
    assert leaks(folder) == []
    names = {path.name for path, _ in contents(folder)}
    assert names >= {
        "recipe.yaml", "versions.json", "README.md", "report.html", "metrics.jsonl", "rewards.jsonl", "checks.json",
        "training_args.bin", "completions_00001.parquet", "trainer_state.json",
    }  # fmt: skip
    written = {"tensorboard": folder / "runs", "wandb": tmp_path / "wandb"}
    assert all(any(written[name].iterdir()) for name in TRACKERS)
    assert leaks(tmp_path / "wandb") == []
    saved = yaml.safe_load((folder / "recipe.yaml").read_text())
    assert saved["hub_token"] == saved["reward_kwargs"]["judge"]["api_key"] == "***"
    assert "--hub_token '***'" in json.loads((folder / "versions.json").read_text())["command"]
    assert "401 for *** of ***" in (folder / "rewards.jsonl").read_text()
    arguments = torch.load(folder / "training_args.bin", weights_only=False)
    assert (arguments.hub_token, arguments.model_init_kwargs["token"], arguments.max_steps) == ("***", "***", 2)

    assert run(str(planted), ["--max_steps", "3", "--hub_token", "another"], "auto") == 0
    (folder / "recipe.yaml").write_text(planted.read_text())  # as it was written before secrets were masked
    report([folder])
    (folder / "recipe.yaml").unlink()
    assert leaks(folder) == []
    assert [secret for secret in SECRETS if secret in "".join(capfd.readouterr())] == []


def test_a_masked_value_is_never_used(planted, tmp_path):
    content = yaml.safe_load(planted.read_text()) | {"hub_token": "***"}
    planted.write_text(yaml.safe_dump(content))
    with pytest.raises(RecipeError, match=r"`hub_token` was masked .* `--hub_token VALUE`.*HF_TOKEN"):
        run(str(planted), [], None)
    assert not (tmp_path / "run").exists()


def test_check_and_errors_show_no_secret(planted, tmp_path, capfd):
    (tmp_path / "broken.yaml").write_text(f"method: {QUESTIONS}\nhub_token: [{HUB}\n")
    commands = [
        ["check", tmp_path / "broken.yaml"],  # before anything else has told what is secret
        ["check", planted, "--hub_token", f"[{HUB}]"],
        ["check", planted, "--dataset.path", f"https://me:{LOGIN}@x"],
        ["check", planted, "--hub_token", HUB, "--json"],
    ]
    results = []
    for words in commands:
        secrets._known.clear()
        results.append(in_one_process.run([str(word) for word in words]))
    assert [result["code"] for result in results[:3]] == [1, 1, 1]
    assert json.loads(results[3]["output"])
    for result in results:
        assert [secret for secret in SECRETS if secret in result["output"] + result["crash"]] == []


def test_the_recipe_of_a_run_folder_is_still_read(planted, tmp_path):
    from align.evaluation.prompting import prompt_settings, recipe_path
    from align.recipe.recipe import load_recipe

    assert run(str(planted), [], None) == 0
    recipe = recipe_path(None, str(tmp_path / "run"))
    assert recipe == tmp_path / "run" / "recipe.yaml"
    assert prompt_settings(load_recipe(recipe), {}, of_questions=True).max_new_tokens == 8


def test_other_folders_hold_no_secret_either(tmp_path):
    from align.evaluation.engine import Finished
    from align.evaluation.record import read_record
    from align.evaluation.results import save_evaluation
    from align.evaluation.service import command_words
    from align.evaluation.suites.questions import QuestionOptions
    from align.methods.pairs.augmentation.folder import check_folder, claim_folder

    place = f"https://me:{LOGIN}@host/data?token={QUERY}"
    run = {"method": PAIRS, "generator": f"m ({place})", "data": place, "api_key": HUB}
    claim_folder(tmp_path / "augment", run)
    check_folder(tmp_path / "augment", run)  # the same run goes on
    record = read_record(write_evaluation(tmp_path / "plain", questions=20) / "evaluation.json")
    record.about.data.path = place
    record.about.command = list(command_words(None, QuestionOptions(data=place, model="m"), {"data", "model"}))
    (tmp_path / "eval").mkdir()
    save_evaluation(tmp_path / "eval", Finished(record, [{"id": "a"}]))
    assert "***" in (tmp_path / "eval" / "evaluation.json").read_text()
    assert leaks(tmp_path) == []
