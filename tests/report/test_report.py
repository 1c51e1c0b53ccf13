import base64
import hashlib
import json
import re
import shutil
import time

import pandas as pd
import pytest
from browser import HOSTILE
from markupsafe import escape
from some_recipes import QUESTIONS
from written_evaluation import scores_record
from written_run import completion_rows, write_run

from align.errors import RunFolderError
from align.evaluation.statistics.metrics import Estimate
from align.report import build_comparison, build_report


def test_a_report_shows_the_recipe_the_curves_and_the_completions(tmp_path):
    run = write_run(tmp_path / "own-run")
    out = build_report(run)
    page = out.read_text()
    assert out == run / "report.html"
    assert "HuggingFaceTB/SmolLM2-135M-Instruct" in page
    assert "1.0 x answer_consistency, 0.1 x format" in page
    assert "2.13.0+cpu" in page
    assert page.count("<svg ") == 15  # three beside numbers
    assert 40 < page.count('class="sample"') <= 60
    assert "first only" in page
    (closed,) = re.findall(r'data-key="own-run 1-1" .*?</summary>', page, re.DOTALL)
    assert re.search(r"reward</span> <b>(0\.10|0\.60|1\.10)</b>", closed), "1.0 x the one and 0.1 x the other"
    assert 'class="words">&lt;think&gt;' in closed


def test_a_comparison_draws_one_line_per_run(tmp_path):
    runs = {name: write_run(tmp_path / name, seed=seed) for seed, name in enumerate(("THEIRS", "OURS"))}
    stays, answers = Estimate(0.82, 0.8, 0.84, 1000), Estimate(1.0, 0.996, 1.0, 1000)
    summaries = {name: {"option_shuffle_consistency": stays, "answered": answers} for name in ("OURS", "THEIRS")}
    more = {
        "option_shuffle_consistency": Estimate(0.29, 0.25, 0.33, 1000),
        "answered": Estimate(0.0, -0.004, 0.004, 1000),
    }
    record = scores_record(summaries, {"OURS": {"THEIRS": more}})
    page = build_comparison(runs, record, tmp_path / "new" / "comparison.html").read_text()
    legends = re.findall(r'class="legend">(.*?)</div>', page)
    assert len(legends) == 13  # one of the evaluation
    assert all("THEIRS <b>" in legend and "OURS <b>" in legend for legend in legends[1:])
    assert re.search(r"0\.82 <span>\[0\.80, 0\.84\]</span>", page)
    assert re.search(r'class="estimate sure">\+0\.29 <span>\[0\.25, 0\.33\]', page)
    assert re.search(r'class="estimate">0\.000 <span>', page), "an interval that holds 0 is not bold"
    assert 40 < page.count('class="sample"') <= 60


def test_a_page_opens_with_what_was_found(tmp_path):
    found = {
        "accuracy": Estimate(0.19, 0.16, 0.22, 1000),
        "option_shuffle_consistency": Estimate(-0.5, -0.6, -0.4, 1000),
    }
    unsure = {"accuracy": Estimate(-0.01, -0.03, 0.02, 1000)}
    models = {name: {"accuracy": Estimate(0.5, 0.4, 0.6, 1000)} for name in ("before", "OURS", "THEIRS")}
    record = scores_record(models, {"OURS": {"before": found}, "THEIRS": {"before": unsure}})
    runs = {name: write_run(tmp_path / name, seed=seed) for seed, name in enumerate(("THEIRS", "OURS"))}
    for name, run in runs.items():
        shared, own = ({"level": "warning", "check": "data", "text": text} for text in ("Of both.", f"Of {name}."))
        (run / "checks.json").write_text(json.dumps([shared, own]))
    page = build_comparison(runs, record, tmp_path / "page.html").read_text()
    above = "<code>OURS</code> is above <code>before</code> in accuracy: 0.19 [0.16, 0.22] on 1,000 items."
    assert 0 < page.index(above) < page.index("<h2>Evaluation</h2>")
    assert "<code>THEIRS</code> is not told apart from <code>before</code> in accuracy: -0.01 [-0.03, 0.02]" in page
    assert "in option-shuffle consistency:" not in page
    assert page.index(above) < page.index("<b>Accuracy</b>") < page.index('class="finding ')  # its figure
    assert page.count("THEIRS, OURS: Found before training: data.") == page.count("Of both.") == 1
    assert "OURS: Found before training: data.</b>\nOf OURS." in page
    assert page.count("1,000 items") == 2 + 1  # in conclusions, and once in the table


