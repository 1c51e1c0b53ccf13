"""Logs that the tools themselves wrote: kept ones, and those of tools that are here."""

import json
import re
import shutil
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from harness_task import TASK
from tiny import tiny_model, tiny_tokenizer

import align
from align.cli import run_command
from align.errors import DataError
from align.logs.harnesses import _member, _read_eval
from align.logs.log import How
from align.logs.reading import read_log

KEPT = Path(__file__).parent / "kept"


def values(log, metric):
    (task,) = log.tasks.values()
    return task.values(metric).tolist()


def inspect_log(side):
    (file,) = (KEPT / "inspect" / side).glob("*.eval")
    return file


@pytest.mark.parametrize("side", ["before", "after"])
def test_means_of_inspect_are_those_it_logged_itself(side):
    file = inspect_log(side)
    with zipfile.ZipFile(file) as archive:
        header = _member(file, archive.getinfo("header.json"))
    log = read_log(str(file), How())
    assert log.tool == "inspect"
    logged = {each["name"]: each["metrics"] for each in header["results"]["scores"]}
    assert pd.Series(values(log, "match")).mean() == pytest.approx(logged["match"]["accuracy"]["value"])
    assert set(log.tasks["sums"].answers) == {2}  # epochs
    assert {"match", "shape/length", "shape/digit"} == set(log.tasks["sums"].metrics)


def test_a_json_log_of_inspect_says_the_same(tmp_path):
    """Its `.json` holds the header and the samples that its `.eval` has as members."""
    file = inspect_log("before")
    with zipfile.ZipFile(file) as archive:
        infos = {info.filename: info for info in archive.infolist()}
    samples = [_member(file, info) for name, info in infos.items() if name.startswith("samples/")]
    whole = _member(file, infos["header.json"]) | {"samples": samples}
    (tmp_path / "log.json").write_text(json.dumps(whole))
    asked = How(match=("input",))
    one, two = read_log(str(tmp_path / "log.json"), asked), read_log(str(file), asked)
    by_key = {key: two.tasks["sums"].values("match")[place] for key, place in two.tasks["sums"].keys.items()}
    places = one.tasks["sums"].keys
    assert {key: one.tasks["sums"].values("match")[place] for key, place in places.items()} == by_key


def test_rewards_of_verifiers_are_those_of_its_traces():
    log = read_log(str(KEPT / "verifiers" / "after"), How(group="size"))
    rows = [json.loads(line) for line in (KEPT / "verifiers" / "after" / "traces.jsonl").read_text().splitlines()]
    scores = pd.DataFrame(
        [(row["task"]["data"]["prompt"], row["traces"][0]["rewards"]["right"]["score"]) for row in rows]
    )
    assert sorted(values(log, "right")) == sorted(scores.groupby(0)[1].mean())
    assert set(log.tasks["sums"].groups) == {"small"}


def test_details_of_lighteval_are_read():
    log = read_log(str(KEPT / "lighteval" / "before"), How())
    assert list(log.tasks) == ["sums|0"]
    assert len(values_of(log, "sums|0", "acc")) == 8


def values_of(log, task, metric):
    return log.tasks[task].values(metric)


