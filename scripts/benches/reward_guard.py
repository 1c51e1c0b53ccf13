"""What guarding a reward costs, and what workers give.

    python -m scripts.benches.reward_guard --check_bars --json bench.json

Overhead is the time of a guarded call on 100 completions (1,000 characters, 200 tokens, two columns) less that of the
bare call of the same reward, which does nothing but return numbers. Gain is the time of a reward that computes for
20 ms of CPU time per completion, called in this process, over its time in four workers. Both arms take turns; the
overhead is the least of the rounds, since other work on the machine can only add to it, and the gain the median of
the rounds' ratios. The gain needs as many free cores as it is to show.

Repeats are what `reward_repeats: 0.05` adds: eight of 64 completions scored again, as a share of the call on all of
them (times the share of a step that is spent on rewards, `time/rewards`, it is the share of a step). Eight of 64 is
0.125 where calls wait for a free worker, and one more round trip for a judge that answers all at once.
"""

import argparse
import asyncio
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rewards.catalog import resolve_reward
from rewards.running.guard import GuardedReward, GuardSettings, guard_rewards
from rewards.running.protocol import is_async
from scripts.harness import Options, write_numbers

OVERHEAD_BAR = 2.0  # ms per 100 completions
GAIN_BAR = 1.7  # times, on two cores
WORK = 0.02  # seconds of CPU time
ROUND_TRIP = 0.2  # seconds
COMPLETIONS = 100
IN_STEP, AGAIN = 64, 8


def trivial(completions: list[str], **kwargs: Any) -> list[float]:
    """Rewards every completion."""
    return [1.0] * len(completions)


def busy(completions: list[str], **kwargs: Any) -> list[float]:
    """Computes for some time on every completion."""
    for _ in completions:
        end = time.process_time() + WORK
        while time.process_time() < end:
            pass
    return [1.0] * len(completions)


async def waiting(completions: list[str], **kwargs: Any) -> list[float]:
    """Waits as for a judge that answers every completion at the same time."""
    await asyncio.sleep(ROUND_TRIP)
    return [1.0] * len(completions)


def guard(name: str, settings: GuardSettings, given: dict[str, Any]) -> GuardedReward:
    """Guards a reward of this file, and makes a first call, which starts the workers."""
    guarded = GuardedReward(resolve_reward(f"{Path(__file__).resolve()}:{name}"), settings)
    if guarded(**given) != [1.0] * COMPLETIONS:
        raise SystemExit(f"The reward failed: {guarded.take_scores()[0].message}")
    return guarded


def arguments_of_a_call(count: int) -> dict[str, Any]:
    """Makes what TRL hands to a reward, with contents of a usual size."""
    return {
        "prompts": ["x" * 300] * count,
        "completions": [f"{i}" + "y" * 1000 for i in range(count)],
        "completion_ids": [list(range(i, i + 200)) for i in range(count)],
        "answer": ["A"] * count,
        "trainer_state": argparse.Namespace(global_step=1),
        "log_extra": lambda column, values: None,
        "log_metric": lambda name, value: None,
    }


def seconds(func: Callable[..., Any], given: dict[str, Any]) -> float:
    """Times one call."""
    started = time.perf_counter()
    func(**given)
    return time.perf_counter() - started


def overhead(settings: GuardSettings, rounds: int) -> dict[str, float]:
    """Measures the overhead of a guard, in ms per 100 completions."""
    given = arguments_of_a_call(COMPLETIONS)
    guarded = guard("trivial", settings, given)
    bare = min(seconds(trivial, given) for _ in range(rounds))
    times = sorted(seconds(guarded, given) - bare for _ in range(rounds))
    guarded.close()
    return {"least": 1000 * times[0], "median": 1000 * statistics.median(times), "p90": 1000 * times[9 * rounds // 10]}


def gain(workers: int, rounds: int) -> dict[str, float]:
    """Measures how many times faster workers are than this process."""
    given = arguments_of_a_call(COMPLETIONS)
    guarded = guard("busy", GuardSettings(workers, timeout=60.0), given)
    pairs = [(seconds(busy, given), seconds(guarded, given)) for _ in range(rounds)]
    guarded.close()
    alone, shared = (statistics.median(times) for times in zip(*pairs, strict=True))
    ratio = statistics.median(one / other for one, other in pairs)
    return {"one_process_s": alone, "workers_s": shared, "ratio": ratio}


def repeats(workers: int, rounds: int) -> dict[str, float]:
    """Measures what scoring eight of 64 completions again adds to the time of scoring all of them."""
    in_workers = GuardSettings(workers, timeout=60.0)
    return {
        "here": share_again("busy", GuardSettings(), rounds),
        "workers": share_again("busy", in_workers, rounds),
        "awaited": share_again("waiting", GuardSettings(), rounds),
    }


def share_again(name: str, settings: GuardSettings, rounds: int) -> float:
    """Measures it for one reward of this file."""
    given, rows = arguments_of_a_call(IN_STEP), list(range(0, IN_STEP, IN_STEP // AGAIN))
    (guarded,) = guard_rewards([resolve_reward(f"{Path(__file__).resolve()}:{name}")], settings)
    finish = asyncio.run if is_async(guarded) else lambda values: values

    def everything() -> None:
        finish(guarded(**given))

    def again() -> None:
        finish(guarded.score_again(given, rows))

    everything()  # starts the workers
    shares = [seconds(again, {}) / seconds(everything, {}) for _ in range(rounds)]
    guarded.close()
    return statistics.median(shares)


def main(argv: list[str] | None = None) -> int:
    """Runs the benchmark."""
    parser = Options(__doc__)
    parser.add_argument("--rounds", type=int, default=200, help="Of the trivial reward.")
    parser.add_argument("--busy_rounds", type=int, default=3, help="Of the reward that computes.")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_numbers("exit code 1 if a bar is missed")
    arguments = parser.parse_args(argv)
    here = overhead(GuardSettings(), arguments.rounds)
    there = overhead(GuardSettings(arguments.workers, timeout=60.0), arguments.rounds)
    faster = gain(arguments.workers, arguments.busy_rounds)
    again = repeats(arguments.workers, arguments.busy_rounds)
    for name, times in (("in this process", here), (f"in {arguments.workers} workers", there)):
        print(
            f"overhead {name}: least {times['least']:.2f} ms, median {times['median']:.2f} ms, 90 % below "
            f"{times['p90']:.2f} ms per {COMPLETIONS} completions (bar {OVERHEAD_BAR:g})"
        )
    print(
        f"gain of {arguments.workers} workers: {faster['ratio']:.2f} times ({faster['one_process_s']:.2f} s to "
        f"{faster['workers_s']:.2f} s; bar {GAIN_BAR:g} on two free cores)"
    )
    print(
        f"{AGAIN} of {IN_STEP} completions scored again: {again['here']:.0%} of the rewards' time in this process, "
        f"{again['workers']:.0%} in {arguments.workers} workers, {again['awaited']:.0%} of a judge that is awaited"
    )
    held = max(here["least"], there["least"]) <= OVERHEAD_BAR and faster["ratio"] >= GAIN_BAR
    results = {"overhead_ms": {"here": here, "workers": there}, "gain": faster, "repeats": again, "held": held}
    write_numbers(arguments.json, results, {"cores": os.cpu_count(), "load": os.getloadavg()[0]})
    return int(arguments.check_bars and not held)


if __name__ == "__main__":
    raise SystemExit(main())
