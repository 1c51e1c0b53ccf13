"""What a run writes, shows and times while it trains."""

import functools
import json
import math
import operator
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from transformers import TrainerCallback

from align.console import make_console, say
from align.errors import RecipeError, UserError
from align.evaluation.statistics.metrics import Estimate, mean_correlation, mean_over_logs, told, wilson_interval
from align.evaluation.statistics.trends import parted
from align.progress import EVERY_SECONDS, words_of_time
from align.recipe.alarms import Alarm, alarm_of
from align.recipe.problems import one_line
from align.recipe.rules import suggestion
from align.secrets import mask
from rewards.running.protocol import HIGHER, LOWER, NEITHER

# Shown beside the progress bar, where the run logs them; what a method shows of its own comes behind the first.
SHOWN = {
    "reward": "reward",
    "completions/mean_length": "length",
    "completions/clipped_ratio": "clipped",
    "kl": "kl",
    "accuracy": "accuracy",
    "probe/greedy": "probe",
}
_PREFIX = "eval_"
_COSTS_AFTER, _LEAST = 10, 0.05  # steps; share of a step that is worth a word
SHARE = 0.01  # of the time that a run has trained
_TIMED = ("_generate", "_ask_again", "_calculate_rewards", "_generate_and_score_completions", "training_step")


class MetricsFile(TrainerCallback):
    """Appends every log to `metrics.jsonl`; a resumed run appends too; see `read_metrics`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # A run that was killed while writing leaves half a line; the next one must not be glued to it.
        text = path.read_bytes() if path.exists() else b""
        self.separator = "" if not text or text.endswith(b"\n") else "\n"

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Writes one line."""
        if state.is_world_process_zero and logs:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(self.separator + mask(json.dumps({"step": state.global_step, **logs})) + "\n")
            self.separator = ""


