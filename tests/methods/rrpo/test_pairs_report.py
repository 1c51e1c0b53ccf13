import json
import re
from itertools import product

import pandas as pd
import pytest
from markupsafe import escape
from written_pairs_run import pair_rows, write_pairs_run
from written_run import write_run

from align.errors import RunFolderError
from align.report import build_comparison, build_report
from align.report.run.folder import read_run_folder
from align.report.run.pairs import pick_pairs

HOSTILE = "</pre></mark><script>alert(\"x\")</script> & 'quoted' {{ 7 * 7 }}"


def pair(**changes):
    return pair_rows(1)[0] | changes


def titles(page):
    return re.findall(r"<figcaption><b>(.*?)</b>", page)


def test_a_run_on_pairs_shows_its_settings_its_curves_and_its_pairs(tmp_path):
    page = build_report(write_pairs_run(tmp_path / "rrpo-run")).read_text()
    assert "<title>RRPO: rrpo-run</title>" in page
    for label, value in (
        ("KL weight (kl_coef)", "0.01"), ("Reward scale (beta)", "0.5"), ("Rewarded text (spans)", "differing"),
        ("Unit of the diff", "word"), ("Pairs without spans", "drop"), ("Longest prompt and response, tokens", "512"),
    ):  # fmt: skip
        assert f"<dt>{label}</dt><dd>{value}</dd>" in page
    assert titles(page) == [
        "Preference accuracy", "Margin on marked tokens", "Change in log-probability, nats",
        "Distance from the reference, nats", "Distance from the reference, nats per token", "Marked tokens", "Loss",
        "Gradient norm", "Learning rate",
    ]  # fmt: skip
    assert page.count('<details class="sample"') == 40
    assert "The chemical symbol of tungsten is <mark>W</mark>, from wolfram." in page


def test_a_page_about_pairs_says_nothing_about_completions_and_policy_gradients(tmp_path):
    page = build_report(write_pairs_run(tmp_path / "run")).read_text()
    assert not re.search("policy-gradient|log_completions|Completions|second pass|<b>Reward</b>", page)


def test_a_run_that_generates_says_nothing_about_pairs(tmp_path):
    page = build_report(write_run(tmp_path / "run", steps=5)).read_text()
    assert "policy-gradient" in page
    assert not re.search(r"<h2>Pairs|<mark>|kl_coef|Preference", page)


def test_plain_dpo_without_own_metrics_has_a_report(tmp_path):
    run = write_pairs_run(tmp_path / "run", spans="whole")
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    plain = [{key: value for key, value in line.items() if not key.startswith("rrpo/")} for line in lines]
    (run / "metrics.jsonl").write_text("\n".join(map(json.dumps, plain)))
    page = build_report(run).read_text()
    assert titles(page) == [
        "Preference accuracy", "Margin on marked tokens", "Loss", "Gradient norm", "Learning rate",
    ]  # fmt: skip
    assert "rewards whole responses" in page
    assert page.count('<span class="tag">whole responses</span>') == 40


def test_a_chart_with_a_missing_line_keeps_the_colours_of_the_others(tmp_path):
    run = write_pairs_run(tmp_path / "run", steps=5)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        del line["rrpo/logp_change_chosen"]
    (run / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
    legend = re.search(r"Change in log-probability.*?</div>", build_report(run).read_text(), re.DOTALL)[0]
    assert re.search(r'--c1\)"></i>rejected, marked', legend)


def test_evaluation_is_drawn_into_the_chart_of_its_metric(tmp_path):
    run = write_pairs_run(tmp_path / "run", steps=5)
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 5, "eval_rewards/accuracies": 0.25, "eval_loss": 0.5}) + "\n")
    page = build_report(run).read_text()
    assert re.search(r"accuracy, evaluation <b>25 %</b>", page)
    assert re.search(r"loss, evaluation <b>0.5</b>", page)


def test_runs_of_dpo_and_rrpo_are_compared_line_by_line(tmp_path):
    runs = {
        "RRPO": write_pairs_run(tmp_path / "rrpo"),
        "DPO": write_pairs_run(tmp_path / "dpo", seed=1, kl=4.0, spans="whole"),
    }
    page = build_comparison(runs, None, tmp_path / "comparison.html").read_text()
    legends = re.findall(r'class="legend">(.*?)</div>', page)
    assert len(legends) == 11
    assert all("RRPO <b>" in legend and "DPO <b>" in legend for legend in legends)
    assert page.count('<details class="sample"') == 40
    assert page.count("rewards whole responses") == 1


