import json
import re
import subprocess
import sys
import time

import numpy as np
import pytest
from some_recipes import DEMONSTRATIONS, PROMPTS
from started import ROOT, num_kept
from tiny import tiny_reward_model, tiny_tokenizer

from align.cli.app import app
from align.methods import METHODS
from align.recipe.recipe import load_recipe

MINE = """
def lenient(completions, **kwargs):
    return [float("<answer>A" in _text(each) or "<answer>B" in _text(each)) for each in completions]


def strict(completions, **kwargs):
    return [float("<answer>A" in _text(each)) for each in completions]


def graded(completions, **kwargs):
    return [2 * float("<answer>A" in _text(each)) for each in completions]


def levelled(completions, level, **kwargs):
    return [1.0] * len(completions)


def _text(completion):
    return completion if isinstance(completion, str) else completion[-1]["content"]
"""
SHORT = ("--num_samples", "4", "--max_new_tokens", "30")


def run(*words):
    return app(["filter", *map(str, words)], standalone_mode=False) or 0


@pytest.fixture
def data(tmp_path):
    rows = [{"id": f"p{i}", "prompt": f"q{i}?\nA. {i}\nB. 1\nC. 22\nD. 33\n", "answer": i} for i in range(12)]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path / "prompts.jsonl"


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def loaded(tmp_path, method, path, **keys):
    """Reads rows as a recipe of the method does."""
    content = {"method": method, "model_name_or_path": "m", "output_dir": "o", "dataset": {"path": str(path)}} | keys
    recipe = tmp_path / f"{method}.yaml"
    recipe.write_text(json.dumps(content))
    return METHODS[method].part("load")(load_recipe(recipe))


def test_accepted_samples_train_and_their_card_says_how_many_are_wrong(answering_model_folder, data, tmp_path, capsys):
    words = [data, "--model", answering_model_folder, "--verifier", f"{tmp_path}/mine.py:lenient", *SHORT]
    words += ["--audit", f"{tmp_path}/mine.py:strict"]
    out = tmp_path / "new" / "kept.jsonl"
    assert run(*words, "--out", out) == 0
    kept = lines(out)
    assert 0 < len(kept) < 48
    assert all(re.search("<answer>[AB]", row["completion"]) and row["verifier"] == 1 for row in kept)
    assert len({(row["prompt_id"], row["completion"]) for row in kept}) == len(kept)
    card = json.loads((tmp_path / "new" / "kept.filter.json").read_text())
    assert card["counts"]["rows"] == card["counts"]["samples"]["kept"] == len(kept)
    assert sum(card["counts"]["samples"].values()) == 48
    wrong = np.mean(["<answer>A" not in row["completion"] for row in kept])
    audit = card["audit"]
    assert audit["wrong_among_kept"]["value"] == pytest.approx(wrong)
    assert audit["true_positive_rate"]["value"] == 1  # what is strict is lenient
    assert audit["false_positive_rate"]["low"] < audit["false_positive_rate"]["value"]
    assert "false positive rate" in capsys.readouterr().out

    demonstrations = loaded(tmp_path, DEMONSTRATIONS, out)
    assert [(row["prompt"], row["completion"]) for row in demonstrations.rows] == [
        (row["prompt"], row["completion"]) for row in kept
    ]
    again = [*words[:-2], "--out", tmp_path / "again.jsonl", "--cache", tmp_path / "new" / "kept.cache"]
    assert run(*again) == 0
    assert "12 of 12 prompts were sampled before" in capsys.readouterr().err
    assert lines(tmp_path / "again.jsonl") == kept
    assert json.loads((tmp_path / "again.filter.json").read_text())["audit"] is None
    assert run(*words, "--out", out) == 1
    assert "that exists" in capsys.readouterr().err


def test_prompts_that_a_recipe_makes_are_made(answering_model_folder, tmp_path):
    (tmp_path / "recipe.yaml").write_text(
        f"method: {PROMPTS}\nmodel_name_or_path: m\nreward_funcs: [format]\ndataset:\n  path: x.jsonl\n"
        '  conversational: false\n  prompt_template: "q{n}?"\n'
    )
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"n": i}) + "\n" for i in range(3)))
    (tmp_path / "mine.py").write_text(MINE)
    words = [tmp_path / "rows.jsonl", "--model", answering_model_folder, "--recipe", tmp_path / "recipe.yaml"]
    words += ["--verifier", f"{tmp_path}/mine.py:lenient", "--pass_rate", "0:1", *SHORT]
    run(*words, "--out", tmp_path / "a.jsonl")
    assert [row["prompt"] for row in lines(tmp_path / "a.jsonl")] == ["q0?", "q1?", "q2?"]


