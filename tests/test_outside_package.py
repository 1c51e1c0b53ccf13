"""A package that is not ours brings a method, a suite, a reward and an adapter, and no line of ours is changed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pair_recipe import fact_pairs, write_pair_recipe
from started import ROOT, start

from align import plugins
from align.data.loading import find_adapter
from align.data.pairs.preferences import load_preferences
from align.errors import DataError

OUTSIDE = Path(__file__).parent / "outside"
FORUM = "def read(row):\n    return {'prompt': row['q'], 'chosen': row['good'], 'rejected': row['bad']}\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("outside")


@pytest.fixture(scope="module")
def done(folder, tiny_model_folder):
    """Builds the package, installs it, and runs commands in one process."""
    pytest.importorskip("hatchling", reason="needs the extra `test`")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder / "dist")]
    subprocess.run(build, cwd=OUTSIDE, check=True, capture_output=True)
    (wheel,) = (folder / "dist").glob("*.whl")
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", str(folder / "site")]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True)
    rows = [
        {"thread": row["id"], "title": row["prompt"],
         "answers": [{"text": row["rejected"], "votes": 1}, {"text": row["chosen"], "votes": 5}]}
        for row in fact_pairs()
    ]  # fmt: skip
    settings = {"method": "simpo", "max_steps": 2, "beta": 2.0, "gamma": 0.3, "dataset": {"adapter": "forum"}}
    recipe = write_pair_recipe(folder, tiny_model_folder, rows, **settings)
    (folder / "said.jsonl").write_text("".join(json.dumps({"prompt": f"Say {i}."}) + "\n" for i in range(4)))
    words = ("--model", tiny_model_folder, "--data", folder / "said.jsonl", "--max_new_tokens", 4)
    commands = {
        "check": ("check", recipe, "--json"),
        "wrong": ("check", recipe, "--gama", 1),
        "low": ("check", recipe, "--gamma", -1),
        "keys": ("keys", "simpo"),
        "train": ("train", recipe, "--output_dir", folder / "run"),
        "suite": ("eval", "shouting", *words, "--loud", 0, "--out", folder / "shouted"),
        "reward": ("eval", *words, "--rewards", "politeness", "--out", folder / "polite"),
        "rewards": ("rewards", "list"),
    }
    found = subprocess.run(
        [sys.executable, ROOT / "tests" / "in_one_process.py"], capture_output=True, text=True, cwd=folder,
        input=json.dumps([[*map(str, command)] for command in commands.values()]),
        env=os.environ | {"PYTHONPATH": f"{folder / 'site'}:{ROOT}", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert found.returncode == 0, found.stderr[-3000:]
    results = dict(zip(commands, json.loads(found.stdout.splitlines()[-1]), strict=True))
    assert {name: each["crash"] for name, each in results.items() if each["crash"] != "NoneType: None\n"} == {}
    return results | {"stderr": found.stderr}


@pytest.mark.slow
def test_a_method_is_checked_in_its_own_words(done):
    findings = json.loads(done["check"]["output"])
    assert [finding["text"] for finding in findings if finding["level"] == "error"] == []
    (memory,) = [finding for finding in findings if finding["check"] == "memory"]
    assert "reference" not in memory["numbers"]["bytes"]
    assert "Unknown key `gama`" in done["wrong"]["output"]
    assert "Did you mean 'gamma'?" in done["wrong"]["output"]
    assert "`gamma` must be at least 0, got -1" in done["low"]["output"]
    assert "gamma" in done["keys"]["output"]


@pytest.mark.slow
def test_what_cannot_be_loaded_costs_one_warning_with_its_name(done):
    words = "The method lost of outside is left out: loading simpo:LOST failed with AttributeError"
    assert done["stderr"].count(words) == 1


@pytest.mark.slow
def test_it_trains_on_rows_of_an_adapter_and_its_page_and_card_speak_its_words(done, folder):
    run = folder / "run"
    assert done["train"]["code"] == 0, done["train"]["output"]
    assert "margin" in done["train"]["output"]  # beside the steps
    logged = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in logged if "simpo/margin" in line] == [1, 2]
    page, card = ((run / name).read_text() for name in ("report.html", "README.md"))
    for words in ("SIMPO", "Margin of means", "SimPO has its own finding", "<dt>gamma</dt><dd>0.3</dd>"):
        assert words in page
    for words in ("marked", "0.69", "reference"):
        assert words not in page.partition("<h2>Recipe")[0]
    assert "trained with **SimPO**" in card
    assert "| gamma | 0.3 |" in card


@pytest.mark.slow
def test_a_suite_and_a_reward_are_there_by_their_names(done, folder):
    assert done["suite"]["code"] == 0, done["suite"]["output"]
    record = json.loads((folder / "shouted" / "evaluation.json").read_text())
    assert record["suites"]["shouting"]["model"]["shouting"]["n"] == 4
    assert done["reward"]["code"] == 0, done["reward"]["output"]
    record = json.loads((folder / "polite" / "evaluation.json").read_text())
    assert "politeness" in json.dumps(record["suites"])
    assert "politeness" in done["rewards"]["output"]


@pytest.mark.slow
def test_without_it_nothing_of_it_is_known(done, folder):
    found = start("-m", "align", "check", str(folder / "recipe.yaml"))
    assert found.returncode == 1
    assert "`method` must be one of" in found.stderr + found.stdout


def test_an_adapter_may_be_a_function_in_a_file(tmp_path):
    (tmp_path / "mine.py").write_text(FORUM)
    (tmp_path / "rows.jsonl").write_text('{"q": "1 + 1?", "good": "2", "bad": "3"}\n')
    (pair,), _ = load_preferences(tmp_path / "rows.jsonl", adapter=f"{tmp_path / 'mine.py'}:read")
    assert (pair.prompt, pair.chosen, pair.rejected) == ("1 + 1?", "2", "3")
    (tmp_path / "rows.jsonl").write_text('{"q": "1 + 1?", "good": "2"}\n')
    with pytest.raises(DataError, match=r"has no column `bad`, which the adapter `.*mine\.py:read` needs"):
        load_preferences(tmp_path / "rows.jsonl", adapter=f"{tmp_path / 'mine.py'}:read")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("forum2", r"Unknown adapter 'forum2'\. Known adapters: ours\. One of your own is `\./mine\.py:function`"),
        ("./none.py:read", "Adapter './none.py:read': there is no such file"),
        ("{folder}/mine.py:other", "has no 'other'. It has: read"),
    ],
)
def test_an_adapter_that_is_not_there_is_named(name, sentence, tmp_path):
    (tmp_path / "mine.py").write_text(FORUM)
    with pytest.raises(DataError, match=sentence):
        find_adapter(name.format(folder=tmp_path), {"ours": dict})


def test_ours_win(monkeypatch):
    assert plugins.installed(plugins.METHODS, object, ours=["simpo", "lost"]) == {}
