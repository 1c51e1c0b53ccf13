import json

import pytest
from written_run import write_run

from align.report import build_report
from align.report.run.facts import find_problems
from align.report.run.folder import read_run_folder
from align.report.run.reward_calls import read_reward_calls

SLOW = {"seconds": 4.2, "prompt": "q?", "completion": "<b>slow</b>"}
FAILED = {"seconds": 5.0, "prompt": "q?", "completion": "hung", "failure": "timeout", "message": "no result after 5 s"}


def write_calls(folder, steps=3):
    lines = [
        {
            "step": step, "mode": "train", "reward": "own", "rows": 100, "none": 2, "invalid": {"timeout": 1},
            "seconds": {"p50": 0.001, "p95": 0.01 * step, "max": 5.0}, "failed": [FAILED], "slowest": [SLOW],
        }
        for step in range(1, steps + 1)
    ]  # fmt: skip
    (folder / "rewards.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 4, "mo')


def titles(folder):
    return [finding.title for finding in find_problems(read_run_folder(folder))]


def test_calls_are_counted_over_the_run(tmp_path):
    folder = write_run(tmp_path / "run", steps=8)
    assert read_reward_calls(folder) is None
    write_calls(folder)
    calls = read_reward_calls(folder)
    assert list(calls.counts[0].values()) == ["own", "300", "6", "3 (3 timeout)", "1", "30", "5"]
    assert [row.why for row in calls.rows] == ["4.20 s"] * 3 + ["timeout: no result after 5 s"] * 3


def test_steps_that_were_taken_again_count_once(tmp_path):
    folder = write_run(tmp_path / "run", steps=8)
    write_calls(folder, steps=5)
    first = (folder / "rewards.jsonl").read_text().splitlines()[:5]
    (folder / "rewards.jsonl").write_text("\n".join([*first, '{"step": 6, "mo', *first[3:]]) + "\n")
    assert read_reward_calls(folder).counts[0]["completions"] == "500"


def test_what_came_before_the_checkpoint_that_a_run_goes_on_from_stays(tmp_path):
    """Killed in step 5, or after an evaluation at step 4, or in step 7 with another evaluation at step 6."""
    folder = write_run(tmp_path / "run", steps=8)
    write_calls(folder, steps=7)
    steps = [json.loads(line) for line in (folder / "rewards.jsonl").read_text().splitlines()[:7]]
    evaluated = [steps[step - 1] | {"mode": "eval"} for step in (4, 6)]
    for before in (steps[:5], [*steps[:4], evaluated[0], *steps[4:6], evaluated[1], steps[6]]):
        lines = [*before, {"goes_on_after": 4}, *steps[4:6], evaluated[1], steps[6]]
        (folder / "rewards.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        expected = 7 + 1 + (evaluated[0] in before)
        assert read_reward_calls(folder).counts[0]["completions"] == f"{100 * expected}"


def test_the_report_shows_slow_and_failed_rows_and_escapes_them(tmp_path):
    folder = write_run(
        tmp_path / "run", steps=8, **{"rewards/own/seconds_p95": 0.2, "rewards/own/invalid_share": 0.01}
    )
    write_calls(folder)
    page = build_report(folder).read_text()
    assert "Calls of rewards" in page
    assert "&lt;b&gt;slow&lt;/b&gt;" in page
    assert "Invalid rewards" in page
    assert "Time of a reward, seconds" in page


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("audit/total/length", 0.9, "Audit: The total reward goes up with the number of tokens"),
        ("audit/total/phrase", 0.6, "goes up with words that completions of several prompts share"),
        ("rewards/own/invalid_share", 0.06, "Audit: Reward `own` gives values nothing can be learnt from"),
    ],
)
def test_a_signal_above_its_limit_is_a_finding(tmp_path, key, value, words):
    folder = write_run(tmp_path / "run", steps=40, **{key: value})
    assert any(words in title for title in titles(folder))
    calm = write_run(tmp_path / "calm", steps=40, **{key: value / 10})
    assert not any("Audit" in title for title in titles(calm))


NOISE = {
    "flaky_share": 0.12, "repeat_difference": 0.08, "repeat_icc": 0.9, "noise_variance": 0.031,
    "group_variance": 0.1, "noise_share": 0.4,
}  # fmt: skip


def test_noise_is_a_finding_in_words(tmp_path):
    noise = {f"rewards/judge/{name}": value for name, value in NOISE.items()}
    found = find_problems(read_run_folder(write_run(tmp_path / "run", steps=40, **noise)))
    (finding,) = [each for each in found if "judge" in each.title]
    assert finding.title.endswith("its variance within a prompt's completions is noise: 0.40 [10 logs], above 0.2")
    assert "Fix what varies" in finding.detail
    page = build_report(tmp_path / "run").read_text()
    assert "Noise of a reward, share of its variance" in page
    assert "Values that differ when scored again" in page
    calm = write_run(tmp_path / "calm", steps=40, **noise | {"rewards/judge/noise_share": 0.19})
    assert not any("judge" in title for title in titles(calm))


def test_a_share_of_differing_values_is_a_finding_where_the_recipe_asks_for_it(tmp_path):
    quiet = {"rewards/tests/flaky_share": 0.02, "rewards/tests/noise_variance": 0.0, "rewards/tests/repeat_icc": 1.0}
    folder = write_run(tmp_path / "run", steps=40, **quiet)
    assert not any("tests" in title for title in titles(folder))
    recipe = folder / "recipe.yaml"
    recipe.write_text(recipe.read_text() + "alarms: {tests/flaky_share: 0.01}\n")
    (found,) = [title for title in titles(folder) if "tests" in title]
    assert found.endswith("this share of its values differs when they are scored again: 0.02 [10 logs], above 0.01")


def test_limits_are_the_recipes(tmp_path):
    folder = write_run(tmp_path / "run", steps=40, **{"audit/total/length": 0.9, "audit/format/length": 0.4})
    recipe = folder / "recipe.yaml"
    recipe.write_text(recipe.read_text() + "alarms: {length: null, format/length: 0.3}\n")
    found = [title for title in titles(folder) if "Audit" in title]
    assert len(found) == 1
    assert "Reward `format` goes up with the number of tokens" in found[0]
