"""One call of a reward as TRL 1.16 makes it, `GRPOTrainer._calculate_rewards`, and all of it that can be seen."""

import contextlib
import copy
import inspect
import io
import math
import os
import pickle
import sysconfig
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from numbers import Number
from types import SimpleNamespace
from typing import Any, NamedTuple

from rewards.reading.responses import Completion, completion_text
from rewards.running import worker
from rewards.running.contract import effects
from rewards.running.contract.leftovers import children
from rewards.running.contract.printed import MOST_OF_A_CALL, Flood, Printed
from rewards.running.contract.problem import RewardProblem
from rewards.running.contract.signature import missing_column
from rewards.running.protocol import TRAINER_ARGUMENTS, is_async, result_of, reward_name
from rewards.running.scores import LARGEST, as_number, written
from rewards.running.worker import end_if_copied, name_error


def read_values(
    name: str, values: Any, expected: int, describe: Callable[[int], str]
) -> list[float | None] | RewardProblem:
    """Reads returned values as numbers, or says what is wrong with them; `describe` names a completion by index."""
    listed = _as_list(name, values)
    if isinstance(listed, RewardProblem):
        return listed
    if len(listed) != expected:
        counts = {"values": len(listed), "completions": expected}
        told = {what: f"{count} {what[: None if count != 1 else -1]}" for what, count in counts.items()}
        return RewardProblem.of(name, "wrong_length", **told)
    faults = [(index, fault) for index, value in enumerate(listed) if (fault := _fault(value)) is not None]
    if not faults:
        return [None if value is None else float(value) for value in listed]
    index, (kind, reason) = faults[0]
    told = {"value": shorten(listed[index]), "place": describe(index), "reason": reason}
    return RewardProblem.of(name, kind, count=len(faults), of=expected, **told)


def shorten(value: Any, width: int = 60) -> str:
    """Writes a value on one line of limited width."""
    text = written(value)
    return text if len(text) <= width else f"{text[: width - 3]}..."


def _as_list(name: str, values: Any) -> list[Any] | RewardProblem:
    kind = type(values).__name__
    if inspect.isawaitable(values):
        return RewardProblem.of(name, "not_a_list/coroutine")
    if values is None or isinstance(values, str | bytes | Mapping | Number):
        return RewardProblem.of(name, "not_a_list", what=f"{shorten(values)} ({kind}), not a list")
    if isinstance(values, set | frozenset):
        return RewardProblem.of(name, "not_a_list", what="a set, which has no order and holds equal values once")
    try:
        return list(values)
    except TypeError:
        return RewardProblem.of(name, "not_a_list", what=f"a {kind}, not a list")


def _fault(value: Any) -> tuple[str, str] | None:
    if value is None:
        return None
    number = as_number(value)
    if number is None:
        return "not_a_number", f"a {type(value).__name__} is not a number"
    if getattr(value, "requires_grad", False) is True:
        return "has_gradient", "it keeps a graph for gradients that nobody takes; return a number, as by `.item()`"
    if math.isnan(number):
        return "not_finite", "TRL skips NaN silently"
    if abs(number) > LARGEST:
        return "not_finite", "an infinite reward makes every advantage of its group NaN"
    return None


# TRL takes these out of the columns before it calls a reward.
NOT_COLUMNS = ("prompt", "completion", "completion_ids")
TRAINER_STATE: dict[str, Any] = {
    **{"global_step": 0, "max_steps": 100, "num_train_epochs": 1, "num_input_tokens_seen": 0, "total_flos": 0},
    **{"logging_steps": 10, "eval_steps": 500, "save_steps": 500, "train_batch_size": 8, "epoch": 0.0},
    **dict.fromkeys(("best_metric", "best_global_step", "best_model_checkpoint")),
    **dict.fromkeys(("is_local_process_zero", "is_world_process_zero"), True),
}


def call_arguments(
    rows: Sequence[Mapping[str, Any]], completions: Sequence[Completion], logged: dict[str, list[Any]] | None = None
) -> dict[str, Any]:
    """Builds the keyword arguments, with bytes for tokens; collects columns that are logged, as TRL does."""
    columns = {} if logged is None else logged
    return {
        "prompts": [row.get("prompt") for row in rows],
        "completions": list(completions),
        "completion_ids": [list(completion_text(completion).encode("utf-8", "replace")) for completion in completions],
        **{key: [row[key] for row in rows] for key in rows[0] if key not in NOT_COLUMNS},
        "trainer_state": SimpleNamespace(**TRAINER_STATE, log_history=[]),
        "log_extra": lambda column, values: columns.setdefault(column, []).extend(values),
        "log_metric": lambda name, value: None,
    }


def copied(values: Any) -> Any:
    """Copies values in depth; by pickle, which is quicker than `copy.deepcopy`, where they allow it."""
    try:
        return pickle.loads(pickle.dumps(values))
    except Exception:  # whatever a value of the user's raises
        return copy.deepcopy(values)


