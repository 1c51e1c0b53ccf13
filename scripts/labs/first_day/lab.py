"""How often warnings are false on the first day: 8 to 32 completions a step, 24 to 100 items, where nothing is wrong.

Null worlds: rewards and answers have nothing to do with what a warning is about, or a share is at its limit exactly.
Planted worlds: they have, as strongly as it says. The code that warns is that of runs and pages. Eight minutes a core.
"""

import argparse
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stderr
from io import StringIO
from types import SimpleNamespace
from typing import Any

import numpy as np
from transformers import TrainerControl

from align.evaluation.statistics.metrics import Estimate, wilson
from align.evaluation.suites.questions.answering import ItemResult
from align.evaluation.suites.questions.metrics import letter_estimates
from align.evaluation.suites.reward_model.pair_metrics import rank_correlation
from align.methods import METHODS
from align.methods.rollouts.tool_report import REPORT
from align.recipe.alarms import ALARMS, LOGP_DIFFERENCE
from align.recipe.reward_settings import RewardSettings
from align.report.evaluation.pairs import _of_judge as find_judge_problems
from align.report.evaluation.questions import find_problems
from align.report.evaluation.reward_model import _find_problems as find_model_problems
from align.report.run.finding import look_at
from align.report.run.folder import Series
from align.training.callbacks import AlarmLines
from align.training.reward_records import (
    SharedPhrases,
    Signal,
    add_noise_shares,
    audit_signals,
    group_variance,
    main_total,
    phrase_signal,
    shared_phrases,
    text_features,
)
from rewards import Format
from scripts.harness import Options, tell, write_numbers

SIZES = ((1, 8), (2, 4), (2, 8), (4, 8))  # prompts of a step, completions of each
STEPS, ITEMS = 80, (24, 50, 100)
PAID = ("length", "format", "repetition", "phrase")
Draw = np.random.Generator
World = Callable[[Draw], Iterator[str]]  # of one run or evaluation: the warnings that it gives


def rewarded(draw: Draw, kind: str, size: int) -> np.ndarray:
    """Draws rewards that go with nothing."""
    return draw.normal(size=size) if kind == "a judge" else (draw.random(size) < 0.2).astype(float)


def chance(prompts: int, group: int, kind: str, pays: str = "") -> World:
    """Makes runs whose reward goes with nothing that can be seen, or with what it `pays` for, and noise."""

    def run(draw: Draw) -> Iterator[str]:
        size = prompts * group
        logged, heard = [], []
        for _ in range(STEPS):
            features = draw.poisson((40, 0, 1, 1, 1, 2, 2), (size, 7)).astype(float)
            features[:, 1] = np.where(draw.random(size) < 0.3, draw.random(size), 0.0)
            present = (draw.random((size, 12)) < 0.3).astype(np.float32)
            rewards = rewarded(draw, kind, size)
            if pays:
                paid = {"length": features[:, 0], "format": features[:, 6], "repetition": features[:, 1] > 0,
                        "phrase": present[:, 0]}[pays]  # fmt: skip
                rewards = rewards + 3 * (paid - paid.mean()) / (paid.std() + 1e-9)
            table = present.reshape(prompts, group, -1)
            phrases = SharedPhrases([f"w{i}" for i in range(12)], table - table.mean(axis=1, keepdims=True))
            found = audit_signals(rewards, features, group) | {"phrase": phrase_signal(rewards, phrases)}
            heard.append({f"audit/total/{name}": signal for name, signal in found.items()})
            logged.append({key: signal.value for key, signal in heard[-1].items() if not np.isnan(signal.value)})
        yield from alarms(logged, heard)

    return run


