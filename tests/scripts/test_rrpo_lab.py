import math
import random
from pathlib import Path

import pytest
import torch
from loaded_script import load_script
from transformers import AutoModelForCausalLM, AutoTokenizer

from align.data.pairs.preferences import load_preferences

ROOT = Path(__file__).resolve().parents[2]
LAB = ROOT / "recipes/rrpo/assets/lab"


@pytest.fixture(scope="module")
def world():
    return load_script("labs.rrpo.world")


@pytest.fixture(scope="module")
def measure():
    return load_script("labs.rrpo.measure")


@pytest.fixture(scope="module")
def lab():
    return load_script("labs.rrpo.lab")


@pytest.fixture(scope="module")
def tokenizer(world):
    return world.make_tokenizer()


@pytest.fixture(scope="module")
def model():
    return AutoModelForCausalLM.from_pretrained(LAB / "model", dtype=torch.float32).eval()


def test_the_script_writes_the_committed_pairs_again(tmp_path):
    load_script("labs.rrpo.make").main(["--out", str(tmp_path), "--data_only"])
    for name in ("train.jsonl", "eval.jsonl"):
        assert (tmp_path / name).read_text() == (LAB / name).read_text()


@pytest.mark.parametrize("name", ["train", "eval"])
def test_the_committed_pairs_differ_in_a_true_and_a_wrong_city_and_job(world, name):
    facts = world.make_world(0).facts
    pairs, _ = load_preferences(LAB / f"{name}.jsonl")
    for pair in pairs:
        (person,) = [each for each in facts if each in pair.prompt.split()]
        differing = [(a, b) for a, b in zip(pair.chosen.split(), pair.rejected.split(), strict=True) if a != b]
        assert [a for a, _ in differing] == list(facts[person].values())


def test_the_committed_policy_tells_about_half_of_the_facts_right(measure, world, model):
    tokenizer = AutoTokenizer.from_pretrained(LAB / "model")
    held_out = measure.HeldOut.draw(world.make_world(0), tokenizer, 0)
    start = measure.Meter(model, held_out, whole=False).measure(model)
    assert 0.35 < start["p_correct"] < 0.6
    assert start["kl_total"] == pytest.approx(0, abs=1e-4)
    assert start["probe_p_correct"] > 0.9
    assert sum(path.stat().st_size for path in (LAB / "model").iterdir()) < 1_000_000


def test_spans_are_the_texts_of_the_facts(world):
    drawn, rng = world.make_world(3), random.Random(0)
    for name in world.NAMES:
        response, other = world.make_pair(drawn, name, rng)
        told = [response.text[start:end] for start, end in response.spans]
        assert told == list(drawn.facts[name].values())
        wrong = [other.text[start:end] for start, end in other.spans]
        assert all(a != b for a, b in zip(told, wrong, strict=True))


def test_masks_pick_the_facts_and_the_end_of_the_response(world, measure, tokenizer):
    response = world.Response(("avo", "lives", "in", "rome", "."), (0, 0, 0, 1, 0))
    longer = world.Response(("avo", "now", "lives", "in", "rome", "."), (0, 0, 0, 0, 1, 0))
    texts = measure.tokenise(tokenizer, [("who is avo ?", response), ("who is avo ?", longer)])
    targets = texts.ids[:, 1:]
    assert tokenizer.decode(targets[texts.facts == 1]) == "rome rome"
    assert tokenizer.decode(targets[0][texts.response[0]]) == "avo lives in rome . <eos>"
    assert tokenizer.decode(targets[1][texts.response[1]]) == "avo now lives in rome . <eos>"


def test_a_path_is_read_where_it_first_reaches_the_target(measure):
    path = [
        {"p_correct": p, "kl_total": kl} for p, kl in ((0.5, 0.0), (0.7, 1.0), (0.9, 3.0), (0.6, 9.0), (0.9, 12.0))
    ]
    assert measure.at_target(path, 0.8) == pytest.approx({"p_correct": 0.8, "kl_total": 2.0})
    assert math.isnan(measure.at_target(path, 0.95)["kl_total"])
    assert measure.at_target(path, 0.5)["kl_total"] == 0.0


def _runs(shared, total):
    return [{"kl_shared": s, "kl_total": t, "step": 10.0} for s, t in zip(shared, total, strict=True)]


def test_a_ratio_is_the_geometric_mean_over_seeds(lab):
    estimate = lab.ratio(_runs([1.0, 4.0], [1, 1]), _runs([1.0, 1.0], [1, 1]), "kl_shared")
    assert estimate.value == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("shared", "total", "step", "holds"),
    [
        (0.7, 0.9, 10.0, [True, True, True]),
        (0.8, 0.9, 10.0, [False, True, True]),
        (0.7, 1.1, 10.0, [True, False, True]),
        (math.nan, math.nan, math.nan, [False, False, False]),
    ],
)
def test_bars_hold_only_for_what_was_reached(lab, shared, total, step, holds):
    runs = {"dpo": _runs([1.0] * 3, [1.0] * 3), "rrpo": _runs([shared] * 3, [total] * 3)}
    for run in runs["rrpo"]:
        run["step"] = step
    assert list(lab.check_bars(runs).values()) == holds


def test_the_tuned_baseline_is_the_cheapest_that_reached_the_target_everywhere(lab):
    grid = {"a": _runs([1, 1], [3.0, 3.0]), "b": _runs([1, 1], [1.0, math.nan]), "c": _runs([1, 1], [2.0, 2.0])}
    assert lab.pick_tuned(grid) == "c"
    with pytest.raises(ValueError, match="No setting of the grid"):
        lab.pick_tuned({"b": grid["b"]})


@pytest.mark.slow
def test_an_arm_learns_the_facts_from_the_committed_policy(lab, measure, world, model):
    drawn = world.make_world(0)
    held_out = measure.HeldOut.draw(drawn, world.make_tokenizer(), 0)
    start = lab.Start(0, model, world.make_rows(drawn, lab.PAIRS_PER_NAME, 0), held_out)
    path = lab.run_arm(start, {"beta": 0.1, "learning_rate": 1e-4, "kl_coef": 0.01}, max_steps=8)
    assert [point["step"] for point in path] == [0, 4, 8]
    assert path[-1]["p_correct"] > path[0]["p_correct"] + 0.03
    assert path[-1]["reward_accuracy"] > 0.8
    assert path[-1]["kl_shared"] < path[-1]["kl_total"]
