import re
from pathlib import Path

import pytest
from in_time import whatever_the_speed

from align.checks.rewards import Handling, spread, trial_findings, try_rewards
from rewards.running.contract import Limits, RewardSpec, Settings

FOLDER = Path(__file__).resolve().parents[1] / "rewards" / "broken_rewards"
# What is found in rewards that take their process with them.
FOUND = {
    "sleeps_for_ever": {"hangs": r"did not return within \d+ s on the wrong answer in answer tags"},
    "hangs_on_an_empty_response": {"hangs_sometimes": r"did not return within \d+ s on an empty response"},
    "expression_that_never_ends": {"hangs_sometimes": r"within \d+ s on 20 000 equal characters"},
    "ends_the_process": {"dies": "ends its process on .*: its process ended with exit code 3"},
    "kills_itself": {"dies": "its process was ended by SIGKILL"},
    "exits": {"raises": "raised SystemExit: the judge is not configured"},
    "dead_server": {"raises": "raised URLError: .*refused"},
    "writes_past_python": {},
}
# What is found in rewards whose values are honest; all of them take turns in one process.
SHARED = {
    "waits_in_a_thread_for_ever": {
        "keeps_threads": r"leaves \d+ threads running .*: judge, judge, judge and \d+ more"
    },
    "comes_back_twice": {"leaves_processes": r"leaves processes behind: \d+ after \d+ calls"},
    "starts_a_process_for_each_call": {"leaves_processes": r"leaves processes behind: \d+ after \d+ calls"},
    "raises_without_a_text": {"raises": r"raised NoText, whose text cannot be read"},
    "interrupts": {"raises": r"raised KeyboardInterrupt"},
    "floods_past_python": {"floods": r"writes \d+ MB to standard error, or past Python"},
    "aborts": {"dies": "its process was ended by SIGABRT"},
}
LOADING = {
    "import time\ntime.sleep(3600)\n": ("hangs", r"could not be loaded within \d+ s"),
    "import os\nos._exit(5)\n": ("dies", "cannot be loaded: its process ended with exit code 5"),
    "def reward(:\n": ("not_found", "SyntaxError"),
    "other = 1\n": ("not_found", "has no 'reward'"),
    "reward = 1\n": ("not_found", "is a int, not a function"),
}


@pytest.mark.slow
@whatever_the_speed(2.0, 30.0)
def test_a_reward_that_takes_its_process_with_it_is_found_and_the_others_are_still_tried(tmp_path, seconds):
    specs = [RewardSpec(f"{FOLDER / 'broken_processes.py'}:{name}") for name in FOUND]
    for index, source in enumerate(LOADING):
        (tmp_path / f"own{index}.py").write_text(source)
        specs.append(RewardSpec(f"own{index}.py:reward", base_dir=tmp_path))
    limits = Limits(call=seconds, to_load=60.0)
    found = try_rewards(specs, Settings(form="messages", max_seconds=60.0), Handling(limits))
    expected = [*FOUND.values(), *({kind: message} for kind, message in LOADING.values())]
    assert [[problem.kind for problem in each.problems] for each in found] == [list(each) for each in expected]
    for tried, messages in zip(found, expected, strict=True):
        for problem, message in zip(tried.problems, messages.values(), strict=True):
            with pytest.raises(ValueError, match=message):
                raise ValueError(str(problem))


@pytest.mark.slow
def test_a_slow_reward_is_tried_on_few_responses():
    spec = RewardSpec(f"{FOLDER / 'broken_processes.py'}:takes_a_tenth_of_a_second")
    settings, limits = Settings(form="messages", max_seconds=0.5), Limits(call=600.0)
    (tried,) = try_rewards([spec], settings, Handling(limits))
    few, slow = map(str, tried.problems)
    assert re.search(r"takes [\d.]+ s per completion and was tried on 4 of \d+ responses only", few)
    assert re.search(r"takes [\d.]+ s per completion: about \d+ s per step of 64 completions", slow)


@pytest.mark.slow
def test_what_a_reward_does_to_the_process_it_shares_is_found():
    specs = [RewardSpec(f"{FOLDER / 'broken_globals.py'}:{name}") for name in SHARED]
    for (name, messages), tried in zip(SHARED.items(), try_rewards(specs, Settings(form="text")), strict=True):
        assert [problem.kind for problem in tried.problems] == list(messages), name
        assert re.search(*messages.values(), str(tried.problems[0])), tried.problems


CLEAN = (
    "starts_helpers_once",
    "runs_a_program",
    "looks_after_a_program_later",
    "awaited",
    "logs_what_it_read",
    "hashes_the_text",  # it differs between processes, which is not looked for; nor are the settings of the next
    "keeps_to_small_settings",
)


@pytest.mark.slow
def test_nothing_is_found_in_clean_rewards_in_one_process():
    specs = [*(RewardSpec(f"{FOLDER / 'clean_rewards.py'}:{name}") for name in CLEAN), RewardSpec("accuracy")]
    assert [tried.problems for tried in try_rewards(specs, Settings())] == [[]] * len(specs)


def test_what_loading_a_reward_does_is_found(tmp_path):
    (tmp_path / "own.py").write_text(
        "import torch\ntorch.set_grad_enabled(False)\n"
        "def reward(completions, **kwargs):\n    return [float(len(text)) for text in completions]\n"
    )
    (tried,) = try_rewards([RewardSpec("own.py:reward", base_dir=tmp_path)], Settings(form="text"))
    assert [problem.kind for problem in tried.problems] == ["torch"]
    assert "gradients (now off)" in str(tried.problems)


@pytest.mark.slow
def test_a_reward_that_breaks_imports_is_not_paid_for_by_the_next(tmp_path):
    scores = "    return [float(len(text)) for text in completions]\n"
    start = "def reward(completions, **kwargs):\n"
    (tmp_path / "breaks.py").write_text(f"import sys\n{start}    sys.modules.clear()\n{scores}")
    (tmp_path / "imports.py").write_text(f"import tempfile\n{start}{scores}")
    specs = [RewardSpec(f"{name}.py:reward", base_dir=tmp_path) for name in ("breaks", "imports")]
    _, tried = try_rewards(specs, Settings(form="text"))
    assert "cannot be used" not in str(tried.problems)
    assert tried.num_calls > 20


def test_a_failure_that_the_guard_survives_is_a_warning(tmp_path):
    (tmp_path / "own.py").write_text(
        "def reward(completions, **kwargs):\n    return [1 / len(text) for text in completions]\n"
    )
    (tried,) = try_rewards([RewardSpec("own.py:reward", base_dir=tmp_path)], Settings(form="text"))
    (error,) = trial_findings("own.py:reward", tried, 64)
    assert (error.level, error.numbers) == ("error", {"reward": "reward", "kind": "fails_on_odd"})
    assert "ZeroDivisionError: division by zero" in error.text
    warning, ok = trial_findings("own.py:reward", tried, 64, bearable=["fails_on_odd"])
    assert (warning.level, warning.text, ok.level) == ("warning", error.text, "ok")
    seen = ok.numbers["rarest_change_seen"]
    assert 0 < seen < 0.05
    assert f"A value that changed in 1 of {int(1 / seen)} calls would be noticed 95 times of 100." in ok.text


def test_rows_are_taken_from_all_over_the_data():
    rows = [{"id": index} for index in range(10_000)]
    picked = [row["id"] for row in spread(rows)]
    assert len(picked) == len(set(picked)) == 256
    assert picked[:4] == [0, 625, 1250, 1875]
    assert spread(rows[:3]) == rows[:3]