class RunProgress(TrainerCallback):
    """Shows a bar with the few numbers that matter, or a line per log; as a context it gives the terminal back."""

    def __init__(self, own: Mapping[str, str] | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        first, *rest = SHOWN.items()
        self.shown = dict([first, *(own or {}).items(), *rest])
        self.console, self.clock = make_console(stderr=True), clock
        self.bar: Progress | None = None
        self.steps, self.has_costs = 0, False  # made by this process; whether it was said what one costs
        self.began = self.told = 0.0  # when it began, and wrote a line

    def __enter__(self) -> "RunProgress":
        """Returns itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops the bar, which hides the cursor."""
        if self.bar:
            self.bar.stop()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Starts the bar and the clock."""
        self.steps, self.began = 0, self.clock()
        self.told = self.began
        if state.is_world_process_zero and self.console.is_terminal:
            self.bar = Progress(
                MofNCompleteColumn(), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
                TextColumn("{task.fields[numbers]}"), console=self.console,
            )  # fmt: skip
            self.bar.start()
            self.task = self.bar.add_task("", total=state.max_steps, completed=state.global_step, numbers="")

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Moves the bar, or writes a line if none was for half a minute."""
        self.steps += 1
        if self.bar:
            self.bar.update(self.task, completed=state.global_step)
        elif state.is_world_process_zero and self.clock() - self.told >= EVERY_SECONDS:
            self._line(state)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Shows the latest numbers; behind ten steps says once what one costs."""
        numbers = _numbers(logs or {}, self.shown)
        if not numbers or not state.is_world_process_zero:
            return
        if self.bar:
            self.bar.update(self.task, numbers=numbers)
        else:
            self._line(state, numbers)
        if self.steps >= _COSTS_AFTER and not self.has_costs and state.global_step < state.max_steps:
            say(f"After {self.steps} steps: {self._pace(state)}{_phases(logs or {})}.")
            self.has_costs = True

    def _line(self, state: Any, numbers: str = "") -> None:
        pace = self._pace(state) if self.steps else ""
        self.console.print("  ".join(filter(None, [f"step {state.global_step}/{state.max_steps}", numbers, pace])))
        self.told = self.clock()

    def _pace(self, state: Any) -> str:
        each = (self.clock() - self.began) / self.steps
        left = state.max_steps - state.global_step
        return f"{words_of_time(each)} a step" + (f", about {words_of_time(each * left)} left" if left > 0 else "")


def _phases(logs: Mapping[str, Any]) -> str:
    """Says what the seconds of a step go into, the longest first."""
    spent = {name.removeprefix("time/"): value for name, value in logs.items() if name.startswith("time/")}
    shares = sorted(((value / sum(spent.values()), name) for name, value in spent.items()), reverse=True)
    named = [f"{name.replace('_', ' ')} {share:.0%}" for share, name in shares if share > _LEAST]
    return f" ({', '.join(named)})" if named else ""


def _numbers(logs: Mapping[str, Any], shown: Mapping[str, str]) -> str:
    found = {label: logs[key] for key, label in shown.items() if isinstance(logs.get(key), int | float)}
    if not found and isinstance(logs.get("loss"), int | float):  # a method that shows nothing of its own has a line
        found = {"loss": logs["loss"]}
    return "  ".join(f"{label} {value:.3g}" for label, value in found.items())


class FirstStep(TrainerCallback):
    """Keeps how long a run took to its first step since `began` on the monotonic clock, for the next start to say."""

    def __init__(self, began: float, record: Callable[[float, int], None]) -> None:
        self.began = began
        self.record: Callable[[float, int], None] | None = record

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Counts once."""
        if self.record is not None and state.is_world_process_zero:
            self.record(time.monotonic() - self.began, state.max_steps)
        self.record = None


_FEWEST_LOGS, _MOST_LOGS = 5, 64  # a single batch may look like anything
_LOOKS = 8  # at a run's whole course, while it doubles
WAYS = {HIGHER: 1, LOWER: -1, NEITHER: 0}
_ENOUGH = 100  # comparisons of completions, with fewer of which an alarm looks at more logs
Log = tuple[int, int, float, float | None]  # step behind which it began, its own, number, comparisons if known


class AlarmLines(TrainerCallback):
    """Prints one line when a signal is above its limit beyond chance, once per signal, or ends training."""

    def __init__(
        self,
        thresholds: Mapping[str, float],
        stops: Sequence[str] = (),
        tell: Callable[[str], object] = lambda _: None,
    ) -> None:
        self.thresholds, self.stops, self.tell = thresholds, stops, tell
        self.recent: dict[str, list[Log]] = {}
        self.begun = 0  # step at which this process began
        self.told: dict[str, float] = {}  # signal to the limit that it was told to be above

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Keeps where this process begins, and goes on with the numbers that a checkpoint holds.

        Else a run that is stopped more often than an alarm takes to last would never hear it, and others again.
        """
        self.begun = state.global_step
        self.recent = state.stateful_callbacks.setdefault("alarm_logs", self.recent)  # no callback's own
        self.told = state.stateful_callbacks.setdefault("alarms_told", self.told)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Looks at the latest numbers."""
        numbers = {key: value for key, value in (logs or {}).items() if isinstance(value, int | float)}
        if not state.is_world_process_zero:
            return
        found = [(name, *alarm_of(name)) for name in self.thresholds]
        looks = [(name, alarm, key) for name, alarm, reward in found for key in alarm.keys(reward, numbers)]
        signals = {key: getattr(state, "heard", {}).pop(key, None) for _, _, key in looks}
        for key, signal in signals.items():
            kept = self.recent.setdefault(key, [])
            comparisons = None if signal is None or math.isnan(signal.n) else signal.n
            kept.append((kept[-1][1] if kept else self.begun, state.global_step, numbers[key], comparisons))
            del kept[:-_MOST_LOGS]
        for name, alarm, key in looks:
            look = self._lasting if alarm.lasts else self._estimated
            seen = self._parted(alarm, key, state) if alarm.moves else look(alarm, key)
            if seen:
                best = getattr(state, "best_model_checkpoint", None)
                self._tell(name, alarm, key, *seen, signals[key], f" The best so far is {best}." if best else "")

    def _estimated(self, alarm: Alarm, key: str) -> tuple[int, Estimate] | None:
        kept = last_logs(self.recent[key])
        found = estimated(kept, is_share=alarm.chart.share)
        return (kept[0][0], found) if len(kept) >= _FEWEST_LOGS else None

    def _lasting(self, alarm: Alarm, key: str) -> tuple[int, Estimate] | None:
        """Takes the least of the last logs, each the near end of an interval."""
        kept = self.recent[key][-alarm.lasts :]
        least = min(log[2] for log in kept)
        return (kept[0][0], Estimate(least, least, least, len(kept), "looks")) if len(kept) == alarm.lasts else None

    def _parted(self, alarm: Alarm, key: str, state: Any) -> tuple[int, Estimate] | None:
        """Looks at the whole run when it has an eighth more of logs, since each look may err."""
        logs = [log for log in state.log_history if key in log and "reward" in log]
        way = alarm.moves * WAYS[getattr(state, "better", {}).get(key, HIGHER)]
        if not way or len(logs) % max(1, len(logs) // _LOOKS):
            return None
        rewards, values = (np.array([log[name] for log in logs], dtype=float) for name in ("reward", key))
        found = parted(rewards, values, way, is_share=alarm.chart.share)
        return found and (logs[-found[0]]["step"] - 1, found[1])

    def _tell(
        self, name: str, alarm: Alarm, key: str, calm: int, found: Estimate, signal: Any, best: str = ""
    ) -> None:
        limit, step = self.thresholds[name], self.recent[key][-1][1]
        is_new = name in self.stops or self.told.get(key) != limit
        if found.low > limit and is_new:
            self.told[key] = limit
            phrase = f' In this step: "{signal.phrase}".' if signal is not None and signal.phrase else ""
            sentence = f"audit, step {step}: {alarm.sentence(key, told(found), limit)}{phrase}"
            if name in self.stops:
                checkpoint = f"go on from a checkpoint before step {calm + 1}, or " if calm else ""
                raise UserError(
                    f"{sentence} Training ends here since `stop_on` names {name}; mend the cause and {checkpoint}"
                    f"start anew.{best}"
                )
            say(sentence)
            self.tell(sentence)


def last_logs(kept: Sequence[Log]) -> Sequence[Log]:
    """Takes the last logs, and more of them where they hold few comparisons."""
    count = _FEWEST_LOGS
    while count < len(kept) and sum(math.inf if log[3] is None else log[3] for log in kept[-count:]) < _ENOUGH:
        count += 1
    return kept[-count:]


def estimated(kept: Sequence[Log], *, is_share: bool) -> Estimate:
    """Estimates the mean of some logs: of shares of as many things as were looked at, or of correlations."""
    *_, values, comparisons = zip(*kept, strict=True)
    if len(values) == 1:
        return Estimate(values[0], values[0], values[0], 1, "logs")
    if None in comparisons:
        return mean_over_logs(values)
    if not is_share or not (rows := sum(comparisons)):
        return mean_correlation(values, comparisons)
    share = sum(map(operator.mul, values, comparisons)) / rows
    return Estimate(share, *wilson_interval(share, rows), round(rows), "values")


class BestMetric(TrainerCallback):
    """Refuses a `metric_for_best_model` that an evaluation does not have, where transformers ends in a KeyError."""

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: Mapping[str, float] | None = None, **kwargs: Any
    ) -> None:
        """Looks for it."""
        wanted = args.metric_for_best_model
        if wanted is None or metrics is None or _PREFIX + wanted.removeprefix(_PREFIX) in metrics:
            return
        known = sorted(name.removeprefix(_PREFIX) for name in metrics if name.startswith(_PREFIX))
        raise RecipeError(
            f"`metric_for_best_model: {wanted}` is not among the metrics of the evaluation at step "
            f"{state.global_step:,}: "
            f"{', '.join(known)}.{suggestion(wanted.removeprefix(_PREFIX), known)}"
        )


class LivePage(TrainerCallback):
    """Writes the page every half minute at most, and less often where that would take more than 1 % of the time.

    A page is no reason to end a run: what goes wrong with it is said once.
    """

    def __init__(self, write: Callable[[], object], clock: Callable[[], float] = time.monotonic) -> None:
        self.write, self.clock = write, clock
        self.began = self.ended = clock()
        self.spent = self.last = 0.0
        self.has_failed = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Starts the clock."""
        self.began = self.ended = self.clock()

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Writes if it is time."""
        started = self.clock()
        if not state.is_world_process_zero or not self._is_due(started):
            return
        try:
            self.write()
        except Exception as error:  # whatever a table of this run holds, its training matters more
            if not self.has_failed:
                say(f"The page cannot be written while training: {one_line(error).rstrip('.')}. Training goes on.")
            self.has_failed = True
        self.ended = self.clock()
        self.last = self.ended - started
        self.spent += self.last

    def _is_due(self, now: float) -> bool:
        return now - self.ended >= EVERY_SECONDS and self.spent + self.last <= SHARE * (now - self.began)


class PhaseTimer(TrainerCallback):
    """Logs `time/<phase>`, seconds per optimizer step; what happens in a step stays as it is.

    Phases: `generate` (with the transfer of weights to vLLM), `second_pass` (ACRE), `rewards`, `log_probs` (of the
    sampler's policy and the reference), `update` (forward and backward), `rest` (optimizer, data,
    logs, checkpoints). They add up to the time between two steps; evaluation is part of `rest`. Trainers that generate
    nothing are left as they are.
    """

    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer
        self._seconds: dict[str, float] = defaultdict(float)
        self._last = time.perf_counter()
        self._generates = hasattr(trainer, "_calculate_rewards")
        for name in _TIMED if self._generates else ():
            if hasattr(trainer, name):
                setattr(trainer, name, self._timed(name, getattr(trainer, name)))

    def _timed(self, name: str, function: Any) -> Any:
        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                if self._trainer.model.training:
                    self._seconds[name] += time.perf_counter() - started

        return timed

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Starts the clock."""
        self._last = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Hands the phases of the step to the trainer's metrics, which are averaged until they are logged."""
        if not self._generates:
            return
        now, spent = time.perf_counter(), self._seconds
        scored = spent["_generate_and_score_completions"]
        phases = {
            "generate": spent["_generate"],
            "rewards": spent["_calculate_rewards"] - spent["_ask_again"],
            "log_probs": scored - spent["_generate"] - spent["_calculate_rewards"],
            "update": spent["training_step"] - scored,
            "rest": now - self._last - spent["training_step"],
        }
        if hasattr(self._trainer, "_ask_again"):
            phases["second_pass"] = spent["_ask_again"]
        for phase, seconds in phases.items():
            self._trainer._metrics["train"][f"time/{phase}"].append(seconds)
        self._last, self._seconds = now, defaultdict(float)
