"""The lab of traces that must compute: its worlds, its start policies, its arms, and what it keeps."""

import json
import random

import pytest
import torch
from loaded_script import load_script

from rewards.reading.options import LETTERS
from rewards.reading.responses import parse_response

worlds = load_script("labs.regime.worlds")
arms = load_script("labs.regime.arms")
lab = load_script("labs.regime.lab")
PLACE = arms.Place(worlds.World.draw("sums", 0), 2)


@pytest.mark.parametrize("name", worlds.WORLDS)
def test_a_demonstration_names_the_option_of_its_trace_and_guesses_where_there_is_none(name):
    world, rng, letters = worlds.World.draw(name, 0), random.Random(0), []
    for _ in range(600):
        prompt, response, learnt = worlds.demonstration(world, 2, rng, lookups=0.3)
        options = [line.partition(". ")[2] for line in prompt.splitlines()[1:]]
        found = parse_response(response)
        end = found.trace.rpartition(";")[2]
        if end in options:
            assert options[LETTERS.index(found.answer)] == end
        else:
            assert learnt
            letters.append(found.answer)
        text = worlds.demonstration(world, 0, rng, lookups=0.3)
        assert parse_response(text[1]).answer == parse_response(text[1]).trace.rpartition(";")[2]
    assert 0.4 < letters.count("A") / len(letters) < 0.6


@pytest.mark.parametrize("name", worlds.WORLDS)
def test_traces_are_right_as_often_as_is_known_and_no_question_is_in_both_parts(name):
    world, rng = worlds.World.draw(name, 0), random.Random(0)
    assert not set(world.train) & set(world.held_out)
    asked = world.train * 8
    right = sum(world.draw_trace(question, rng)[1] == world.right(question) for question in asked) / len(asked)
    assert 0.15 < right < 0.45


def test_right_answers_follow_from_the_table():
    sums, largest = (worlds.World.draw(name, 3) for name in ("sums", "largest"))
    assert sums.right("ab") == str((int(sums.table["a"]) + int(sums.table["b"])) % 10)
    assert largest.right("ab") == max(largest.table["a"], largest.table["b"])
    hops = worlds.World.draw("hops", 3)
    assert hops.right("aQ") == hops.owned["Q" + hops.table["a"]]


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        few = arms.Phase(2, 1e-3, 0.5)
        patch.setattr(arms, "LOOKUP", {2: few, 4: few})
        patch.setattr(arms, "TASK", few)
        return arms.start_policy(PLACE, 0, tmp_path_factory.mktemp("starts"))


@pytest.mark.by_day("start", "acre, sampled")
@pytest.mark.parametrize("arm", ["start", "acre, sampled", "placebo", "text"])
def test_an_arm_trains_from_a_start_and_is_measured(start, arm):
    torch.set_num_threads(1)
    found = arms.run_arm(arm, PLACE, start, 0, {"max_steps": 1})
    assert set(lab.METRICS) - {"steps_to_reach"} <= set(found)
    assert all(0 <= found[name] <= 1 for name in lab.METRICS if name != "steps_to_reach")
    if arm != "start":
        assert found["tokens"] <= 2 * 64 * 11


def test_what_was_kept_is_not_run_again_and_differences_are_paired(tmp_path, monkeypatch):
    values = {("grpo", 0): 0.1, ("grpo", 1): 0.3, ("acre", 0): 0.2, ("acre", 1): 0.4}
    asked = []

    def run_arm(arm, place, start, seed, overrides):
        asked.append((arm, seed))
        return dict.fromkeys(lab.METRICS, values[arm, seed])

    monkeypatch.setattr(lab, "run_arm", run_arm)
    monkeypatch.setattr(lab, "start_policy", lambda *args: tmp_path)
    kept, out = tmp_path / "new" / "kept.jsonl", tmp_path / "out.json"
    words = ["--worlds", "sums", "--arms", "grpo", "acre", "--seeds", "2", "--kept", str(kept), "--json", str(out)]
    lab.main(words)
    whole = kept.read_text()
    kept.write_text(whole[:-9])  # a kill cuts the last line off
    lab.main(words)
    assert asked == [("grpo", 0), ("acre", 0), ("grpo", 1), ("acre", 1), ("acre", 1)]
    assert kept.read_text() == whole
    runs = json.loads(out.read_text())["runs"]["sums, K = 2"]
    assert [run["accuracy"] for run in runs["acre"]] == [0.2, 0.4]
    assert [run["accuracy"] for run in lab.differences(runs, "acre", ["accuracy"])["grpo"]] == pytest.approx(
        [-0.1] * 2
    )