def test_prompts_that_are_sometimes_solved_train_again(answering_model_folder, data, tmp_path):
    words = [data, "--model", answering_model_folder, "--verifier", f"{tmp_path}/mine.py:lenient", *SHORT]
    assert run(*words, "--pass_rate", "0:1", "--out", tmp_path / "all.jsonl") == 0
    every = lines(tmp_path / "all.jsonl")
    assert [row["id"] for row in every] == [f"p{i}" for i in range(12)]
    cache = ("--cache", tmp_path / "all.cache")
    assert run(*words, *cache, "--pass_rate", "0.1:0.6", "--out", tmp_path / "some.jsonl") == 0
    some = lines(tmp_path / "some.jsonl")
    assert some == [row for row in every if 0.1 <= row["pass_rate"] <= 0.6]
    assert 0 < len(some) < 12
    counts = json.loads((tmp_path / "some.filter.json").read_text())["counts"]
    assert counts["below"] == sum(row["pass_rate"] < 0.1 for row in every)
    assert counts["above"] == sum(row["pass_rate"] > 0.6 for row in every)
    assert counts["samples"]["accepted"] == round(4 * sum(row["pass_rate"] for row in every))
    prompts = loaded(tmp_path, PROMPTS, tmp_path / "some.jsonl", reward_funcs=["number_accuracy"])
    assert [(row["id"], row["answer"]) for row in prompts.rows] == [(row["id"], row["answer"]) for row in some]
    assert run(*words, *cache, "--pass_rate", "0.3:0.3", "--out", tmp_path / "none.jsonl") == 1


def test_messages_stay_messages_and_a_reward_model_may_accept(answering_model_folder, data, tmp_path):
    tiny_reward_model(vocabulary=len(tiny_tokenizer())).save_pretrained(tmp_path / "scalar")
    tiny_tokenizer().save_pretrained(tmp_path / "scalar")
    rows = [row | {"prompt": [{"role": "user", "content": row["prompt"]}]} for row in lines(data)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = [data, "--model", answering_model_folder, "--verifier", tmp_path / "scalar", *SHORT]
    assert run(*words, "--verifier_threshold", "-100", "--out", tmp_path / "kept.jsonl") == 0
    kept = lines(tmp_path / "kept.jsonl")
    assert kept[0]["completion"][0]["role"] == "assistant"
    assert len({row["verifier"] for row in kept}) > 2
    assert len(loaded(tmp_path, DEMONSTRATIONS, tmp_path / "kept.jsonl").rows) == len(kept)
    assert run(*words, "--verifier_threshold", "100", "--out", tmp_path / "none.jsonl") == 1
    assert (tmp_path / "none.jsonl").read_text() == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Say what is kept, with one of `--base REWARD_MODEL` (pairs) and `--model POLICY"),
        (["--base", "rm", "--model", "m"], "got both"),
        (["--model", "m"], "`--model` needs `--verifier`"),
        (["--model", "m", "--verifier", "format", "--tau", "0.1"], "`--tau` does not go with samples"),
        (["--base", "rm", "--pass_rate", "0.1:0.9"], "`--pass_rate` does not go with pairs"),
        (["--model", "m", "--verifier", "format", "--pass_rate", "0.9:0.1"], "must be LOW:HIGH"),
        (["--model", "m", "--verifier", "format", "--pass_rate", "half"], "got 'half'"),
        (["--model", "m", "--verifier", "format", "--right_from", "1"], "which is not given. Give both, or neither"),
        (["--model", "m", "--verifier", "format", "--verifier_threshold", "nan"], "must be a number, got nan"),
        (["--model", "m", "--verifier", "formt"], "Did you mean 'format'?"),
        (["--model", "m", "--verifier", "format", "--audit", "format"], "2 rewards are called `format`"),
        (["--model", "m", "--verifier", "format", "--temperature", "0"], "greedy responses would all be the same"),
        (["--model", "m", "--verifier", "mine.py:levelled"], "needs a column `level` that the data lacks"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(data, tmp_path, capsys, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    assert run(data, "--out", tmp_path / "kept.jsonl", *words) == 1
    error = " ".join(capsys.readouterr().err.split())
    assert message in error
    assert not (tmp_path / "kept.jsonl").exists()


def test_graded_gold_needs_to_say_what_is_right(answering_model_folder, data, tmp_path, capsys):
    words = [data, "--model", answering_model_folder, "--verifier", f"{tmp_path}/mine.py:lenient", *SHORT]
    words += ["--audit", f"{tmp_path}/mine.py:graded", "--out", tmp_path / "kept.jsonl"]
    assert run(*words) == 1
    assert "Say with `--right_from` from where a response is right" in capsys.readouterr().err
    assert run(*words, "--right_from", "2") == 0
    assert "12 of 12 prompts were sampled before" in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_where_it_was(answering_model_folder, data, tmp_path, capsys):
    rows = [{"id": f"p{i}", "prompt": f"q{i}?\nA. {i}\nB. 1\nC. 22\nD. 33\n"} for i in range(48)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = [data, "--model", answering_model_folder, "--verifier", f"{tmp_path}/mine.py:lenient", *SHORT]
    words += ["--batch_size", 1, "--out"]
    out, cache = tmp_path / "kept.jsonl", tmp_path / "kept.cache"
    command = [sys.executable, "-m", "align", "filter", *map(str, words), str(out)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 600
    while not num_kept(cache):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert not out.exists()
    assert run(*words, out) == 0
    before = int(re.search(r"(\d+) of 48 prompts were sampled before", capsys.readouterr().err)[1])
    assert 0 < before < 48
    assert run(*words, tmp_path / "whole.jsonl") == 0
    assert lines(tmp_path / "whole.jsonl") == lines(out)
