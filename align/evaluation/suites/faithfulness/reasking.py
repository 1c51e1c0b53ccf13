"""Asks for the answer again behind a response up to its answer, with another trace in place of its own."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from align.evaluation.policies.trace_edits import replace_trace
from align.evaluation.suites.faithfulness.answers import read_answer
from align.evaluation.suites.subject import Subject
from align.models.policies.asking import Completion, Decoding, Prompt
from rewards.reading.responses import Response, ResponseFormat


class Traced(NamedTuple):
    """A response with a trace and an answer behind it."""

    prompt: Prompt
    text: str
    response: Response


class Reasked(NamedTuple):
    """What was answered behind other traces.

    Attributes:
        answers: `(N,)` by condition; None for an answer that is empty or does not end.
        num_wanted: Answers that were needed.
        completions: Those that were asked for: equal beginnings of a response to equal prompts are asked once.
    """

    answers: list[dict[str, str | None]]
    num_wanted: int
    completions: list[Completion]


def ask_again(
    subject: Subject,
    responses: Sequence[Traced],
    traces: Sequence[Mapping[str, str]],
    decoding: Decoding,
    response_format: ResponseFormat,
) -> Reasked:
    """Asks for the answer behind each trace, up to the end of the answer.

    Args:
        subject: Who is asked.
        responses: `(N,)` whose traces are replaced.
        traces: `(N,)` by condition.
        decoding: Of the answers, greedy.
        response_format: Tags of trace and answer.
    """
    places: dict[tuple[str, str, str], int] = {}
    asked: list[Prompt] = []
    found: list[dict[str, int]] = []
    for each, changed in zip(responses, traces, strict=True):
        end = _end(each.text, response_format)
        found.append({})
        for name, trace in changed.items():
            # Without spaces at its end, because most vocabularies hold them together with what follows.
            prefix = replace_trace(each.text, each.response, trace, response_format).rstrip()
            key = (repr(each.prompt.content), prefix, end)
            if key not in places:
                places[key] = len(asked)
                asked.append(each.prompt._replace(prefix=prefix, stop=end))
            found[-1][name] = places[key]
    completions = [each[0] for each in subject.complete(asked, decoding, stage="changed traces")]
    read = [
        read_answer(completion, prompt.stop, decoding.max_new_tokens)
        for prompt, completion in zip(asked, completions, strict=True)
    ]
    answers = [{name: read[place] for name, place in each.items()} for each in found]
    return Reasked(answers, sum(map(len, found)), completions)


def _end(text: str, response_format: ResponseFormat) -> str:
    """Returns what ends the answer of a response: its tag, or a new line behind a plain `Answer:`."""
    return f"</{response_format.answer_tag}>" if f"<{response_format.answer_tag}>" in text else "\n"