@pytest.mark.parametrize("tool", ["inspect", "verifiers", "lighteval"])
def test_two_sides_of_a_tool_are_compared(tool, tmp_path):
    comparison = align.compare(KEPT / tool / "before", KEPT / tool / "after", out=tmp_path / "out")
    first = comparison.differences[0]
    assert first.difference.value > 0
    assert comparison.matched[0].both == 8
    assert "after" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize(
    ("tool", "asked", "answers"),
    [
        ("inspect", "input: 0 + 1 = ?\ntarget: 1", ("2", "1")),
        ("verifiers", "prompt: 0 + 0 = ?", ("1", "0")),
        ("lighteval", "query: 0 + 1 = ?\nchoices: 1 | 2\ngold_index: 0", ("2", "1")),
        ("lm-eval", "q: 7?\nchoices: 1 | 2\ngold: 1\nsubject: b", (" 1", " 2")),  # the likelier of two choices
    ],
)
def test_what_was_won_is_shown_with_its_question_and_both_answers(tool, asked, answers, tmp_path, capsys):
    words = ("compare", str(KEPT / tool / "before"), str(KEPT / tool / "after"), "--out", str(tmp_path))
    assert run_command(*words) == 0
    won = json.loads((tmp_path / "comparison.json").read_text())["differences"][0]["wins"][0]
    assert won["asked"].startswith(asked)
    assert (*won["scores"], *won["answers"]) == (0, 1, *answers)
    shown = " ".join(capsys.readouterr().out.split())
    assert f"{' '.join(won['asked'].split())[:90]}" in shown
    assert f"before (0): {answers[0].strip()} after (1): {answers[1].strip()}" in shown
    page = (tmp_path / "report.html").read_text()
    assert f"<pre>{won['asked']}" in page
    assert f"<pre>{answers[0]}</pre>" in page
    assert f"<pre>{answers[1]}</pre>" in page


def test_of_tables_what_both_rows_have_alike_is_the_question(tmp_path):
    """No name of a column says which is the question, and a document of one log alone still has its name."""
    rows = [{"id": 1, "frage": "Was?", "sagt": "\ud800<b>" + "x" * 9000, "ok": 0}, {"id": 2, "frage": "?", "ok": 1}]
    for name, row in (("a", rows[0]), ("b", rows[0] | {"sagt": [{"role": "assistant", "content": "Das."}], "ok": 1})):
        (tmp_path / f"{name}.jsonl").write_text(f"{json.dumps(row)}\n{json.dumps(rows[1])}\n")
    found = align.compare(tmp_path / "a.jsonl", tmp_path / "b.jsonl", out=tmp_path / "out", scores="ok")
    (won,) = found.differences[0].wins
    assert won.asked == "id: 1\nfrage: Was?"
    assert won.answers[0].startswith("sagt: \ud800<b>xx")
    assert len(won.answers[0]) < 2100
    assert won.answers[1] == "sagt: Das."
    assert "<b>xx" not in (tmp_path / "out" / "report.html").read_text()


def test_of_several_logs_of_a_task_and_model_the_newest_is_read(tmp_path):
    for side in ("before", "after"):
        shutil.copytree(KEPT / "inspect" / side, tmp_path / side)
    log = read_log(str(tmp_path), How())
    assert "Of several logs of sums the newest is read" in log.sentences[0]
    assert values(log, "match") == values(read_log(str(inspect_log("after")), How()), "match")


@pytest.mark.parametrize(("tool", "what"), [("verifiers", "runs"), ("lighteval", "models")])
def test_a_folder_of_several_models_is_refused(tool, what, tmp_path):
    for side in ("before", "after"):
        shutil.copytree(KEPT / tool / side, tmp_path / side)
    for side in ("before", "after"):  # lighteval has the name of the model in its folders
        for folder in (tmp_path / side).glob("details/tiny"):
            folder.rename(folder.with_name(side))
    with pytest.raises(DataError, match=f"logs of several {what}: .*after.*before.*Name the folder of one"):
        read_log(str(tmp_path), How())


def test_a_run_that_was_stopped_is_told_by_its_log(tmp_path):
    file = inspect_log("before")
    cut = tmp_path / "cut.eval"
    with zipfile.ZipFile(cut, "w") as archive:
        archive.writestr("_journal/start.json", "{}")
    with pytest.raises(DataError, match="has no header: the run that wrote it was stopped"):
        read_log(str(cut), How())
    cut.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(DataError, match="is no log of inspect, or is not whole"):
        read_log(str(cut), How())
    cut.unlink()
    half = tmp_path / "traces.jsonl"
    half.write_bytes((KEPT / "verifiers" / "before" / "traces.jsonl").read_bytes()[:-100])
    with pytest.raises(DataError, match="the line is not valid JSON"):
        read_log(str(tmp_path), How())


