import json
import shutil

import pandas as pd
import pytest
from some_recipes import PAIRS
from tiny import tiny_model, tiny_tokenizer

from align.cli.app import app
from align.errors import RunFolderError
from align.evaluation.record import read_record, write_record

pytestmark = pytest.mark.slow


def run(*words):
    return app(["eval", *map(str, words)], standalone_mode=False) or 0


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two policies, and one whose tokenizer has a token more."""
    folder = tmp_path_factory.mktemp("policies")
    for seed, name in enumerate(("first", "second", "other")):
        tokenizer = tiny_tokenizer()
        if name == "other":
            tokenizer.add_tokens(["<more>"])
        tiny_model(seed=seed, vocabulary=len(tokenizer)).save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    return folder


@pytest.fixture
def data(tmp_path):
    rows = [
        {
            "prompt": f"Capital {i}? ",
            "chosen": f"It is Paris {i}.",
            "rejected": f"It is Rome {i}.",
            "group": "ab"[i % 2],
        }
        for i in range(10)
    ]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "pairs.jsonl"


def record_in(folder):
    return json.loads((folder / "evaluation.json").read_text())


def test_a_policy_is_compared_with_its_reference_and_by_a_judge(models, data, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["--model", models / "first", "--baseline", models / "second", "--data", data, "--out", out]
    words += ["--judge", models / "second", "--max_new_tokens", 6]
    assert run(*words) == 0
    assert "implicit_reward_accuracy/marked" in capsys.readouterr().out
    record = record_in(out)
    assert record["kind"] == "pairs"
    assert record["about"]["reference"]["path"] == str(models / "second")
    own, reference = (record["suites"]["pairs"][name] for name in ("first", "second"))
    assert reference["implicit_reward_accuracy"]["value"] == 0.5
    assert reference["kl_per_token/chosen"]["value"] == 0
    assert own["kl_per_token/chosen"]["value"] > 0
    assert own["logp_change/shared"]["n"] == 10
    judged = record["suites"]["judge"]["first"]
    assert set(judged) == {f"{name}/second" for name in ("judged_win_rate", "judged_ties", "judge_order_disagreement")}
    assert any("10 of 10 pairs are ties" in each["text"] for each in record["warnings"])

    items = pd.read_parquet(out / "items.parquet")
    first = items[items.model == "first"].set_index("id")
    assert len(items) == 20
    assert (first.margin > 0).mean() == own["implicit_reward_accuracy"]["value"]
    assert first["judged/second"].mean() == pytest.approx(judged["judged_win_rate/second"]["value"])
    assert set(record["paired"][0]["wins"]) == set(first.index[first.margin > 0])

    page = (out / "report.html").read_text()
    for text in ("Implicit-reward accuracy, marked tokens", "The judge prefers first to second", "Reference", "order"):
        assert text in page
    assert own["implicit_reward_accuracy_by_group/a"]["n"] == 5
    assert "Worst group of pairs" in page
    in_nats = page.split(">KL to the reference per token<")[1].partition("</figure>")[0]
    assert "value" in in_nats
    assert "%" not in in_nats
    assert "those won and lost against a baseline, then those in the wrong order" in page

    write_record(out / "again.json", read_record(out / "evaluation.json"))
    assert json.loads((out / "again.json").read_text()) == record
    (out / "again.json").write_text(json.dumps(record | {"about": record["about"] | {"with_marks": "x"}}))
    with pytest.raises(RunFolderError, match=r"`about\.with_marks`: Input should be a valid integer; got 'x'"):
        read_record(out / "again.json")

    assert run(*words) == 0
    again = record_in(out)
    assert again["suites"] == record["suites"]
    assert [model["cached_items"] for model in again["about"]["models"]] == [20, 20]  # pairs read, prompts answered


def test_without_a_baseline_the_judge_compares_with_the_chosen_response(models, data, tmp_path):
    words = ["--model", models / "first", "--reference", models / "second", "--data", data, "--max_rows", 4]
    assert run(*words, "--judge", models / "second", "--max_new_tokens", 6, "--out", tmp_path / "out") == 0
    record = record_in(tmp_path / "out")
    assert record["about"]["data"]["questions"] == 4
    assert "judged_win_rate/chosen" in record["suites"]["judge"]["first"]
    assert record["paired"] == []
    page = (tmp_path / "out" / "report.html").read_text()
    assert "4 pairs: those in the wrong order and in the right one." in page
    assert "Only 4 pairs were evaluated" in page


def test_the_reference_is_the_model_of_the_runs_recipe(models, data, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(models / "first", folder)
    recipe = (
        f"method: {PAIRS}\nmodel_name_or_path: {models / 'second'}\noutput_dir: {folder}\ndataset:\n  path: {data}\n"
    )
    (folder / "recipe.yaml").write_text(recipe)
    assert run("--model", folder, "--data", data, "--out", tmp_path / "out") == 0
    record = record_in(tmp_path / "out")
    assert record["about"]["reference"]["path"] == str(models / "second")
    assert record["about"]["judge"] is None
    assert "no response was asked for" in (tmp_path / "out" / "report.html").read_text()


def test_the_reference_of_an_adapter_is_its_base(models, data, tmp_path):
    """A fresh LoRA adapter is its base, to the last bit."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(models / "first")
    adapter = get_peft_model(base, LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM"))
    adapter.save_pretrained(tmp_path / "adapter")
    words = ["--model", tmp_path / "adapter", "--baseline", models / "second", "--data", data]
    assert run(*words, "--out", tmp_path / "out") == 0
    record = record_in(tmp_path / "out")
    assert record["about"]["reference"]["path"] == str(models / "first")
    own, other = (record["suites"]["pairs"][name] for name in ("adapter", "second"))
    assert own["implicit_reward_accuracy"]["value"] == 0.5
    assert own["kl_per_token/rejected"]["value"] == 0
    assert other["kl_per_token/rejected"]["value"] > 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "pairs need a reference model to compare with, and none is known: it is no adapter, and has"),
        (["--reference", "other"], "have different tokenizers"),
        (["--reference", "second", "--num_samples", "2"], "`--num_samples` does not go with pairs"),
    ],
)
def test_what_cannot_be_compared_is_refused(words, message, models, data, tmp_path, capsys):
    words = [models / word if word in ("other", "second") else word for word in words]
    assert run("--model", models / "first", "--data", data, "--out", tmp_path / "out", *words) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "Reading with" not in error
