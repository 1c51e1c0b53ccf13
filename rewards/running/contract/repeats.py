"""Whether the value of a completion is its own: the same again, in another place, and without the others."""

from collections.abc import Iterator, Sequence

from rewards.running.contract.completions import Form, first_difference, write_value
from rewards.running.contract.problem import RewardProblem
from rewards.running.contract.samples import Sample
from rewards.running.contract.speed import Speed, speed_from
from rewards.running.contract.trial import Trial

CALLED_ALONE = 8


def check_repeats(
    trial: Trial, samples: Sequence[Sample], form: Form, values: Sequence[float | None]
) -> Iterator[RewardProblem]:
    """Calls a reward again on the same completions: as before, from other random states, reversed, in a thread."""
    again = trial.call(samples, form)
    if again.problem is not None:
        yield again.problem._replace(problem=f"{again.problem.problem}, in a second call with the same completions")
        return
    index = first_difference(values, again.values)
    if index is not None:
        text = f"gave {samples[index].name} {write_value(values[index])} and then {write_value(again.values[index])}"
        remedy = "Seed a generator of its own with the row, and keep no state: groups are compared by its values."
        yield trial.problem("not_deterministic", text, remedy)
        return
    yield from trial.subject.seeds(trial.make_call(samples, form))
    mirrored = trial.call(samples[::-1], form)
    if mirrored.problem is not None:
        yield mirrored.problem._replace(problem=f"{mirrored.problem.problem}, with the batch in reverse")
        return
    index = first_difference(values, mirrored.values[::-1])
    if index is not None:
        here, there = write_value(values[index]), write_value(mirrored.values[::-1][index])
        text = f"gave {samples[index].name} {here}, and {there} when the batch is reversed"
        remedy = "Read prompt, columns and completion of a row by the same index, and keep nothing from row to row."
        yield trial.problem("depends_on_order", text, remedy)
        return
    yield from _check_thread(trial, samples, form, values)


def check_values_alone(
    trial: Trial, samples: Sequence[Sample], form: Form, values: Sequence[float | None], speeds: list[Speed]
) -> Iterator[RewardProblem]:
    """Calls a reward on single completions, and measures what a call and a completion cost."""
    step = max(1, len(samples) // CALLED_ALONE)
    seconds = []
    for sample, value in list(zip(samples, values, strict=True))[::step]:
        called = trial.call([sample], form)
        seconds.append(called.seconds)
        if trial.description.whole_batch:
            continue
        if called.problem is not None:
            yield called.problem._replace(problem=f"{called.problem.problem}, in a batch of one completion")
            return
        if first_difference([value], called.values) is not None:
            text = f"gave {sample.name} {write_value(value)} in a batch and {write_value(called.values[0])} alone"
            remedy = (
                "If it compares the completions of a prompt, set `whole_batch = True` on it, so that workers give it "
                "all of them; else score each row by itself."
            )
            yield trial.problem("depends_on_batch", text, remedy)
            return
    speeds[0] = speed_from(speeds[0], min(seconds))


def _check_thread(
    trial: Trial, samples: Sequence[Sample], form: Form, values: Sequence[float | None]
) -> Iterator[RewardProblem]:
    if "signal_handler" in trial.remarks:
        return  # a thread may set none
    called = trial.call(samples, form, in_thread=True)
    remedy = (
        "`signal.alarm` works in the main thread only, which servers and pools do not give it: set no timeout in it."
    )
    if called.problem is not None:
        yield trial.problem("differs_in_thread", f"{called.problem.problem} outside the main thread", remedy)
        return
    index = first_difference(values, called.values)
    if index is not None:
        here, there = write_value(values[index]), write_value(called.values[index])
        text = f"gave {samples[index].name} {here} in the main thread and {there} outside of it"
        yield trial.problem("differs_in_thread", text, remedy)