def alarms(logged: Sequence[Mapping[str, float]], heard: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Names the alarms of a run."""
    lines = AlarmLines(RewardSettings().thresholds())
    with redirect_stderr(StringIO()):  # what it says to users
        for step, (numbers, signals) in enumerate(zip(logged, heard, strict=True), 1):
            history = [{"step": at, **each} for at, each in enumerate(logged[:step], 1)]
            state: Any = SimpleNamespace(global_step=step, is_world_process_zero=True, heard=dict(signals))
            state.log_history = history
            lines.on_log(None, state, TrainerControl(), logs=dict(numbers))
    yield from (key.rpartition("/")[2] for key in lines.told)


def form_is_learnt(prompts: int, group: int, known: float, within: float = 1.0) -> World:
    """Makes sound runs of `[correct x 1.0, format x 0.1]` that learn the form first; few answers are right.

    With `within` the function of the form pays so much, and its weight is the rest.
    """

    def run(draw: Draw) -> Iterator[str]:
        logged, heard = [], []
        for step in range(STEPS):
            formed = draw.random(prompts * group) < 0.3 + 0.69 * min(1.0, step / 25)
            texts = [
                f"<think>\nIt is {'so ' * draw.integers(1, 9)}\n</think>\n<answer>7</answer>" if each else "It is 7."
                for each in formed
            ]
            parts = np.array([draw.random(len(texts)) < known, Format()(texts)], dtype=float).T * (1.0, within)
            features = text_features(texts, [len(text) // 4 for text in texts])
            found = audit_signals(main_total(parts, np.array([1.0, 0.1 / within])), features, group)
            found["phrase"] = phrase_signal(parts[:, 0], shared_phrases(texts, group))
            heard.append({f"audit/total/{name}": signal for name, signal in found.items()})
            logged.append({key: signal.value for key, signal in heard[-1].items() if not np.isnan(signal.value)})
        yield from alarms(logged, heard)

    return run


def audited(size: int, known: float, falls: float = 0.0) -> World:
    """Makes runs whose reward rises beside an audit, and a share of cut off completions, that stay or that fall."""

    def run(draw: Draw) -> Iterator[str]:
        at = np.linspace(0, 1, STEPS)
        reward = np.sqrt(at) + draw.normal(0, 0.2 / np.sqrt(size), STEPS)
        right = known * (1 - falls * np.clip(2 * at - 0.5, 0, 1))
        drawn = {"reward": reward, "audit/own/mean": draw.binomial(size, right) / size}
        drawn["completions/clipped_ratio"] = draw.binomial(size, 1 - right) / size
        logged = [dict(zip(drawn, map(float, row), strict=True)) for row in zip(*drawn.values(), strict=True)]
        yield from (each.replace("mean", "audit") for each in alarms(logged, [{}] * STEPS))

    return run


_AT = {  # metric to the share at which a page begins to warn
    "completions/clipped_ratio": 0.5, "frac_reward_zero_std": 0.5, "acre/no_answer": 0.5,
    "acre/trace_names_letter": 0.5, "tools/failure_frequency": 0.25, "tools/lost_share": 0.02,
}  # fmt: skip


def logged_shares(size: int, steps: int, more: float = 0.0) -> World:
    """Makes run pages whose shares are at their limits, or above; answers are even, gold letters too."""

    def run(draw: Draw) -> Iterator[str]:
        drawn = {key: draw.binomial(size, min(1.0, limit + more), steps) / size for key, limit in _AT.items()}
        for side in ("answer", "gold"):
            chances = (0.85, 0.05, 0.05, 0.05) if more and side == "answer" else (0.25,) * 4
            counts = draw.multinomial(size, chances, steps) / size
            drawn |= {f"acre/{side}_share_{letter}": column for letter, column in zip("ABCD", counts.T, strict=True)}
        metrics = {key: Series(np.arange(1, steps + 1), values) for key, values in drawn.items()}
        found = look_at(SimpleNamespace(metrics=metrics, completions=[], recipe={}), REPORT.signs)
        yield from (each.title.split("] of ")[-1].partition(":")[0].rstrip("ABCD") for each in found)

    return run


def noted(reward: str, size: int) -> World:
    """Makes runs whose reward fails, or says something else when asked again, half as often as an alarm allows.

    The policies of sampler and trainer are as far apart, in batches of which one token in ten thousand is off by nats.
    """

    def run(draw: Draw) -> Iterator[str]:
        logged, invalid = [], f"rewards/{reward}/invalid_share"
        for _ in range(STEPS):
            own = draw.normal(size=(max(1, size // 8), min(8, size)))
            again = own + draw.normal(0, np.sqrt(0.2), own.shape)  # noise of 0.1 of the variance, between two calls
            few = slice(max(2, size // 10))
            gaps = draw.exponential(0.03, 100 * size) + 2.0 * (draw.random(100 * size) < 1e-4)
            logged.append(
                {
                    invalid: draw.binomial(size, ALARMS["invalid_share"].limit / 2) / size,
                    f"rewards/{reward}/noise_variance": float(np.mean((own - again).ravel()[few] ** 2) / 2),
                    f"rewards/{reward}/group_variance": group_variance(own.ravel(), min(8, size)),
                    LOGP_DIFFERENCE: float(gaps.mean()),
                }
            )
            kept = {key: [value] for key, value in logged[-1].items()}
            add_noise_shares(kept)
            logged[-1] = {key: value for key, (value,) in kept.items()}
        heard = [{invalid: Signal(each[invalid], size)} for each in logged]
        yield from alarms(logged, heard)

    return run


def of_pairs(size: int, steps: int, held: int) -> World:
    """Makes pages of SFT, RRPO, Crome and DeconfoundLM whose numbers are at their limits, `held` rows held out."""

    def run(draw: Draw) -> Iterator[str]:
        def around(true: float, spread: float, count: int = steps, rows: int = size) -> Any:
            return true + draw.normal(0, spread / np.sqrt(rows), count)

        def share(true: float) -> Any:
            return draw.binomial(size, true, steps) / size

        def fixed(true: float) -> Any:  # the same rows each time
            return np.full(4, draw.binomial(held, true) / held)

        half = np.arange(steps) >= steps / 2
        first = np.arange(steps) < steps / 4
        r = 0.475 + around(0, 1 - 0.475**2)
        drawn: dict[str, Any] = {
            "loss": np.linspace(0.693, 0.66, steps) + around(0, 0.3), "entropy": draw.gamma(size, 0.02 / size, steps),
            "eval_loss": around(2.0, 0.3, 12, held), "rrpo/logp_change_chosen": around(-1, 2),
            "rrpo/kl_chosen_per_token": draw.gamma(size, 0.5 / size, steps), "rewards/accuracies": share(0.98),
            "rewards/margins": np.where(half, 1.5, 1.0) + around(0, 2), "rrpo/marked_share": around(0.7, 0.2),
            "accuracy": share(0.75), "crome/accuracy_preference": share(0.75), "eval_accuracy": fixed(0.6),
            "eval_crome/accuracy_preference": fixed(0.6), "crome/accuracy_upgrade": share(0.6),
            "crome/accuracy_degrade": share(0.8), "margin": around(1.0, 2),
            "crome/tie_margin": np.where(first, 0.2, 0.5) + around(0, 0.5), "deconfound/mse": around(0.98, 1.4),
            "deconfound/correlation_corrected": around(0.8, 0.36), "deconfound/correlation_hour": r,
            "deconfound/target_hour": around(0.3, 0.91), "eval_runtime": np.ones(4),
            "eval_samples_per_second": np.full(4, float(held)),
        }  # fmt: skip
        by_heart = {"deconfound/mse": around(0.7, 1.0), "eval_deconfound/mse": around(1.0, 1.4, 1, held).repeat(4)}
        moved = np.where(first, 0.0, 2.0) + around(0, 1.0)
        drawn |= {"mean_reward": moved, "min_reward": moved - 1 + around(0, 1), "max_reward": moved + 1 + around(0, 1)}

        def series(**more: Any) -> dict[str, Series]:
            return {key: Series(np.arange(1, len(values) + 1), values) for key, values in (drawn | more).items()}

        of_reward = {"model_type": "pairwise"}
        flat = {"rrpo/marked_share": draw.gamma(2 * size, 0.0025 / size, steps)}
        placed = {"mean_reward": around(0.5, 1.0)}
        pages: tuple[tuple[str, dict[str, Any], dict[str, Any]], ...] = (
            ("sft", {}, {}), ("rrpo", {}, {}), ("rrpo", {}, flat), ("crome", {}, {}), ("crome", of_reward, placed),
            ("deconfound", {}, {}), ("deconfound", {}, by_heart),
        )  # fmt: skip
        for method, recipe, more in pages:
            run = SimpleNamespace(metrics=series(**more), recipe=recipe)
            for each in look_at(run, METHODS[method].part("report").signs):
                title = re.sub(r"[^a-zA-Z ]+", "", each.title)[:34].strip()
                yield f"{recipe.get('model_type', method)}: {title}"

    return run


def judged(items: int, apart: float = 0.2, alone: float = 0.75, goes: float = 0.4) -> World:
    """Makes evaluations whose judge or reward model is at the limits: orders, length, right without the prompt."""

    def run(draw: Draw) -> Iterator[str]:
        length = draw.normal(size=items)
        pearson = 2 * np.sin(np.pi * goes / 6)  # of a rank correlation
        margins = pearson * length + np.sqrt(1 - pearson**2) * draw.normal(size=items)
        told = {
            "accuracy": wilson(int(draw.binomial(items, 0.8)), items),
            "response_only_accuracy": wilson(int(draw.binomial(items, alone)), items),
            "length_correlation": rank_correlation(margins, length, seed=0),
        }
        found = [
            *find_judge_problems({"judge_order_disagreement/b": wilson(int(draw.binomial(items, apart)), items)}),
            *find_model_problems(SimpleNamespace(scores={}), {"m": told}),  # type: ignore[arg-type]
        ]
        yield from (re.sub(r"[^a-zA-Z ]+", "", each.title)[:40].strip() for each in found if "only" not in each.title)

    return run


def answered(items: int, liked: float = 0.25, leaks: float = 0.5) -> World:
    """Makes evaluations of policies that guess evenly, or say A as often as they like; half of their traces leak."""

    def run(draw: Draw) -> Iterator[str]:
        rest = (1 - liked) / 3
        choices, gold = draw.choice(4, items, p=(liked, rest, rest, rest)), draw.integers(0, 4, items)
        pairs = zip(choices.tolist(), gold.tolist(), strict=True)
        rows = [ItemResult("", None, right, choice, [], [], None, "", None) for choice, right in pairs]
        cells: dict[str, Estimate | None] = dict(letter_estimates(rows))
        cells["letter_or_answer_in_trace"] = wilson(int(draw.binomial(items, leaks)), items)
        found = find_problems({"a": cells})
        yield from ("traces leak" if "traces" in each.title else "prefers a place" for each in found)

    return run


def worlds() -> dict[str, tuple[bool, World]]:
    """Lists all worlds, and whether something is planted in each."""
    found: dict[str, tuple[bool, World]] = {}
    for prompts, group in SIZES:
        size = f"{prompts} x {group} completions a step"
        found |= {f"{kind}, {size}": (False, chance(prompts, group, kind)) for kind in ("a judge", "right or wrong")}
        found |= {f"pays {each}, {size}": (True, chance(prompts, group, "a judge", each)) for each in PAID}
        for known in (0.0, 0.05, 0.3):
            found[f"form is learnt, {known:.0%} right, {size}"] = (False, form_is_learnt(prompts, group, known))
            found[f"its function pays 0.1, {known:.0%} right, {size}"] = (
                False, form_is_learnt(prompts, group, known, 0.1)
            )  # fmt: skip
        for known in (0.05, 0.2, 0.5):
            found[f"an audit of {known:.0%}, {size}"] = (False, audited(prompts * group, known))
            found[f"an audit of {known:.0%} that falls, {size}"] = (True, audited(prompts * group, known, 1.0))
    for size, steps in ((4, 3), (8, 8), (8, 40), (32, 20)):
        found[f"page, {steps} steps of {size}"] = (False, logged_shares(size, steps))
        found[f"page of a bad run, {steps} steps of {size}"] = (True, logged_shares(size, steps, more=0.4))
    for size in (8, 16, 32):
        found[f"reward and sampler at half of their limits, {size} completions"] = (False, noted("own", size))
    for size, steps, held in ((8, 8, 24), (8, 40, 24), (32, 20, 100)):
        found[f"pages of pairs at their limits, {steps} steps of {size}, {held} held out"] = (
            False, of_pairs(size, steps, held)
        )  # fmt: skip
    for items in ITEMS:
        found[f"judge and reward model at their limits, {items} items"] = (False, judged(items))
        found[f"judge and reward model beyond them, {items} items"] = (True, judged(items, 0.5, 0.95, 0.8))
        found[f"even answers, {items} items"] = (False, answered(items))
        found[f"A in 65 % and leaks in 80 %, {items} items"] = (True, answered(items, 0.65, 0.8))
    return found


def measure(world: World, runs: int, seed: int) -> Counter[str]:
    """Counts the runs of a world in which each warning is given."""
    return Counter(name for number in range(runs) for name in {*world(np.random.default_rng((seed, number)))})


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Reads the options."""
    parser = Options(__doc__)
    parser.add_argument("--runs", type=int, default=200, help="of each null world; of planted ones a tenth")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="worlds with this in their name")
    parser.add_numbers("exit with 1 if a warning is false in 5 % of the runs of a world")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the share of runs with each warning, world by world."""
    options, table, worst = parse(argv), dict[str, Any](), 0.0
    for name, (is_planted, world) in worlds().items():
        if options.only not in name:
            continue
        runs = max(10, options.runs // 10) if is_planted else options.runs
        counts = measure(world, runs, options.seed)
        shares = {warning: wilson(count, runs) for warning, count in sorted(counts.items())}
        table[name] = {warning: list(each[:3]) for warning, each in shares.items()}
        if not is_planted:
            worst = max([worst, *(each.value for each in shares.values())])
        shown = ", ".join(f"{key} {each}" for key, each in shares.items())
        print(f"{'planted' if is_planted else 'null':8}{name:52} {shown or 'nothing'}", flush=True)
    print(f"most false warnings of one kind in one world: {worst:.1%} of {options.runs} runs")
    write_numbers(options.json, {"runs": options.runs, "seed": options.seed, "worst": worst, "table": table})
    return tell({"each warning false in less than 5 %": worst < 0.05}, options)


if __name__ == "__main__":
    sys.exit(main())
