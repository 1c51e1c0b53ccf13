"""Runs laid over each other: `align report A B`."""

import re

import pytest
from typer.testing import CliRunner
from written_evaluation import write_evaluation
from written_run import RECIPE, write_run

from align.cli.app import app


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for seed, name in enumerate(("a", "b", "c")):
        run = write_run(folder / name, steps=20 + 10 * seed, seed=seed)
        (run / "recipe.yaml").write_text(RECIPE.replace("seed: 3", f"seed: {seed}"))
    weighted = RECIPE.replace("reward_weights: [1.0, 0.1]", "reward_weights: [1.0, 0.5]")
    (folder / "c" / "recipe.yaml").write_text(weighted.replace("shuffle_options: false", "shuffle_options: true"))
    return folder


def report(*words):
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["report", *map(str, words)])
    return result.exit_code, " ".join(result.output.split())


def rows_of(page, heading):
    table = page.partition(f"<h2>{heading}</h2>")[2].partition("</table>")[0]
    rows = [re.findall(r"<t[hd][^>]*>\s*(.*?)\s*</t[hd]>", row, re.DOTALL) for row in table.split("<tr>")[1:]]
    return {row[0]: row[1:] for row in rows}


def test_runs_are_laid_over_each_other_with_what_differs_and_where_they_end(runs, tmp_path):
    out = tmp_path / "page.html"
    code, said = report(runs / "a", runs / "b", "--out", out)
    assert (code, said) == (0, f"The comparison of 2 runs is {out}.")
    page = out.read_text()
    assert rows_of(page, "Where the recipes differ") == {"key": ["a", "b"], "seed": ["0", "1"]}
    numbers = rows_of(page, "Final numbers")
    assert numbers["Last logged step"] == ["20", "30", ""]
    assert numbers["Right answers"][0].endswith("%")
    assert re.fullmatch(r"\d+ % \[-?\d+, \d+; 2 seeds\]", numbers["Right answers"][2])
    assert {"Reward in all", "Loss", "Gradient norm", "Time of a step, seconds"} <= set(numbers)
    legends = re.findall(r'class="legend">(.*?)</div>', page)
    assert all("a <b>" in legend and "b <b>" in legend for legend in legends)
    assert len(legends) == len(numbers) - 2


def test_a_total_of_other_weights_is_not_compared_but_rewards_of_one_name_are(runs, tmp_path):
    report(runs / "a", runs / "c", "--out", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    differing = rows_of(page, "Where the recipes differ")
    assert differing["reward_weights"] == ["1.0, 0.1", "1.0, 0.5"]
    assert differing["dataset.shuffle_options"] == ["False", "True"]
    assert "Reward in all" not in page
    assert "Mean over seeds" not in page
    assert "Reward answer_consistency" in rows_of(page, "Final numbers")


def test_runs_of_one_name_are_told_apart_by_their_folders(runs, tmp_path):
    write_run(tmp_path / "elsewhere" / "a", steps=10)
    report(runs / "a", tmp_path / "elsewhere" / "a", "--out", tmp_path / "page.html")
    assert f"<h1>{runs.name}/a vs elsewhere/a</h1>" in (tmp_path / "page.html").read_text()


def test_an_evaluation_of_answers_above_its_runs_has_its_page(tmp_path):
    folder = write_evaluation(tmp_path / "arms", questions=40)
    write_run(folder / "ours", steps=10)
    code, said = report(folder)
    assert (code, said) == (0, f"The report is {folder / 'report.html'}.")
    page = (folder / "report.html").read_text()
    assert "<h1>ours against theirs</h1>" in page
    assert "Consistency of the answers" in page


def test_words_that_do_not_fit_together_are_named(runs, tmp_path):
    evaluation = write_evaluation(tmp_path / "evaluation", questions=4)
    wrong = {
        ". Name each run once.": (runs / "a", runs / "a"),
        "holds an evaluation; several folders, and `--watch`, work with runs only.": (runs / "a", evaluation),
        "no such folder": (runs / "a", runs / "nowhere"),
        "is no folder. Give the `output_dir` of a run.": (runs / "nowhere", "--watch"),
        "`--watch` serves the page and writes no file.": (runs / "a", "--watch", "--out", "page.html"),
        "`--port 80` needs `--watch`, which was not given.": (runs / "a", "--port", "80"),
        "`--out` must be a file, got the folder": (runs / "a", "--out", tmp_path),
    }
    for sentence, words in wrong.items():
        code, said = report(*words)
        assert code == 1
        assert sentence in said
