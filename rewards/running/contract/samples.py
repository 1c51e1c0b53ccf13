"""Responses to try a reward with, right, wrong and odd ones, and rows where no data is given."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from rewards.places import GOLD_COLUMNS, Row, options_of, others_of, places
from rewards.reading.responses import DEFAULT_FORMAT, ResponseFormat, parse_response
from rewards.running.contract.signature import Parameters
from rewards.scoring.accuracy import chosen_options
from rewards.scoring.perturbations import ORIGINAL, SEEN_FAMILIES, UNSEEN_FAMILIES


class Sample(NamedTuple):
    """One response to one row."""

    row: Row
    text: str
    name: str  # the same in words


def answer_samples(
    rows: Sequence[Row], count: int, read: Sequence[str] = (), tags: ResponseFormat = DEFAULT_FORMAT, gold: str = ""
) -> list[Sample]:
    """Makes a right and a wrong response to the first rows, in each form and spelling.

    Right ones are of the place that is tried first, and `yes` where there is none; which it is, exchanges tell later.
    """
    known = places(rows, read, gold=gold)
    answers = []
    for place in [each for each in known if (each.path, each.options) == (known[0].path, known[0].options)][:2]:
        rights = [place.text(row) for row in rows]
        answers.append([(right or "yes", "no" if right is None or donor is None else rights[donor] or "no")
                        for right, donor in zip(rights, others_of(rights)[0], strict=True)][:count])  # fmt: skip
    return [
        Sample(row, write(answer), f"the {kind} answer {form}")
        for form, write in answer_forms(tags)
        for own in answers or [[("yes", "no")] * count]
        for row, pair in zip(rows, own, strict=False)
        for kind, answer in zip(("right", "wrong"), pair, strict=True)
    ]


def odd_samples(rows: Sequence[Row], tags: ResponseFormat = DEFAULT_FORMAT) -> list[Sample]:
    """Makes responses that a policy writes sooner or later, the likeliest first."""
    answers = [
        (f"{name} {form_name}", write(answer))
        for form_name, write in answer_forms(tags)
        for name, answer in ODD_ANSWERS.items()
    ]
    named = [*_odd_texts(tags), *answers]
    odd = [Sample(rows[i % len(rows)], text, name) for i, (name, text) in enumerate(named)]
    shown = ((row, options) for row in rows if (options := options_of(row.get("options"))))
    for row, (one, other, *_) in shown:
        return [Sample(row, _behind(f"So {one}.", other, tags), "an answer that its trace does not say"), *odd]
    return odd


def answer_forms(tags: ResponseFormat) -> list[tuple[str, Any]]:
    """Lists the forms that an answer may have, in words and as a function that writes it."""
    think = f"<{tags.think_tag}>\nLet me see.\n</{tags.think_tag}>\n"
    return [
        ("in answer tags", lambda x: _behind("Let me see.", x, tags)),
        ("in \\boxed{} after a trace", lambda x: f"{think}The answer is ${_boxed(x)}$."),
        ("in \\boxed{}", lambda x: f"The answer is ${_boxed(x)}$."),
        ("after `Answer:`", lambda x: f"Let me see.\nAnswer: {x}"),
        ("after `####`", lambda x: f"Let me see.\n#### {x}"),
        ("alone", lambda x: x),
        ("behind a trace that says it", lambda x: _behind(f"So {x}.", x, tags)),
    ]


def _behind(trace: str, answer: str, tags: ResponseFormat) -> str:
    return f"<{tags.think_tag}>\n{trace}\n</{tags.think_tag}>\n<{tags.answer_tag}>{answer}</{tags.answer_tag}>"


def _boxed(answer: str) -> str:
    return answer if "\\boxed" in answer else f"\\boxed{{{answer.strip('$')}}}"


def _odd_texts(tags: ResponseFormat) -> Iterator[tuple[str, str]]:
    think, answer = tags.think_tag, tags.answer_tag
    yield "an empty response", ""
    yield "whitespace only", " \n\t "
    yield "a trace that is never closed", f"<{think}>Let me see. It may be"
    yield "an answer tag that is never closed", f"<{think}>a</{think}><{answer}>A"
    yield "tags in the wrong order", f"</{answer}>A<{answer}></{think}><{think}>"
    yield "two answers", f"<{think}>a</{think}><{answer}>A</{answer}><{answer}>B</{answer}>"
    yield "nested tags", f"<{think}><{think}>a</{think}><{answer}><{answer}>A</{answer}></{answer}>"
    yield "one tag 500 times", f"<{think}>" * 500
    yield "a code fence", "```python\nprint(42)\n```"
    yield "a code fence that is never closed", '```json\n{"answer": '
    yield "JSON", '{"answer": null}'
    yield "scripts, emoji and direction marks", "答えは 🙂 é \u200b\u202e ﷽ \u0660\u0661 \U0001f469\u200d\U0001f52c"
    yield "bytes that are no text", "\ufffd\x00\x1b[31m"
    yield "format characters", "100 % sure: %s %d {0} {} \\1 \\d $1 ["
    yield "an empty box", "The answer is $\\boxed{}$."
    yield "a box that is never closed", "The answer is $\\boxed{\\frac{1}{2"
    yield "one word only", "A"
    yield "20 000 characters", "It may be so, or it may not. " * 700
    yield "20 000 equal characters", "a" * 20_000
    yield "2 000 brackets", "(" * 1000 + ")" * 1000
    yield "20 000 spaces before a word", " " * 20_000 + "x"


ODD_ANSWERS = {
    "an empty answer": "",
    "words for an answer": "one half, I think",
    "a division by zero for an answer": "1/0",
    "`nan` for an answer": "nan",
    "`1e999` for an answer": "1e999",
    "5 000 digits for an answer": "9" * 5000,
    "a minus sign for an answer": "-",
}
QUESTIONS = (
    ("Which metal rusts?", ("gold", "iron", "tin", "lead"), 1),
    ("Which is a gas?", ("helium", "salt", "sand", "oil"), 0),
    ("Which animal flies?", ("cat", "dog", "cow", "bat"), 3),
    ("Which number is even?", ("3", "7", "8", "9"), 2),
)
SUMS = (("What is 17 + 25?", "42"), ("What is 9 * 8?", "72"), ("What is 100 - 1?", "99"), ("What is 20 / 4?", "5"))
FAMILIES = (ORIGINAL, SEEN_FAMILIES[0], UNSEEN_FAMILIES[0])
VERSIONS = ("origin", "family")  # columns of `rewards.perturbed_rows`
SECOND_PASS = ("first_choice", "second_choices")  # columns that `ACRETrainer` adds


def synthetic_rows(parameters: Parameters) -> list[dict[str, Any]]:
    """Makes multiple-choice questions for a reward that reads `options`, and sums for every other one."""
    if set(VERSIONS) <= set(parameters.columns):
        names = [(row, family) for row in _questions()[:2] for family in FAMILIES]
        order = {"permutation": [0, 1, 2, 3]}
        return [row | order | dict(zip(VERSIONS, (row["id"], family), strict=True)) for row, family in names]
    if {"options", *SECOND_PASS} & set(parameters.columns):
        return _questions()
    read = [name for name in parameters.columns if name not in parameters.settings]  # `target=40` is no right answer
    golds = [name for name in read if name in GOLD_COLUMNS] or ["answer", "solution"]
    return [{"id": f"sum-{i}", "prompt": prompt} | dict.fromkeys(golds, gold) for i, (prompt, gold) in enumerate(SUMS)]


def _questions() -> list[dict[str, Any]]:
    return [
        {"id": f"question-{i}", "prompt": question, "question": question, "options": list(options)}
        | {"answer": answer, "group": None}
        for i, (question, options, answer) in enumerate(QUESTIONS)
    ]


def second_pass_columns(sample: Sample, tags: ResponseFormat) -> dict[str, Any]:
    """Makes the columns that `ACRETrainer` or `TextACRETrainer` adds, of a policy that answers the same again."""
    if "options" not in sample.row:
        answer = parse_response(sample.text, tags).answer
        right = answer in [each.text(sample.row) for each in places([sample.row])[:1]]
        return {"first_right": right, "second_right": [right], "first_text": answer, "second_texts": [answer]}
    (choice,) = chosen_options([sample.text], [sample.row["options"]], tags)
    return {"first_choice": choice, "second_choices": None if choice is None else [choice]}
