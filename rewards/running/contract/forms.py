"""Completions as texts and as messages: which of the two a reward reads, and whether it reads them alike."""

from collections.abc import Iterator, Mapping, Sequence

from rewards.running.contract.completions import Form, write_value
from rewards.running.contract.problem import RewardProblem
from rewards.running.contract.repeats import unless_by_chance
from rewards.running.contract.samples import Sample
from rewards.running.contract.trial import Made, Trial

FORMS: tuple[Form, ...] = ("text", "messages")
PROMPTS = {"text": "text prompts", "messages": "prompts of messages"}
READ_BOTH = "Read a completion with `rewards.completion_text(completion)`, which knows both forms"


def usable_forms(trial: Trial, samples: Sequence[Sample]) -> tuple[list[Form], list[RewardProblem]]:
    """Calls a reward on two responses in each form, that of the data first.

    Returns:
        The forms it can be called in, and what is wrong with the others. In the form that the data does not have it
        may do what it likes, and if the data is not known, one form is enough.
    """
    known = trial.settings.form
    order = FORMS if known is None else (known, *(form for form in FORMS if form != known))
    failures: dict[Form, RewardProblem] = {}
    for form in order:
        problem = trial.call(samples[:2], form).problem
        if problem is not None:
            failures[form] = problem
            if form == known:
                return [], [problem]
    usable = [form for form in order if form not in failures]
    if not usable:
        return [], [_telling(failures)]
    if known is not None or not failures:
        return usable, []
    ((failed, problem),) = failures.items()
    if problem.kind != "raises":
        return usable, [problem._replace(problem=f"{problem.problem}, with completions as {_plural(failed)}")]
    text = f"reads completions as {_plural(usable[0])} only; as {_plural(failed)} it {problem.problem}"
    remedy = f"{READ_BOTH}, or use it with {PROMPTS[usable[0]]} only."
    return usable, [RewardProblem(trial.name, "one_form", text, remedy)]


def check_forms(trial: Trial, first: Made, forms: Sequence[Form]) -> Iterator[RewardProblem]:
    """Compares the values of the same texts in both forms; it is text that people write rewards for."""
    if len(forms) < 2 or trial.settings.form == "text" or trial.description.renders_messages:
        return
    samples, values = first.samples, first.called.values
    other = trial.call(samples, forms[1])
    both = (trial.made[-1], first)
    if other.problem is not None:
        text = f"{other.problem.problem}, with completions as {_plural(forms[1])}"
        yield unless_by_chance(trial, other.problem._replace(problem=text), both)
        return
    index = trial.difference(values, other.values)
    if index is not None:
        here, there = write_value(values[index]), write_value(other.values[index])
        text = (
            f"gives {samples[index].name} {here} as {_singular(forms[0])} and {there} as {_singular(forms[1])}: it "
            "does not look into messages"
        )
        remedy = f"{READ_BOTH}; one that asks a model by its chat template says so, `renders_messages = True`."
        yield unless_by_chance(trial, trial.problem("forms_differ", text, remedy), both)


def _telling(failures: Mapping[Form, RewardProblem]) -> RewardProblem:
    """Chooses the failure that is not merely about the form it cannot read."""
    text = failures["text"]
    return failures["messages"] if text.kind == "raises" and "TypeError" in text.problem else text


def _plural(form: Form) -> str:
    return "texts" if form == "text" else "messages"


def _singular(form: Form) -> str:
    return "a text" if form == "text" else "a message"