def test_a_bit_that_is_another_is_told_or_changes_nothing(tmp_path):
    file, changed = inspect_log("before"), tmp_path / "changed.eval"
    whole, wanted = file.read_bytes(), _read_eval(file)
    said = []
    for place in (*range(0, len(whole) - 600, 401), *range(len(whole) - 600, len(whole))):  # names are at its end
        content = bytearray(whole)
        content[place] ^= 1 << place % 8
        changed.write_bytes(content)
        try:
            assert _read_eval(changed) == wanted, place
        except DataError as error:
            said.append(str(error))
    assert len(said) > 100
    assert all("changed.eval is no log" in each or "changed.eval has no header" in each for each in said)


def test_a_version_that_is_not_known_is_one_sentence(tmp_path):
    file = tmp_path / "log.json"
    file.write_text(json.dumps({"version": 3, "status": "success", "eval": {"task": "t", "model": "m"}}))
    with pytest.raises(DataError, match="has the format 3 of inspect's logs, and 2 is read"):
        read_log(str(file), How())
    lines = (KEPT / "verifiers" / "before" / "traces.jsonl").read_text().replace('"env":', '"environment":')
    (tmp_path / "traces.jsonl").write_text(lines)
    with pytest.raises(DataError, match=r"log of verifiers, in a version that is not known: KeyError\('env'\)"):
        read_log(str(tmp_path / "traces.jsonl"), How())


@pytest.mark.slow
def test_samples_of_lm_evaluation_harness_give_the_numbers_that_it_gives(tmp_path):
    pytest.importorskip("lm_eval")
    from lm_eval import simple_evaluate
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager

    rows = [{"q": f"{n}?", "choices": ["1", "2"], "gold": n % 2, "subject": "ab"[n % 2]} for n in range(12)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "tiny_task.yaml").write_text(TASK.format(rows=tmp_path / "rows.jsonl"))
    manager, found = TaskManager(include_path=str(tmp_path), include_defaults=False), {}
    for seed, side in enumerate(("before", "after")):
        tracker = EvaluationTracker(output_path=str(tmp_path / side))
        results = simple_evaluate(
            "dummy", tasks=["tiny_task"], task_manager=manager, random_seed=seed, bootstrap_iters=0,
            evaluation_tracker=tracker, log_samples=True,
        )  # fmt: skip
        found[side] = results["results"]["tiny_task"]["acc,none"]
        samples = results.pop("samples")
        tracker.save_results_aggregated(results=results, samples=samples)
        tracker.save_results_samples(task_name="tiny_task", samples=samples["tiny_task"])
    comparison = align.compare(tmp_path / "before", tmp_path / "after", out=tmp_path / "out", group="doc.subject")
    acc = next(each for each in comparison.differences if each.metric == "acc")
    assert (acc.first.value, acc.mean.value) == pytest.approx((found["before"], found["after"]))
    assert acc.difference.value == pytest.approx(found["after"] - found["before"])
    assert set(acc.groups) == {"a", "b"}
    assert acc.is_exact


@pytest.mark.slow
def test_completions_of_trl_are_compared_by_prompt(tmp_path):
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    def length(completions, **kwargs):
        return [float(len(text)) for text in completions]

    for side in ("before", "after"):
        settings = GRPOConfig(
            str(tmp_path / side), max_steps=2, per_device_train_batch_size=4, num_generations=2, report_to="none",
            max_completion_length=4, log_completions=True, use_cpu=True, logging_steps=1, seed=len(side), bf16=False,
        )  # fmt: skip
        tokenizer = tiny_tokenizer()
        model = tiny_model(vocabulary=len(tokenizer))
        data = Dataset.from_dict({"prompt": ["a?", "b?"]})
        GRPOTrainer(model, length, args=settings, train_dataset=data, processing_class=tokenizer).train()
    comparison = align.compare(tmp_path / "before", tmp_path / "after", out=tmp_path / "out")
    assert [each.metric for each in comparison.differences] == ["length"]
    assert comparison.matched[0].both == 2
    assert any("of the model at each step" in sentence for sentence in comparison.sentences)
    shutil.rmtree(tmp_path / "before")
    with pytest.raises(DataError, match=re.escape(f"There is no file or folder {tmp_path / 'before'}")):
        read_log(str(tmp_path / "before"), How())
