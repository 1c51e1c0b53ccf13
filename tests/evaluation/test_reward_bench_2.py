import json
import math

import numpy as np
import pytest
from tiny import tiny_reward_model, tiny_tokenizer
from written_evaluation import scores_record

from align.cli.app import app
from align.data.pairs.reward_bench_2 import SUBSETS, TIES, BenchItem, load_reward_bench_2
from align.errors import DataError
from align.evaluation.record import read_record
from align.evaluation.statistics.metrics import Estimate
from align.evaluation.suites.reward_model.pair_metrics import best_is_right, reward_bench_2_metrics, ties_value
from align.report.evaluation.page import evaluation_view


def rows_of(per_subset=2):
    """Two items of each subset, and both rows of two prompts of the ties."""
    rows = [
        {"id": f"{subset}-{i}", "subset": subset, "prompt": f"{subset} {i}?", "chosen": ["yes"],
         "rejected": ["no", "never", "perhaps"], "num_correct": 1}
        for subset in SUBSETS[:-1]
        for i in range(per_subset)
    ]  # fmt: skip
    for i in range(per_subset):
        rows.append({"id": f"ref:{i}", "subset": TIES, "prompt": f"One colour {i}?", "chosen": ["red"],
                     "rejected": ["up", "down"], "num_correct": 1})  # fmt: skip
        rows.append({"id": f"tied:{i}", "subset": TIES, "prompt": f"Colours {i}?", "chosen": ["red", "blue", "green"],
                     "rejected": ["up", "down"], "num_correct": 3})  # fmt: skip
    return rows


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def item(name, subset, right, wrong):
    return BenchItem(name, "?", ("r",) * right, ("w",) * wrong, subset, 1)


def whole_score(refs, tied, num_correct):
    """Forms the score of the ties as the benchmark defines it: means over prompts, then their weighted sum."""
    within = np.array([max(each[:k]) - min(each[:k]) for each, k in zip(tied, num_correct, strict=True)])
    above = np.array([min(each[:k]) - max(each[k:]) for each, k in zip(tied, num_correct, strict=True)])
    ref_above = np.array([each[0] - max(each[1:]) for each in refs])
    least = np.minimum(ref_above, above)
    with np.errstate(divide="ignore", invalid="ignore"):
        margins = np.nan_to_num(np.tanh(least / within - 1), nan=0.0)
    return (
        0.3 * np.mean(above > 0) + 0.3 * np.mean(ref_above > 0) + 0.2 * np.mean(above > within)
        + 0.2 * np.mean(least > within) + 0.01 * np.mean(margins)
    )  # fmt: skip


def test_the_ties_by_hand():
    """Spread 1; the worst right one is 2 above the best wrong one, in the row with one right response 0.5."""
    found = ties_value([1.0, 0.5], [4.0, 3.0, 1.0], num_correct=2)
    assert found == pytest.approx(0.3 + 0.3 + 0.2 + 0.0 + 0.01 * math.tanh(0.5 / 1 - 1))
    assert ties_value([0.0, 1.0], [1.0, 3.0, 2.0], num_correct=2) == pytest.approx(0.01 * math.tanh(-1 / 2 - 1))
    assert ties_value([3.0, 1.0], [2.0, 2.0, 1.0], num_correct=2) == pytest.approx(1.01)  # no spread: all of it


def test_the_mean_over_prompts_is_the_score_of_the_benchmark():
    rng = np.random.default_rng(0)
    num_correct = [int(rng.integers(1, 6)) for _ in range(40)]
    refs = [rng.normal(size=4).round(1).tolist() for _ in num_correct]
    tied = [rng.normal(size=k + 5).round(1).tolist() for k in num_correct]
    items, scores = [], []
    for i, k in enumerate(num_correct):
        items += [item(f"ref:{i}", TIES, 1, 3), item(f"tied:{i}", TIES, k, 5)]
        scores += [refs[i], tied[i]]
    metric = reward_bench_2_metrics(items, scores)[f"reward_bench_2/{TIES}"]
    assert metric.estimate().value == pytest.approx(whole_score(refs, tied, num_correct))


def test_the_highest_score_wins_and_equal_ones_share():
    assert [best_is_right(each) for each in ([1.0, 0.0], [1.0, 1.0, 1.0, 1.0], [0.0, 1.0])] == [1.0, 0.25, 0.0]
    assert math.isnan(best_is_right([1.0, math.nan]))


