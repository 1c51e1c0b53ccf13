"""Whether the value of a completion is its own: the same again, in another place, and without the others."""

from collections.abc import Iterator

from rewards.running.contract.completions import write_value
from rewards.running.contract.problem import RewardProblem
from rewards.running.contract.speed import Speed, speed_from
from rewards.running.contract.trial import Made, Trial
from rewards.running.contract.twice import not_deterministic, unless_by_chance

CALLED_ALONE = 8


def check_repeats(trial: Trial, first: Made) -> Iterator[RewardProblem]:
    """Calls a reward again on the same completions: as before, from other random states, reversed, in a thread."""
    samples, form, values = first.samples, first.form, first.called.values
    again = trial.call(samples, form)
    if again.problem is not None:
        yield again.problem._replace(problem=f"{again.problem.problem}, in a second call with the same completions")
        return
    index = trial.difference(values, again.values)
    if index is not None:
        yield not_deterministic(trial, first, index, again.values[index])
        return
    found = trial.subject.seeds(trial.make_call(samples, form))
    yield from found
    if any(problem.kind != "seeds" for problem in found):
        return
    mirrored = trial.call(samples[::-1], form)
    both = (trial.made[-1], first)
    if mirrored.problem is not None:
        problem = mirrored.problem._replace(problem=f"{mirrored.problem.problem}, with the batch in reverse")
        yield unless_by_chance(trial, problem, both)
        return
    index = trial.difference(values, mirrored.values[::-1])
    if index is not None:
        here, there = write_value(values[index]), write_value(mirrored.values[::-1][index])
        text = f"gave {samples[index].name} {here}, and {there} when the batch is reversed"
        remedy = "Read prompt, columns and completion of a row by the same index, and keep nothing from row to row."
        yield unless_by_chance(trial, trial.problem("depends_on_order", text, remedy), both)
        return
    yield from _check_thread(trial, first)


def check_values_alone(trial: Trial, first: Made, speeds: list[Speed]) -> Iterator[RewardProblem]:
    """Calls a reward on single completions, and measures what a call and a completion cost."""
    samples, form = first.samples, first.form
    step = max(1, len(samples) // CALLED_ALONE)
    seconds = []
    for sample, value in list(zip(samples, first.called.values, strict=True))[::step]:
        called = trial.call([sample], form)
        both = (trial.made[-1], first)
        seconds.append(called.seconds)
        if trial.description.whole_batch:
            continue
        if called.problem is not None:
            problem = called.problem._replace(problem=f"{called.problem.problem}, in a batch of one completion")
            yield unless_by_chance(trial, problem, both)
            return
        if trial.difference([value], called.values) is not None:
            text = f"gave {sample.name} {write_value(value)} in a batch and {write_value(called.values[0])} alone"
            remedy = (
                "If it compares the completions of a prompt, set `whole_batch = True` on it, so that workers give it "
                "all of them; else score each row by itself."
            )
            yield unless_by_chance(trial, trial.problem("depends_on_batch", text, remedy), both)
            return
    speeds[0] = speed_from(speeds[0], min(seconds))


def _check_thread(trial: Trial, first: Made) -> Iterator[RewardProblem]:
    if "signal_handler" in trial.remarks:
        return  # a thread may set none
    values = first.called.values
    called = trial.call(first.samples, first.form, in_thread=True)
    both = (trial.made[-1], first)
    remedy = (
        "`signal.alarm` works in the main thread only, which servers and pools do not give it: set no timeout in it."
    )
    if called.problem is not None:
        problem = trial.problem("differs_in_thread", f"{called.problem.problem} outside the main thread", remedy)
        yield unless_by_chance(trial, problem, both)
        return
    index = trial.difference(values, called.values)
    if index is not None:
        here, there = write_value(values[index]), write_value(called.values[index])
        text = f"gave {first.samples[index].name} {here} in the main thread and {there} outside of it"
        yield unless_by_chance(trial, trial.problem("differs_in_thread", text, remedy), both)