def test_markup_inside_a_span_and_at_its_borders_stays_text(tmp_path):
    borders = list(product(("", "<", "&", "&am"), ("", ">", "p;", '"')))
    rows = [
        pair(
            chosen=before + HOSTILE + after,
            rejected=HOSTILE,
            prompt=HOSTILE,
            id=HOSTILE,
            chosen_spans=[[len(before), len(before) + len(HOSTILE)]],
        )
        for before, after in borders
    ]
    page = build_report(write_pairs_run(tmp_path / "run", steps=3, rows=rows)).read_text()
    for before, after in borders:
        assert f"{escape(before)}<mark>{escape(HOSTILE)}</mark>{escape(after)}</pre>" in page
    assert page.count("<script") == 1  # ours
    assert page.count("<pre>") == page.count("</pre>")
    assert page.count("<mark>") == page.count("</mark>") == 2 + 2 * len(borders), "two in the legend"


def test_a_span_that_cuts_an_entity_in_two_shows_both_halves_as_text(tmp_path):
    rows = [pair(chosen="a &lt;b&gt; c", chosen_spans=[[3, 6]])]
    page = build_report(write_pairs_run(tmp_path / "run", steps=3, rows=rows)).read_text()
    assert "a &amp;<mark>lt;</mark>b&amp;gt; c" in page


def test_long_responses_and_thousands_of_spans_do_not_make_a_long_page(tmp_path):
    text = "word " * 20_000
    spans = [[place, place + 1] for place in range(0, 5_000, 2)]
    rows = [pair(chosen=text, rejected=text, prompt=text, chosen_spans=spans, rejected_spans=[[90_000, 90_004]])] * 10
    page = build_report(write_pairs_run(tmp_path / "run", rows=rows)).read_text()
    assert len(page) < 2_000_000
    assert "characters left out" in page
    assert "<mark>word</mark>" in page


def test_the_share_is_of_tokens_where_they_were_counted_and_of_characters_elsewhere():
    counted, uncounted, unmarked = pick_pairs(
        [
            pair(marked_share=0.125),
            pair(chosen="ab", chosen_spans=[[0, 1]], rejected="abcd", rejected_spans=[[0, 1]]),
            {"chosen": "a", "rejected": "b"},
        ]
    )
    assert counted.tags[0] == "12 % of tokens marked"
    assert uncounted.tags[0] == "characters marked: 50 % of chosen, 25 % of rejected"
    assert (unmarked.name, unmarked.tags[1]) == ("pair 3", "no spans")


def test_a_smaller_sample_is_spread_over_all_saved_pairs():
    names = [sample.name for sample in pick_pairs(pair_rows(40), limit=4)]
    assert names == ["fact-000", "fact-010", "fact-020", "fact-030"]


def test_the_note_on_marks_follows_the_unit_that_was_trained_on(tmp_path):
    run = write_pairs_run(tmp_path / "run", steps=3)
    recipe = run / "recipe.yaml"
    assert "Only marked text is rewarded.</p>" in re.sub(r"\s+</p>", "</p>", build_report(run).read_text())
    recipe.write_text(recipe.read_text().replace("diff_unit: word", "diff_unit: token"))
    assert "this run compared tokens" in build_report(run).read_text()
    pd.DataFrame([pair(marked_share=0.1)]).to_parquet(run / "pairs.parquet")
    assert "this run compared tokens" not in build_report(run).read_text()


def test_a_run_without_saved_pairs_has_a_report_and_a_broken_table_is_named(tmp_path):
    run = write_pairs_run(tmp_path / "run", steps=3)
    (run / "pairs.parquet").write_bytes(b"PAR1")
    with pytest.raises(RunFolderError, match=r"pairs\.parquet is not a readable parquet table"):
        read_run_folder(run)
    (run / "pairs.parquet").unlink()
    assert "<h2>Pairs" not in build_report(run).read_text()