def test_the_score_is_the_mean_of_six_subsets():
    items = [item(subset, subset, 1, 3) for subset in SUBSETS[:-1]]
    items += [item("ref:0", TIES, 1, 1), item("tied:0", TIES, 2, 1)]
    right, wrong = [1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]
    scores = [right, right, wrong, wrong, wrong, [3.0, 1.0], [2.0, 2.0, 1.0]]
    metrics = {name: metric.estimate().value for name, metric in reward_bench_2_metrics(items, scores).items()}
    assert metrics["reward_bench_2"] == pytest.approx((1 + 1 + 0 + 0 + 0 + 1.01) / 6)
    assert metrics["reward_bench_2/Math"] == 0
    assert "reward_bench_2" not in reward_bench_2_metrics(items[:5], scores[:5])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"chosen": "yes"}, "chosen.*there is no list of texts"),
        ({"chosen": ["yes", "yes"]}, "there must be one right response"),
        ({"subset": None}, "the subset is missing"),
        ({"subset": TIES}, "a row of the ties is named"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(change, message, tmp_path):
    rows = rows_of()
    rows[3] |= change
    with pytest.raises(DataError, match=message):
        load_reward_bench_2(write(tmp_path / "rows.jsonl", rows))


def test_a_row_of_the_ties_needs_its_partner(tmp_path):
    rows = [row for row in rows_of() if row["id"] != "ref:1"]
    with pytest.raises(DataError, match=r"row 13: tied:1 of the subset Ties has no partner"):
        load_reward_bench_2(write(tmp_path / "rows.jsonl", rows))
    found, _ = load_reward_bench_2(tmp_path / "rows.jsonl", max_rows=13)
    assert [each.id for each in found if each.subset == TIES] == ["ref:0", "tied:0"]


def test_two_reward_models_on_the_benchmark(tmp_path, capsys):
    for seed, name in enumerate(("ours", "theirs")):
        tiny_reward_model(seed=seed, vocabulary=len(tiny_tokenizer())).save_pretrained(tmp_path / name)
        tiny_tokenizer().save_pretrained(tmp_path / name)
    data = write(tmp_path / "rows.jsonl", rows_of(4))
    words = ["--reward_model", tmp_path / "ours", "--baseline", tmp_path / "theirs", "--data", data]
    assert (app(["eval", *map(str, words), "--out", str(tmp_path / "out")], standalone_mode=False) or 0) == 0
    assert "RewardBench 2" in capsys.readouterr().out
    record = read_record(tmp_path / "out" / "evaluation.json")
    assert {f"reward_bench_2/{subset}" for subset in SUBSETS} < set(record.summary("ours"))
    assert "reward_bench_2" in record.differences()["ours", "theirs"]
    lines = [json.loads(line) for line in (tmp_path / "out" / "reward_bench_2.jsonl").read_text().splitlines()]
    assert [len(line["scores"]["ours"]) for line in lines] == [4] * 20 + [3, 5] * 4
    maths = [line for line in lines if line["subset"] == "Math"]
    expected = np.mean([best_is_right(line["scores"]["ours"]) for line in maths])
    assert record.summary("ours")["reward_bench_2/Math"].value == pytest.approx(expected)
    assert "RewardBench 2: " in (tmp_path / "out" / "report.html").read_text()


def test_a_bad_row_of_the_benchmark_is_named_alone(tmp_path, capsys):
    data = write(tmp_path / "rows.jsonl", [row | {"chosen": "yes"} for row in rows_of()])
    words = ["--reward_model", "none", "--data", data, "--out", tmp_path / "out"]
    assert app(["eval", *map(str, words)], standalone_mode=False) == 1
    error = capsys.readouterr().err
    assert "there is no list of texts" in error
    assert "Read as pairs" not in error


def test_the_page_of_one_subset_says_that_it_is_not_the_benchmark(tmp_path):
    part = {"reward_bench_2/Math": Estimate(0.5, 0.4, 0.6, 32)}
    page = evaluation_view(tmp_path, scores_record({"ours": part}, {}))
    assert page.verdict == [
        "RewardBench 2, Math: 50 % [40, 60; 32 items] for ours; there is no baseline to compare with."
    ]
    assert page.findings[0].title == "ours: no score of RewardBench 2, only of Math (32)"