def call_reward(func: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """Calls a reward, a coroutine function in another thread's loop as TRL does; forked copies that come back end."""
    owner = os.getpid()
    try:
        return result_of(func(**arguments)) if is_async(func) else func(**arguments)
    finally:
        end_if_copied(owner)


SHOWN = 60  # characters of what is printed
OWN_FOLDER = os.path.dirname(worker.__file__)
STANDARD = sysconfig.get_path("stdlib")


class Call(NamedTuple):
    """What a reward is called with: one row of columns, with `prompt`, and one completion each."""

    rows: Sequence[Mapping[str, Any]]
    completions: Sequence[Completion]
    names: Sequence[str] = ()  # what each completion is, in words
    in_thread: bool = False  # whether to call it outside the main thread


class Called(NamedTuple):
    """What came of a call."""

    values: list[float | None]  # numbers and None, one per completion; empty after a problem
    problem: RewardProblem | None
    seconds: float
    remarks: list[RewardProblem]  # what else was seen
    processes: int = 0  # how many child processes there are after it


def call_watched(func: Callable[..., Any], call: Call) -> Called:
    """Calls a reward once and watches its arguments, its output, its logs and the process."""
    name, logged = reward_name(func), dict[str, list[Any]]()
    rows, completions = copied((call.rows, call.completions))
    arguments = call_arguments(rows, completions, logged)
    inputs = {key: arguments[key] for key in arguments if key not in TRAINER_ARGUMENTS}
    original = call_arguments(call.rows, call.completions)
    with contextlib.redirect_stdout(Printed()) as printed:
        before, started = effects.process_state(), time.perf_counter()
        try:
            returned = _in_thread(func, arguments) if call.in_thread else call_reward(func, arguments)
            values = read_values(name, returned, len(call.rows), partial(_describe, call))
        except BaseException as error:  # `sys.exit()` in a reward is a finding, too
            if isinstance(error, KeyboardInterrupt) and not worker.in_worker:
                raise
            values = _raised(name, error, call, list(arguments), printed)
        seconds = time.perf_counter() - started
        left = _effects(before)
    if isinstance(values, RewardProblem):
        return Called([], values, seconds, [])
    remarks = [RewardProblem.of(name, fault, **seen) for fault, seen in left]
    remarks += _changed(name, original, inputs) + _printed(name, printed.getvalue())
    return Called(values, None, seconds, remarks + _logged(name, logged, len(call.rows)), len(children()))


def seeds_of(func: Callable[..., Any], call: Call) -> list[RewardProblem]:
    """Calls a reward from two random states and says which seeds it sets, or what it raised this time."""
    ends: list[dict[str, bytes]] = []
    for _ in range(2):
        effects.move_generators()
        before = effects.process_state()
        arguments = call_arguments(*copied((call.rows, call.completions)))
        with contextlib.redirect_stdout(Printed()) as printed:
            try:
                call_reward(func, arguments)
            except Exception as error:  # the calls before went well
                raised = _raised(reward_name(func), error, call, list(arguments), printed)
                return [raised._replace(problem=f"{raised.problem}, in one of several equal calls")]
        _effects(before)
        ends.append(effects.random_states())
    return [RewardProblem.of(reward_name(func), fault, **seen) for fault, seen in effects.seeded(*ends)]


def _in_thread(func: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    def target() -> Any:
        returned = call_reward(func, arguments)
        return returned if isinstance(returned, list) else list(returned)

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(target).result()


def _describe(call: Call, index: int) -> str:
    return f"row {index + 1}" + (f", {call.names[index]}" if call.names else "")


def _raised(name: str, error: BaseException, call: Call, arguments: list[str], printed: io.StringIO) -> RewardProblem:
    if isinstance(error, Flood):
        begin = shorten(printed.getvalue()[:SHOWN])
        return RewardProblem.of(name, "floods", most=MOST_OF_A_CALL, count=len(call.rows), begin=begin)
    column = error.args[0] if isinstance(error, KeyError) and error.args else None
    if isinstance(column, str) and column not in arguments and _holds_columns(error):
        return missing_column(name, column, arguments)
    return RewardProblem.of(name, "raises", error=f"{name_error(error)}{_place(error)}")


def _holds_columns(error: BaseException) -> bool:
    """Tells whether what raised has at hand the columns that a reward took as `**kwargs`, whatever it calls them."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    values = [value for value in frames[-1].f_locals.values() if isinstance(value, dict)]
    return any(set(TRAINER_ARGUMENTS) & value.keys() for value in values)


def _place(error: BaseException) -> str:
    """Names the last line that is neither ours nor Python's own."""
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [each for each in frames if not each.filename.startswith((OWN_FOLDER, "<"))]
    theirs = [each for each in theirs if "site-packages" in (file := each.filename) or not file.startswith(STANDARD)]
    return f" (line {theirs[-1].lineno} of {theirs[-1].filename})" if theirs else ""


def _effects(before: effects.State) -> list[effects.Effect]:
    after = effects.process_state()
    if after.folder != before.folder:
        with contextlib.suppress(OSError):  # it may have been deleted
            os.chdir(before.folder)
    return effects.left_behind(before, after)


def _changed(name: str, original: Mapping[str, Any], inputs: Mapping[str, Any]) -> list[RewardProblem]:
    changed = [key for key in inputs if not _same(original[key], inputs[key])]
    if not changed:
        return []
    return [RewardProblem.of(name, "changes_inputs", names=", ".join(f"`{key}`" for key in changed))]


def _same(one: Any, other: Any) -> bool:
    try:
        # Objects may have no equality of their own; what is pickled for the first time may be written otherwise.
        return bool(one == other) or len({pickle.dumps(copied(each)) for each in (one, other)}) == 1
    except Exception:  # arrays and images compare in ways of their own
        return repr(one) == repr(other)


def _printed(name: str, text: str) -> list[RewardProblem]:
    if not text.strip():
        return []
    return [RewardProblem.of(name, "prints", first=shorten(text.strip().splitlines()[0]))]


def _logged(name: str, logged: Mapping[str, list[Any]], expected: int) -> list[RewardProblem]:
    wrong = [(column, len(values)) for column, values in logged.items() if len(values) != expected]
    if not wrong:
        return []
    column, count = wrong[0]
    return [RewardProblem.of(name, "logs_wrong_length", count=count, column=column, of=expected)]
