import html
import json
import shutil

import pandas as pd
import pytest
from some_recipes import QUESTIONS
from started import ROOT
from written_questions import write_questions

from align.cli.app import app

pytestmark = pytest.mark.slow

PROMPT = ("--prompt_template", "{question}\n{options}\n", "--no-conversational", "--max_new_tokens", "8")


def run(*words):
    return app(["eval", *map(str, words)], standalone_mode=False) or 0


@pytest.fixture(scope="module")
def models(answering_model_folder, tiny_model_folder, tmp_path_factory):
    """A policy that answers at random, and one that answers nothing."""
    folder = tmp_path_factory.mktemp("policies")
    shutil.copytree(answering_model_folder, folder / "practised")
    shutil.copytree(tiny_model_folder, folder / "untrained")
    return folder


@pytest.fixture
def data(tmp_path):
    path = write_questions(tmp_path / "questions.jsonl", count=24)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    lines = [json.dumps(row | {"group": ("common", "counter")[i % 3 == 0]}) for i, row in enumerate(rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_two_policies_on_the_same_questions(models, data, tmp_path, capsys):
    out = tmp_path / "out"
    words = [
        "--model",
        models / "practised",
        "--baseline",
        models / "untrained",
        "--data",
        data,
        "--out",
        out,
        *PROMPT,
    ]
    assert run(*words) == 0
    printed = capsys.readouterr().out
    for text in (
        "rotation_robust_accuracy",
        "practised - untrained",
        "items won and 0 lost (McNemar p",
        "no valid answer",
    ):
        assert text in printed, printed
    ends, _, where = printed.rpartition("\n\n")
    verdict = ends.rpartition("\n\n")[2].splitlines()
    assert "for practised, 0.0 % for untrained; a difference of" in verdict[0]
    assert where.startswith("All numbers are in")
    page = (out / "report.html").read_text()
    assert all(html.escape(sentence, quote=False) in page for sentence in verdict)
    record = json.loads((out / "evaluation.json").read_text())
    assert record["kind"] == "policy"
    assert list(record["suites"]) == ["accuracy", "consistency", "rotation", "reliance"]
    assert record["suites"]["accuracy"]["untrained"]["accuracy"]["value"] == 0
    assert [model["role"] for model in record["about"]["models"]] == ["model", "baseline"]
    assert record["about"]["profile"]["temperature"] == 0
    assert record["about"]["data"]["groups"] == {"common": 16, "counter": 8}
    assert {each["metric"] for each in record["comparisons"]} > {"accuracy", "trace_reliance"}
    items = pd.read_parquet(out / "items.parquet")
    assert len(items) == 48
    practised = items[items.model == "practised"].set_index("id")
    assert practised.correct.mean() == record["suites"]["accuracy"]["practised"]["accuracy"]["value"]
    wins = set(practised.index[practised.correct])
    assert set(record["paired"][0]["wins"]) == wins
    assert practised.prompt.iloc[0].startswith("q0?\nA. ")

    before = (out / "evaluation.json").read_text()
    assert run(*words) == 0
    again = json.loads((out / "evaluation.json").read_text())
    assert {**again, "about": None} == {**json.loads(before), "about": None}
    assert again["about"]["models"][0]["cached_items"] >= 48


def test_rows_with_columns_of_other_names_are_read_by_every_suite(models, tmp_path):
    """Without a suite their kind is told by our names; rows of a suite of its own are named in the same words."""
    rows = [{"stem": f"q{n}", "choices": ["a", "b"], "answerKey": "AB"[n % 2], "kind": "x"} for n in range(4)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    columns = "{question: stem, options: choices, answer: answerKey, group: kind}"
    words = ("--model", models / "practised", "--data", tmp_path / "rows.jsonl", *PROMPT)
    assert run(*words, "--out", tmp_path / "out", "--columns", columns, "--suite", "accuracy") == 0
    about = json.loads((tmp_path / "out" / "evaluation.json").read_text())["about"]
    assert about["data"]["groups"] == {"x": 4}
    assert "--columns" in about["command"]
    own = [{"q": f"q{n}", "wesen": f"core {n}", "spurious": ["s"]} for n in range(4)]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in own))
    named = ("--columns", "{question: q, core: wesen}", "--max_new_tokens", 4)
    words = ("core_advantage", "--model", models / "practised", "--data", tmp_path / "own.jsonl", *named)
    assert run(*words, "--out", tmp_path / "own") == 0
    assert json.loads((tmp_path / "own" / "evaluation.json").read_text())["about"]["data"]["questions"] == 4


def test_samples_and_the_shuffles_as_verifier(models, data, tmp_path):
    out = tmp_path / "out"
    words = ["--suite", "accuracy", "best_of_n", "--num_samples", 4, "--temperature", 1, "--num_shuffles", 2]
    assert run("--model", models / "practised", "--data", data, "--out", out, *words, *PROMPT) == 0
    record = json.loads((out / "evaluation.json").read_text())
    found = record["suites"]["best_of_n"]["practised"]
    oracle = [found[f"best_of_{n}/oracle"]["value"] for n in (1, 2, 4)]
    assert oracle == sorted(oracle)
    assert record["paired"] == []
    assert len(pd.read_parquet(out / "items.parquet")) == 24 * 4


def test_a_verifier_whose_scores_are_no_numbers_chooses_nothing(models, data, tmp_path, capsys):
    from tiny import tiny_reward_model, tiny_tokenizer

    broken = tiny_reward_model(vocabulary=len(tiny_tokenizer()))
    broken.score.weight.data.fill_(3e38)  # finite, and what it scores is not
    broken.save_pretrained(tmp_path / "broken")
    tiny_tokenizer().save_pretrained(tmp_path / "broken")
    words = ["--suite", "best_of_n", "--num_samples", 2, "--temperature", 1, "--max_rows", 4, *PROMPT]
    where = ["--data", data, "--out", tmp_path / "out", "--verifier", tmp_path / "broken"]
    assert run("--model", models / "practised", *where, *words) == 1
    assert "All 8 responses are given no finite number by the model." in capsys.readouterr().err


def test_a_judge_reads_traces_and_a_reward_model_chooses_samples(models, data, tmp_path):
    from tiny import tiny_reward_model, tiny_tokenizer

    tiny_reward_model(vocabulary=len(tiny_tokenizer())).save_pretrained(tmp_path / "scalar")
    tiny_tokenizer().save_pretrained(tmp_path / "scalar")
    words = ["--suite", "consistency", "best_of_n", "--num_samples", 2, "--temperature", 1, "--num_shuffles", 1]
    helpers = ["--judge", models / "untrained", "--verifier", tmp_path / "scalar"]
    out = tmp_path / "out"
    assert run("--model", models / "practised", "--data", data, "--out", out, *words, *helpers, *PROMPT) == 0
    record = json.loads((out / "evaluation.json").read_text())
    assert record["about"]["judge"]["path"] == str(models / "untrained")
    assert "cr_wa/judge" in record["suites"]["consistency"]["practised"]
    assert record["about"]["verifier"]["path"] == str(tmp_path / "scalar")
    items = pd.read_parquet(out / "items.parquet")
    assert items.judge_choice.notna().any()
    assert items.proxy.nunique() > 2


def test_the_prompt_comes_from_the_recipe_of_the_models_run(models, data, tmp_path):
    run_folder = tmp_path / "run"
    shutil.copytree(models / "practised", run_folder)
    recipe = (ROOT / "recipes" / QUESTIONS / "quickstart.yaml").read_text()
    (run_folder / "recipe.yaml").write_text(recipe.replace("max_completion_length: 12", "max_completion_length: 9"))
    words = ["--model", run_folder, "--data", data, "--suite", "accuracy"]
    assert run(*words, "--out", tmp_path / "out") == 0
    about = json.loads((tmp_path / "out" / "evaluation.json").read_text())["about"]
    assert about["recipe"] == str(run_folder / "recipe.yaml")
    profile = about["profile"]
    assert (profile["prompt_template"], profile["max_new_tokens"]) == ("{question}\n{options}", 9)
    assert run(*words, "--max_new_tokens", 7, "--out", tmp_path / "other") == 0
    profile = json.loads((tmp_path / "other" / "evaluation.json").read_text())["about"]["profile"]
    assert (profile["conversational"], profile["max_new_tokens"]) == (False, 7)


def test_a_model_that_changed_does_not_get_the_old_answers(models, data, tmp_path, capsys):
    changing = tmp_path / "changing"
    shutil.copytree(models / "practised", changing)
    words = ["--model", changing, "--data", data, "--suite", "accuracy", "--out", tmp_path / "out", *PROMPT]
    assert run(*words) == 0
    shutil.copy(models / "untrained" / "model.safetensors", changing / "model.safetensors")
    assert run(*words) == 1
    assert "holds answers of another model named 'changing'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "{model}"], "There is nothing to ask. Give `--data`"),
        (["--data", "{data}"], "Give `--model` (a policy) or `--reward_model`, one of the two."),
        (["--model", "{model}", "--data", "{data}", "--probes"], "`--probes` does not go with `--model`"),
        (["--reward_model", "{model}", "--data", "{data}", "--suite", "accuracy"], "`--suite` does not go with"),
        (["--model", "{model}", "--data", "{data}", "--suite", "luck"], "`suite` must be some of accuracy"),
        (["--model", "{model}", "--data", "{data}", "--backend", "jax"], "`backend` must be transformers or vllm"),
        (["--model", "{model}", "--data", "{optionless}"], "`options`"),
        (["--model", "{model}", "--baseline", "{model}", "--data", "{data}"], "The same model is given twice"),
        (["--model", "{model}", "--data", "{data}", "--think_tag", "<t>"], "`think_tag` must be a name"),
        (["--model", "{model}", "--data", "{data}", "--prompt_template", "no places"], "{question}"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(models, data, tmp_path, capsys, words, message):
    optionless = tmp_path / "optionless.jsonl"
    optionless.write_text('{"question": "q?", "answer": "A"}\n')
    names = {"model": models / "practised", "data": data, "optionless": optionless}
    assert (
        run(*[word.format(**names) if word.startswith("{") else word for word in words], "--out", tmp_path / "o") == 1
    )
    error = capsys.readouterr().err
    assert error.startswith("Error: ")
    assert message in error
    assert not (tmp_path / "o" / "evaluation.json").exists()


def test_an_evaluation_does_not_write_over_the_report_of_a_run(models, data, tmp_path, capsys):
    out = tmp_path / "run"
    out.mkdir()
    (out / "metrics.jsonl").write_text('{"step": 1, "loss": 1.0}\n')
    (out / "report.html").write_text("of the run")
    assert run("--model", models / "untrained", "--data", data, "--out", out, "--suite", "accuracy", *PROMPT) == 0
    assert (out / "report.html").read_text() == "of the run"
    assert (out / "evaluation" / "report.html").is_file()
    assert not (out / "evaluation.json").exists()
    assert f"the evaluation goes to {out / 'evaluation'}" in "".join(capsys.readouterr()).replace("\n", "")
