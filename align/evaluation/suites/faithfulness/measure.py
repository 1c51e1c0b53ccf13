"""Faithfulness of a trace, for answers that are texts or numbers.

The answer is asked for again, greedily, behind the response up to its answer with its trace cut after 0, 25, 50 and
75 % of the words, with one step made wrong, with filler of the same length, and with another question's trace. What
changes is told against the answer behind the own whole trace, asked for in the same way. And a hint in the prompt
names a wrong answer: how often the answer follows it, and whether the trace then says so.

After the questions of Lanham et al. (arXiv 2307.13702) and Chen et al. (arXiv 2505.05410); wording, changes and
patterns are ours, so the numbers are not theirs.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import JsonValue

from align.data.conversations import conversation_text
from align.evaluation.statistics.group_metrics import spread_of_groups
from align.evaluation.suite import Measured
from align.evaluation.suites.faithfulness.changed_traces import CONDITIONS, changed_traces
from align.evaluation.suites.faithfulness.hints import HINT, WRONG, add_hint, draw_wrong, tells
from align.evaluation.suites.faithfulness.metrics import Hinted, Sample, faithfulness_means
from align.evaluation.suites.faithfulness.reasking import Reasked, Traced, ask_again
from align.evaluation.suites.faithfulness.rows import TracedQuestion
from align.evaluation.suites.faithfulness.warnings import warn
from align.evaluation.suites.subject import Asking, Subject
from align.models.policies.asking import Completion, Decoding, Prompt
from rewards.reading.responses import Response, parse_response

Answers = list[list[tuple[Completion, Response]]]  # by question and sample


def measure(subject: Subject, rows: Sequence[TracedQuestion], asking: Asking) -> Measured:
    """Asks each question without and with a hint, and for its answer again behind changed traces."""
    asked = [subject.word(row.question or "") if row.prompt is None else row.prompt for row in rows]
    prompts = [Prompt(row.id, add_hint(prompt, "")) for row, prompt in zip(rows, asked, strict=True)]
    plain = _respond(subject, prompts, asking, "answering")
    wrongs = draw_wrong([row.answers for row in rows], [row.wrong for row in rows], asking.seed)
    hinted = _ask_with_hints(subject, rows, asked, wrongs, asking)
    owners, again = _ask_again(subject, prompts, plain, asking)
    reasked = dict(zip(owners, again.answers, strict=True))

    def read(i: int, s: int) -> Sample:
        response, with_hint = plain[i][s][1], hinted[i][s][1] if hinted[i] else None
        told = _read_hint(wrongs[i], with_hint, response, asking.options.hint_pattern)
        return Sample(rows[i].answers, response.answer, reasked.get((i, s), {}), told)

    samples = [[read(i, s) for s in range(len(each))] for i, each in enumerate(plain)]
    items = [
        _item(row, prompts[i].content, sample, plain[i][s], hinted[i][s][0].text if hinted[i] else None, s)
        for i, row in enumerate(rows)
        for s, sample in enumerate(samples[i])
    ]
    means = faithfulness_means(samples, [row.group for row in rows])
    worst = spread_of_groups([row.group for row in rows], means["answer_accuracy"].groups[0])
    return Measured(means, worst, items, list(warn(samples, asking)), _settings(plain, hinted, again))


def _respond(subject: Subject, prompts: Sequence[Prompt], asking: Asking, stage: str) -> Answers:
    found = subject.complete(prompts, asking.decoding, stage=stage)
    return [[(each, parse_response(each.text, asking.response_format)) for each in samples] for samples in found]


def _ask_with_hints(
    subject: Subject,
    rows: Sequence[TracedQuestion],
    asked: Sequence[Any],
    wrongs: Sequence[str | None],
    asking: Asking,
) -> Answers:
    """Asks every question that has a wrong answer again, with a hint that names it."""
    prompts = [
        None if wrong is None else Prompt(row.id, add_hint(prompt, (row.hint or HINT).replace(WRONG, wrong)))
        for row, prompt, wrong in zip(rows, asked, wrongs, strict=True)
    ]
    found = iter(_respond(subject, [each for each in prompts if each is not None], asking, "answering with a hint"))
    return [[] if prompt is None else next(found) for prompt in prompts]


def _ask_again(
    subject: Subject, prompts: Sequence[Prompt], plain: Answers, asking: Asking
) -> tuple[list[tuple[int, int]], Reasked]:
    """Asks behind changed traces, for every response that has a trace with an answer behind it."""
    owners = [
        (i, s)
        for i, samples in enumerate(plain)
        for s, (_, response) in enumerate(samples)
        if response.trace and response.answer is not None
    ]
    traced = [Traced(prompts[i], plain[i][s][0].text, plain[i][s][1]) for i, s in owners]
    traces = changed_traces(
        [each.response.trace or "" for each in traced],
        [repr(each.prompt.content) for each in traced],
        asking.seed,
        _count_tokens(subject.tokenizer),
    )
    decoding = Decoding(max_new_tokens=asking.options.answer_tokens, seed=asking.decoding.seed)
    return owners, ask_again(subject, traced, traces, decoding, asking.response_format)


def _count_tokens(tokenizer: Any) -> Callable[[str], int]:
    if tokenizer is None:
        return lambda text: len(text.split())
    return lambda text: len(tokenizer(text, add_special_tokens=False)["input_ids"])


def _read_hint(wrong: str | None, with_hint: Response | None, without: Response, pattern: str | None) -> Hinted | None:
    if wrong is None or with_hint is None:
        return None
    told, anyway = (tells(each.trace, pattern) if each.trace else None for each in (with_hint, without))
    return Hinted(wrong, with_hint.answer, told, anyway)


def _settings(plain: Answers, hinted: Answers, again: Reasked) -> dict[str, JsonValue]:
    """Says how the hint is worded, and what was generated: tokens, and answers behind traces."""
    responses, with_hint = ([each[0] for samples in found for each in samples] for found in (plain, hinted))
    asked = {"responses": responses, "responses_with_hint": with_hint, "second_answers": again.completions}
    return {
        "hint": HINT,
        "generated_tokens": {name: sum(len(each.ids or ()) for each in found) for name, found in asked.items()},
        "second_answers": {"wanted": again.num_wanted, "asked": len(again.completions)},
    }


def _item(
    row: TracedQuestion,
    prompt: str | list[dict[str, Any]],
    sample: Sample,
    plain: tuple[Completion, Response],
    with_hint: str | None,
    place: int,
) -> Mapping[str, Any]:
    hinted = sample.hinted
    return {
        "id": row.id,
        "group": row.group,
        "sample": place,
        "prompt": conversation_text(prompt),
        "completion": plain[0].text,
        "correct": sample.right,
        "right_answer": " or ".join(row.answers),
        "answer": sample.given,
        **{f"answer_from_{name}": sample.again.get(name) for name in CONDITIONS},
        "hinted_answer": hinted and hinted.wrong,
        "answer_with_hint": hinted and hinted.given,
        "hint_followed": _flag(sample.follows),
        "hint_told": _flag(sample.told),
        "completion_with_hint": with_hint,
    }


def _flag(value: float) -> bool | None:
    return None if value != value else bool(value)
