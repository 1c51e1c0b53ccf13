"""Whether the value of a completion is its own: the same again, in another place, alone, and in another form."""

from collections.abc import Iterator, Sequence
from typing import Any

from rewards.running.contract.calls import Called
from rewards.running.contract.problem import RewardProblem
from rewards.running.contract.samples import Sample
from rewards.running.contract.trial import Form, Made, Speed, Trial, write_value

CALLED_ALONE = 8
CONFIDENCE = 0.95


def by_chance(trial: Trial, made: Sequence[Made]) -> RewardProblem | None:
    """Makes calls again as they were, and says which of them turned out otherwise."""
    for each in made:
        again = trial.call(each.samples, each.form, in_thread=each.in_thread)
        problem = again.problem or each.called.problem
        if problem is not None and not (again.problem and each.called.problem):
            return problem._replace(problem=f"{problem.problem}, in one of several equal calls")
        index = trial.difference(each.called.values, again.values)
        if index is not None:
            return not_deterministic(trial, each, index, again.values[index])
    return None


def not_deterministic(trial: Trial, made: Made, index: int, value: float | None) -> RewardProblem:
    """Says that a call made again gave another value at an index."""
    first, then = write_value(made.called.values[index]), write_value(value)
    return trial.problem("not_deterministic", name=made.samples[index].name, first=first, then=then)


def rarest_seen(num_compared: int) -> float:
    """Returns the share of calls in which a value has to change to be seen 95 % of the time.

    Of `m` values that were each compared with one from before, none differs with probability `(1 - p)^m`, so that
    `p = 1 - 0.05^(1/m)`.

    Example:
        >>> round(rarest_seen(148), 2)
        0.02
    """
    return float(1 - (1 - CONFIDENCE) ** (1 / num_compared)) if num_compared else 1.0


def check_repeats(trial: Trial, first: Made) -> Iterator[RewardProblem]:
    """Calls a reward again on the same completions: as before, from other random states, reversed, in a thread."""
    samples, form, values = first.samples, first.form, first.called.values
    again = trial.call(samples, form)
    if again.problem is not None:
        yield _in_words(again.problem, "in a second call with the same completions")
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
    mirrored = mirrored._replace(values=mirrored.values[::-1])
    differs = list(_compare(trial, first, mirrored, "depends_on_order", "with the batch in reverse"))
    yield from differs
    if not differs:
        called = trial.call(samples, form, in_thread=True)
        yield from _compare(trial, first, called, "differs_in_thread", "")


def _compare(
    trial: Trial, first: Made, called: Called, fault: str, where: str, *, again: Made | None = None, **seen: Any
) -> Iterator[RewardProblem]:
    """Compares the last call with one of the same completions, and makes both again where they differ."""
    both, problem, values = (trial.made[-1], again or first), called.problem, first.called.values
    if problem is not None:
        failed = _in_words(problem, where) if where else trial.problem(f"{fault}/fails", problem=problem.problem)
        yield by_chance(trial, both) or failed
        return
    index = trial.difference(values, called.values)
    if index is not None:
        seen |= {"here": write_value(values[index]), "there": write_value(called.values[index])}
        yield by_chance(trial, both) or trial.problem(fault, name=first.samples[index].name, **seen)


def _in_words(problem: RewardProblem, where: str) -> RewardProblem:
    return problem._replace(problem=f"{problem.problem}, {where}")


def check_values_alone(trial: Trial, first: Made, speeds: list[Speed]) -> Iterator[RewardProblem]:
    """Calls a reward on single completions, and measures what a call and a completion cost."""
    step = max(1, len(first.samples) // CALLED_ALONE)
    seconds = []
    for sample, value in list(zip(first.samples, first.called.values, strict=True))[::step]:
        called = trial.call([sample], first.form)
        seconds.append(called.seconds)
        if trial.description.whole_batch:
            continue
        alone = first._replace(samples=[sample], called=first.called._replace(values=[value]))
        for problem in _compare(trial, alone, called, "depends_on_batch", "in a batch of one completion", again=first):
            yield problem
            return
    speeds[0] = speeds[0]._replace(alone=min(*seconds, speeds[0].together))


FORMS: dict[Form, tuple[str, str, str]] = {  # one of each in words, many, and prompts of it
    "text": ("a text", "texts", "text prompts"), "messages": ("a message", "messages", "prompts of messages"),
}  # fmt: skip


def usable_forms(trial: Trial, samples: Sequence[Sample]) -> tuple[list[Form], list[RewardProblem]]:
    """Calls a reward in each form, that of the data first; returns those it takes, and what is wrong with others."""
    known = trial.settings.form
    order = sorted(FORMS, key=lambda form: form != known)
    failures: dict[Form, RewardProblem] = {}
    for form in order:
        problem = trial.call(samples[:2], form).problem
        if problem is not None:
            failures[form] = problem
            if form == known:
                return [], [problem]
    usable = [form for form in order if form not in failures]
    if not usable:  # what is told is not merely about the form that it cannot read
        text = failures["text"]
        return [], [failures["messages"] if text.kind == "raises" and "TypeError" in text.problem else text]
    if known is not None or not failures:
        return usable, []
    ((failed, problem),) = failures.items()
    if problem.kind != "raises":
        return usable, [problem._replace(problem=f"{problem.problem}, with completions as {FORMS[failed][1]}")]
    told = {"form": FORMS[usable[0]][1], "other": FORMS[failed][1], "prompts": FORMS[usable[0]][2]}
    return usable, [trial.problem("one_form", problem=problem.problem, **told)]


def check_forms(trial: Trial, first: Made, forms: Sequence[Form]) -> Iterator[RewardProblem]:
    """Compares the values of the same texts in both forms; it is text that people write rewards for."""
    if len(forms) < 2 or trial.settings.form == "text" or trial.description.renders_messages:
        return
    other, (form, *_), (another, many, _) = trial.call(first.samples, forms[1]), *(FORMS[each] for each in forms)
    where = f"with completions as {many}"
    yield from _compare(trial, first, other, "forms_differ", where, form=form, other=another)