def test_a_page_asks_for_nothing_from_outside_and_holds_the_script_that_its_policy_names_alone(tmp_path):
    page = build_report(write_run(tmp_path / "run", trace=HOSTILE)).read_text()
    escaped = str(escape(HOSTILE))
    assert page.count(escaped) >= 40
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'\">" in page
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|new Function", script)
    page = page.replace(escaped, "").replace(f"<script>{script}</script>", script)
    page = re.sub(r'<span class="words">[^<]*</span>', "", page)  # the beginning of it
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)|<(script|img|link|iframe|object)\b", page, re.IGNORECASE)
    assert "default-src 'none'" in page


def test_ten_thousand_steps_make_a_small_page_quickly(tmp_path):
    run = write_run(tmp_path / "run", steps=10_000)
    started = time.process_time()
    page = build_report(run)
    assert time.process_time() - started < 15
    assert page.stat().st_size < 1_000_000


def test_long_completions_do_not_make_a_long_page(tmp_path):
    page = build_report(write_run(tmp_path / "run", trace="word " * 100_000)).read_text()
    assert len(page) < 1_500_000
    assert "more characters in the completions table" in page


def test_two_reports_of_a_run_are_the_same_file(tmp_path):
    run = write_run(tmp_path / "run")
    assert build_report(run).read_bytes() == build_report(run, tmp_path / "again.html").read_bytes()


def test_a_run_without_completions_says_how_to_save_them(tmp_path):
    run = write_run(tmp_path / "run")
    shutil.rmtree(run / "completions")
    assert "log_completions: true" in build_report(run).read_text()


def test_a_run_without_a_second_pass_has_a_report(tmp_path):
    run = write_run(tmp_path / "run")
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    plain = [{key: value for key, value in line.items() if not key.startswith(f"{QUESTIONS}/")} for line in lines]
    (run / "metrics.jsonl").write_text("\n".join(map(json.dumps, plain)))
    own = ["trace", "first_answer", "second_answers", "permutation", "outcome"]
    for path in (run / "completions").iterdir():
        pd.DataFrame(completion_rows(1)).drop(columns=own).to_parquet(path)
    page = build_report(run).read_text()
    assert "Outcome of the two passes" not in page
    assert 'data-why="worst"' in page


@pytest.mark.parametrize("name", ["recipe.yaml", "versions.json", "metrics.jsonl"])
def test_a_missing_or_empty_file_is_named(tmp_path, name):
    run = write_run(tmp_path / "run")
    (run / name).write_text(" \n")
    with pytest.raises(RunFolderError, match=f"{name} is empty"):
        build_report(run)
    (run / name).unlink()
    with pytest.raises(RunFolderError, match=f"{name} is missing"):
        build_report(run)
    assert not (run / "report.html").exists()


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(RunFolderError, match="no such folder"):
        build_report(tmp_path / "nowhere")


def test_a_log_without_a_readable_line_is_refused(tmp_path):
    run = write_run(tmp_path / "run", steps=3)
    (run / "metrics.jsonl").write_text("step,loss\n1,0.5\n")
    with pytest.raises(RunFolderError, match="no line is JSON"):
        build_report(run)


@pytest.mark.parametrize("line", ["[1, 2]", '{"loss": 1.0}'])
def test_a_metrics_line_that_is_no_step_is_named(tmp_path, line):
    run = write_run(tmp_path / "run", steps=3)
    lines = (run / "metrics.jsonl").read_text().splitlines()
    (run / "metrics.jsonl").write_text("\n".join([lines[0], line, *lines[1:]]))
    with pytest.raises(RunFolderError, match=r"metrics\.jsonl, line 2"):
        build_report(run)


def test_a_broken_table_is_named(tmp_path):
    run = write_run(tmp_path / "run", steps=3)
    (run / "completions" / "completions_00001.parquet").write_bytes(b"")
    with pytest.raises(RunFolderError, match=r"completions_00001\.parquet"):
        build_report(run)


def test_a_comparison_of_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="at least one run folder"):
        build_comparison({}, None, tmp_path / "out.html")


def test_the_time_of_a_step_is_drawn_by_phase_where_a_run_logged_phases(tmp_path):
    phases = {f"time/{name}": 0.1 for name in ("generate", "second_pass", "rewards", "log_probs", "update", "rest")}
    page = build_report(write_run(tmp_path / "run", steps=20, **phases)).read_text()
    (legend,) = re.findall(r"<b>Time of a step, seconds</b>.*?</div>", page, re.DOTALL)
    assert re.findall(r"</i>(.*?) <b>", legend) == [
        "generate", "second pass", "rewards", "log-probs", "update", "optimizer and rest",
    ]  # fmt: skip
    assert "The second pass is part of the step." not in page
