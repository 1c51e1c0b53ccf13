import importlib.util
import json

import pytest
from started import ROOT, start
from tiny import tiny_model, tiny_reward_model, tiny_tokenizer

from align.evaluation.record import read_record

SCRIPT = ROOT / "scripts" / "evaluate.py"
SECTION = {"alpacaeval-easy": "chat", "llmbar-natural": "chat-hard", "donotanswer": "safety", "hep-go": "reasoning"}


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("evaluate", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two scalar reward models and a pairwise one, each with its tokenizer."""
    folder = tmp_path_factory.mktemp("models")
    pairwise = tiny_model(max_position_embeddings=2048)
    pairwise.config.truealign_pairwise = True
    for name, model in (("a", tiny_reward_model(seed=0)), ("b", tiny_reward_model(seed=1)), ("p", pairwise)):
        model.save_pretrained(folder / name)
        tiny_tokenizer().save_pretrained(folder / name)
    return folder


@pytest.fixture
def data(tmp_path):
    rows = [
        {"id": i, "prompt": f"{subset} {i}?", "chosen": f"right {i}", "rejected": f"wrong, {i * i}", "subset": subset}
        for i in range(6)
        for subset in SECTION
    ]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def candidates(tmp_path):
    rows = [{"id": f"c{i}", "prompt": f"q{i}?", "responses": list("abcd"), "quality": [0, 1, 2, i]} for i in range(5)]
    path = tmp_path / "candidates.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_accuracy_by_section_with_a_baseline(script, models, data, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["--reward_model", models / "a", "--baseline", models / "b", "--data", data, "--out", out]
    assert script.main([*map(str, words)]) == 0
    record = read_record(out / "evaluation.json")
    assert record.names == ["a", "b"]
    assert (record.about.data.path, record.about.data.questions) == (str(data), 24)
    summary = record.summary("a")
    assert set(summary) == {"accuracy", "reward_bench", *(f"accuracy/{section}" for section in SECTION.values())}
    assert summary["accuracy"].n == 24
    lines = read_lines(out / "pairs.jsonl")
    assert summary["accuracy"][0] == pytest.approx(sum(line["margin"]["a"] > 0 for line in lines) / 24)
    difference = record.differences()["a", "b"]["accuracy"].value
    assert difference == pytest.approx(summary["accuracy"].value - record.summary("b")["accuracy"].value)
    assert record.scores["a"].scored.texts_in_template
    printed = capsys.readouterr().out
    for text in ("Accuracy by category", "chat-hard", "a - b", "`--prompt_format data`", "evaluation.json"):
        assert text in printed


def test_the_report_can_show_what_was_written(script, models, data, tmp_path):
    from align.report.evaluation.page import evaluation_view

    out = tmp_path / "out"
    words = ["--reward_model", models / "a", "--baseline", models / "b", "--data", data, "--out", out]
    script.main([*map(str, words)])
    view = evaluation_view(out, read_record(out / "evaluation.json"))
    assert [row[:2] for row in view.models.rows] == [(name, str(models / name)) for name in ("a", "b")]
    assert " of a " in view.verdict[0] or " for a" in view.verdict[0]


def test_prompts_stay_texts_if_asked(script, models, data, tmp_path):
    margins = {}
    for form in ("auto", "data"):
        out = tmp_path / form
        words = ["--reward_model", models / "a", "--data", data, "--prompt_format", form, "--out", out]
        assert script.main([*map(str, words)]) == 0
        margins[form] = [line["margin"]["a"] for line in read_lines(out / "pairs.jsonl")]
    assert margins["auto"] != margins["data"]


@pytest.mark.parametrize("name", ["a", "p"])
def test_best_of_n_writes_what_is_chosen(script, models, candidates, tmp_path, name):
    out = tmp_path / "out"
    words = ["--reward_model", models / name, "--best_of_n", candidates, "--out", out]
    assert script.main([*map(str, words)]) == 0
    chosen = read_lines(out / "best_of_n.jsonl")
    assert [row["id"] for row in chosen] == [f"c{i}" for i in range(5)]
    for row in chosen:
        best = row["chosen"][name]
        assert best["response"] == "abcd"[best["index"]]
        assert best["scores"] is None or max(best["scores"]) == best["scores"][best["index"]]
    summary = read_record(out / "evaluation.json").summary(name)
    assert list(summary) == ["best_of_1", "best_of_2", "best_of_4", "best_of_4/oracle"]
    assert summary["best_of_4/oracle"][0] == pytest.approx((2 + 2 + 2 + 3 + 4) / 5)
    mean = sum([0, 1, 2, i][row["chosen"][name]["index"]] for i, row in enumerate(chosen)) / 5
    if name == "a":
        assert summary["best_of_4"][0] == pytest.approx(mean)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "There is nothing to evaluate on. Give `--data`, `--best_of_n` or both."),
        (["--data", "nowhere.jsonl"], "There is no file nowhere.jsonl"),
        (["--best_of_n", "{candidates}", "--probes"], "`--probes` needs pairs. Give `--data`."),
        (["--data", "{data}", "--baseline", "{model}"], "The same model is given twice"),
        (["--data", "{data}", "--max_length", "3"], "All 24 pairs are too long"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(script, models, data, candidates, tmp_path, capsys, words, message):
    names = {"data": data, "candidates": candidates, "model": models / "a"}
    words = [word.format(**names) for word in words]
    assert script.main(["--reward_model", str(models / "a"), "--out", str(tmp_path / "out"), *words]) == 1
    error = capsys.readouterr().err
    assert f"Error: {message}" in error
    assert not (tmp_path / "out" / "evaluation.json").exists()


def test_a_quality_that_some_prompts_lack_is_told(script, models, candidates, tmp_path, capsys):
    with candidates.open("a") as file:
        file.write(json.dumps({"id": "z", "prompt": "q?", "responses": ["a", "b"]}) + "\n")
    words = ["--reward_model", models / "a", "--best_of_n", candidates, "--out", tmp_path / "out"]
    assert script.main([*map(str, words)]) == 0
    assert "is measured on 5 of 6 prompts: the others have no `quality`." in capsys.readouterr().out
    summary = read_record(tmp_path / "out" / "evaluation.json").summary("a")
    assert [cell.n for name, cell in summary.items() if name.startswith("best_of_")] == [5, 5, 5]


@pytest.mark.slow
@pytest.mark.nightly  # the others call its `main`
def test_the_command_line_as_a_user_types_it(models, data, candidates, tmp_path):
    out = tmp_path / "out"
    words = [
        "--reward_model",
        models / "a",
        "--baseline",
        models / "p",
        "--data",
        data,
        "--probes",
        "--probe_pairs",
        8,
    ]
    result = start(str(SCRIPT), *map(str, [*words, "--best_of_n", candidates, "--out", out]))
    assert result.returncode == 0, result.stderr
    for text in ("Accuracy lost to a change", "closing_sentence", "response_only_accuracy"):
        assert text in result.stdout
    written = {"evaluation.json", "pairs.jsonl", "best_of_n.jsonl", "report.html", "cache"}
    assert {path.name for path in out.iterdir()} == written
