"""Rewards that break the contract in odd ways: every one gets its findings, and no other reward pays for it."""

import pytest
from campaign import check_refusal, is_whole_campaign, require, run_cases
from drawn_rewards import PRELUDE, draw_reward
from in_time import whatever_the_speed

from align.checks.rewards import Handling, try_rewards
from rewards.running.contract import FAULTS, Limits, LocalSubject, RewardSpec, Settings, try_reward

pytestmark = pytest.mark.slow
IN_BATCH = 5
# What a reward may be told that keeps the contract and pays the wrong answers.
OF_TASTE = {"wrong_above_right", "pays_nothing", "constant"}
SETTINGS = Settings(max_seconds=1.0)


def check_problems(drawn, tried):
    """Every finding can be shown; a reward that always breaks the contract has one, a sound one has none."""
    for problem in tried.problems:
        check_refusal(str(problem))
    errors = [
        problem for problem in tried.problems if FAULTS[problem.kind].level == "error" and problem.kind not in OF_TASTE
    ]
    told = errors or [problem for problem in tried.problems if problem.kind == "needs_data"]
    require(not drawn.is_broken or told, f"nothing is found in {drawn.source}")
    require(not drawn.is_sound or not errors, f"{errors} in {drawn.source}")
    return "with errors" if errors else "without errors"


@pytest.mark.parametrize("count", [8, pytest.param(40, marks=pytest.mark.nightly)])
def test_fuzz_local(tmp_path, count):
    def case(rng):
        drawn = draw_reward(rng, "drawn")
        path = tmp_path / "own.py"
        path.write_text(PRELUDE + drawn.source, encoding="utf-8", errors="surrogatepass")
        scope = {}
        exec(compile(PRELUDE + drawn.source, str(path), "exec"), scope)
        return check_problems(drawn, try_reward(LocalSubject(scope["drawn"]), SETTINGS))

    ends = run_cases("local", count, case)
    assert not is_whole_campaign() or min(ends.values()) > count / 10


@pytest.mark.parametrize("count", [2, pytest.param(5, marks=pytest.mark.nightly)])
@whatever_the_speed(0.5, 10.0)
def test_fuzz_processes(tmp_path, count, seconds):
    """A batch is a few wild rewards and a sound one behind them in the same process."""

    def case(rng):
        drawn = [draw_reward(rng, f"r{i}", wild=i < IN_BATCH - 1) for i in range(IN_BATCH)]
        path = tmp_path / "own.py"
        path.write_text(PRELUDE + "".join(each.source for each in drawn), encoding="utf-8")
        specs = [RewardSpec(f"{path}:r{i}") for i in range(IN_BATCH)]
        found = try_rewards(specs, SETTINGS, Handling(Limits(call=seconds), memory_gb=2))
        return ", ".join(sorted({check_problems(*each) for each in zip(drawn, found, strict=True)}))

    run_cases("processes", count, case, seconds=120 * seconds)
