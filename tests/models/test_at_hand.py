"""A model of the hub is asked for once: what cannot be had is said within seconds, what is cached is used."""

import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hub_api import asked_by
from huggingface_hub import constants
from typer.testing import CliRunner
from written_questions import write_questions

from align.assets import shipped_recipes
from align.cli.app import app
from align.errors import UserError
from align.models.at_hand import require_model

NOBODY = "http://127.0.0.1:9"
SECONDS = 30  # a file of the hub is asked for again for 31 seconds


@contextmanager
def refusing(status, code=""):
    """Starts a hub that answers everything with one status; yields its address and the paths it was asked for."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(status)
            self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    return tmp_path / "hub"


def refusal(source, revision=None):
    with pytest.raises(UserError) as refused:
        require_model(source, revision)
    return str(refused.value)


@pytest.mark.parametrize(
    ("status", "code", "sentence"),
    [
        (401, "GatedRepo", "The model lab/one is gated: {} gives it to accounts that it knows. Accept its terms at"),
        (401, "RepoNotFound", "no folder lab/one is here, the hub's cache does not hold it, and {} answered 401."),
        (404, "RepoNotFound", "{} answered 404. Check the name. If it is private, the token may not read it: run"),
        (403, "", "The token may not read lab/one: {} answered 403."),
    ],
)  # fmt: skip
def test_what_the_hub_refuses_is_said_with_what_to_do(cache, monkeypatch, status, code, sentence):
    with refusing(status, code) as (address, asked):
        asked_by(monkeypatch, address)
        text = refusal("lab/one", "v2")
        assert sentence.replace("{}", address) in text
        assert text.endswith("run `hf auth login`, or set the variable HF_TOKEN.")
        assert asked == ["/lab/one/resolve/v2/config.json"]


@pytest.mark.slow
def test_a_data_set_that_is_gated_is_said_with_what_to_do(tmp_path):
    with refusing(401, "GatedRepo") as (address, _):
        known = {"HF_ENDPOINT": address, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path)}
        words = [sys.executable, "-m", "align", "rewards", "check", "accuracy", "--data", "lab/rows"]
        done = subprocess.run(words, env=os.environ | known, capture_output=True, text=True)
    assert done.returncode == 1
    assert "lab/rows" in done.stderr
    assert done.stderr.endswith(" Run `hf auth login`, or set the variable HF_TOKEN.\n"), done.stderr


@pytest.mark.parametrize("status", [200, 302, 404, 500])
def test_what_may_be_there_is_left_to_who_loads_it(cache, monkeypatch, status):
    with refusing(status, "EntryNotFound" if status == 404 else "") as (address, asked):
        asked_by(monkeypatch, address)
        require_model("lab/one")
        require_model("lab/one")
        assert len(asked) == 1


def test_a_hub_that_cannot_be_reached_is_told_at_once(cache, monkeypatch):
    asked_by(monkeypatch, NOBODY)
    began = time.monotonic()
    assert f"the hub's cache does not hold it, and {NOBODY} cannot be reached (" in refusal("lab/one")
    assert time.monotonic() - began < SECONDS
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "cannot be reached (HF_HUB_OFFLINE is set). Check the name, name the folder of a model" in refusal(
        "lab/one"
    )


def test_what_is_cached_is_used_without_asking_for_each_file(cache, monkeypatch, capsys):
    asked_by(monkeypatch, NOBODY)
    (cache / "models--lab--one" / "snapshots" / "abc").mkdir(parents=True)
    (cache / "models--lab--one" / "snapshots" / "abc" / "config.json").write_text("{}")
    require_model("lab/one")
    assert constants.HF_HUB_OFFLINE is True
    assert "lab/one is looked for in the cache." in capsys.readouterr().err


def test_what_is_no_hub_id_is_a_folder_that_is_not_there(tmp_path):
    for source in ("./none", str(tmp_path / "none"), "a/b/c", "~/none"):
        assert refusal(source) == f"There is no folder {source}. Name a model's folder that was saved, or a hub id."
    require_model(str(tmp_path))


def test_a_file_is_no_model_even_where_its_name_could_be_a_hub_id(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner").mkdir()
    for source in ("model.safetensors", "owner/model.gguf", str(tmp_path / "model.safetensors")):
        (tmp_path / source).write_bytes(b"")
        assert refusal(source).startswith(f"{source} is a file. Name a model's folder that was saved, with its config")


def test_a_recipe_is_told_from_a_model(tmp_path, monkeypatch):
    name, path = next(iter(shipped_recipes().items()))
    said = refusal(name)
    assert said.startswith(f"{name} is a shipped recipe and no model. Name the `output_dir` of a run of it")
    assert str(path) in said
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir(parents=True)
    require_model(name)


@pytest.mark.parametrize(
    "words",
    [
        "eval --model lab/one --data DATA --suite accuracy --out OUT",
        "eval --model MODEL --baseline lab/one --data DATA --suite accuracy --out OUT",
        "filter DATA --model lab/one --verifier format --out OUT.jsonl",
        "merge --base lab/one --tuned MODEL --out OUT",
        "train RECIPE --model_name_or_path lab/one --output_dir OUT",
        "train RECIPE --reward_funcs lab/one --reward_weights [1] --reward_kwargs {} --output_dir OUT",
        "rewards check format --data lab/one",
    ],
)
def test_every_command_says_so_within_seconds(cache, monkeypatch, tmp_path, tiny_recipe, tiny_model_folder, words):
    asked_by(monkeypatch, NOBODY)
    data = tmp_path / "prompts.jsonl"
    data.write_text('{"prompt": "Why?"}\n')
    data = data if words.startswith("filter") else write_questions(tmp_path / "questions.jsonl")
    given = {"DATA": data, "OUT": tmp_path / "out", "MODEL": tiny_model_folder, "RECIPE": tiny_recipe()}
    for name, value in given.items():
        words = words.replace(name, str(value))
    began = time.monotonic()
    result = CliRunner().invoke(app, words.split())
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit), result.exception
    assert "lab/one" in result.stderr
    assert f"{NOBODY} cannot be reached (" in result.stderr
    assert time.monotonic() - began < SECONDS
