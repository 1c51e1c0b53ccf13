import json
import re

import pytest
from written_pairs_run import write_pairs_run
from written_reward_run import reward_rows, write_reward_run

from align.report import build_comparison, build_report
from align.report.run.pairs import pick_pairs

HOSTILE = "</b><script>alert(1)</script>"


def titles(page):
    return re.findall(r"<figcaption><b>(.*?)</b>", page)


def legend(page, title):
    return re.findall(r"<i.*?</i>(.*?) <b>", re.search(rf"<b>{title}</b>.*?</div>", page, re.DOTALL)[0])


def test_a_run_of_a_reward_model_shows_its_settings_its_curves_and_its_pairs(tmp_path):
    page = build_report(write_reward_run(tmp_path / "run")).read_text()
    for label, value in (
        ("Weight of ties (tie_coef)", "1.0"),
        ("Type of model", "scalar"),
        ("Learning rate", "1e-06"),
    ):
        assert f"<dt>{label}</dt><dd>{value}</dd>" in page
    assert titles(page) == [
        "Accuracy", "Margin", "Margin of ties", "Reward", "Loss", "Gradient norm", "Learning rate",
    ]  # fmt: skip
    assert legend(page, "Accuracy") == legend(page, "Margin") == ["all", "preference", "upgrade", "degrade"]
    assert page.count('<details class="sample"') == 40
    assert "Completions" not in page
    assert "more likely" not in page


def test_ties_have_a_first_and_a_second_answer_and_edits_their_words_marked(tmp_path):
    page = build_report(write_reward_run(tmp_path / "run")).read_text()
    assert page.count("<b>First</b><pre>Rinse the rice first.</pre>") == 10
    assert page.count("<b>Chosen</b>") == 30
    assert "Air scatters blue light most<mark>, as 1/wavelength^4.</mark>" in page
    assert '<span class="tag">upgrade</span><span class="tag">accuracy</span></summary>' in page
    assert '<span class="tag">irrelevant_query</span><span class="tag">tie</span></summary>' in page


@pytest.mark.parametrize("limit", [40, 20, 8])
def test_sources_take_turns_in_a_sample_of_any_size(limit):
    sources = [pair.tags[0] for pair in pick_pairs(reward_rows(), limit)]
    assert sources == ["preference", "upgrade", "degrade", "irrelevant_query"] * (limit // 4)


def test_evaluation_is_drawn_dashed_beside_the_source_it_is_of(tmp_path):
    run = write_reward_run(tmp_path / "run", steps=5)
    with (run / "metrics.jsonl").open("a") as file:
        held_out = {"eval_crome/accuracy_preference": 0.25, "eval_crome/tie_margin": 0.125, "eval_loss": 0.5}
        file.write(json.dumps({"step": 5, **held_out}) + "\n")
    page = build_report(run).read_text()
    for words in (
        "preference, evaluation <b>25 %</b>",
        "ties, evaluation <b>0.125</b>",
        "loss, evaluation <b>0.5</b>",
    ):
        assert words in page


def test_plain_bradley_terry_has_one_curve_and_no_ties(tmp_path):
    run = write_reward_run(tmp_path / "run")
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    kept = ("crome/accuracy_preference", "crome/margin_preference", "crome/tie_share")
    plain = [{k: v for k, v in line.items() if not k.startswith("crome/") or k in kept} for line in lines]
    (run / "metrics.jsonl").write_text("\n".join(map(json.dumps, plain)))
    page = build_report(run).read_text()
    assert legend(page, "Accuracy") == legend(page, "Margin") == ["all"]
    assert "Margin of ties" not in titles(page)


def test_of_many_sources_the_first_are_drawn_and_the_others_counted(tmp_path):
    more = {f"crome/accuracy_{name}": 0.7 for name in "fedc"}
    page = build_report(write_reward_run(tmp_path / "run", steps=3, **more)).read_text()
    assert legend(page, "Accuracy") == ["all", "preference", "upgrade", "degrade", "c", "d"]
    assert "2 more sources are in metrics.jsonl" in page


def test_names_from_the_data_stay_text(tmp_path):
    rows = [reward_rows()[0] | {"source": HOSTILE, "attribute": HOSTILE}]
    run = write_reward_run(tmp_path / "run", steps=3, rows=rows, **{f"crome/accuracy_{HOSTILE}": 0.7})
    page = build_report(run).read_text()
    assert page.count("<script") == 1  # ours
    assert page.count("&lt;/b&gt;&lt;script&gt;") >= 3


def test_runs_are_compared_line_by_line_and_other_methods_have_no_part_in_it(tmp_path):
    runs = {
        "Crome": write_reward_run(tmp_path / "crome"),
        "BT": write_reward_run(tmp_path / "bt", seed=1, tie_coef=0, tie_margin=1.5),
        "RRPO": write_pairs_run(tmp_path / "rrpo"),
    }
    page = build_comparison(runs, None, tmp_path / "comparison.html").read_text()
    ours = [
        title
        for title in titles(page)
        if "Crome <b>" in re.search(rf"<b>{re.escape(title)}</b>.*?</div>", page, re.DOTALL)[0]
    ]
    assert {
        "Accuracy of the reward model", "Accuracy, preference", "Accuracy, upgrade", "Accuracy, degrade",
        "Margin of pairs with an order", "Margin of ties",
    } <= set(ours)  # fmt: skip
    ours = [title for title in ours if title.startswith(("Accuracy", "Margin"))]
    assert all(legend(page, title) == ["Crome", "BT"] for title in ours)
    assert "BT: Tied pairs get a margin of" in page
