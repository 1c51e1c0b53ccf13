"""Responses to try a reward with, right, wrong and odd ones, and rows where no data is given."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from rewards.reading.options import LETTERS
from rewards.reading.responses import DEFAULT_FORMAT, ResponseFormat, parse_response
from rewards.running.contract.signature import Parameters
from rewards.scoring.accuracy import chosen_options
from rewards.scoring.perturbations import ORIGINAL, SEEN_FAMILIES, UNSEEN_FAMILIES

Row = Mapping[str, Any]
Role = Literal["right", "wrong", "every_answer", "nothing", "odd"]

# Columns in which data sets keep the right answer, in the order in which they are looked for.
GOLD_COLUMNS = (
    "answer", "solution", "gold", "ground_truth", "reference", "target", "label", "final_answer", "expected_answer",
    "gold_answer", "reference_answer", "correct_answer", "expected", "truth",
)  # fmt: skip


class Sample(NamedTuple):
    """One response to one row."""

    row: Row
    text: str
    role: Role  # `nothing` is a response without any content
    name: str  # the same in words
    place: tuple[int, int] = (0, 0)  # row and form; `right` and `wrong` samples of a place differ in the answer


def answer_samples(rows: Sequence[Row], tags: ResponseFormat = DEFAULT_FORMAT) -> list[Sample]:
    """Makes a right and a wrong response in each form to each row, or two that differ, in the tags first."""
    answers = [right_and_wrong(rows, index) for index in range(len(rows))]
    samples = []
    for form, (form_name, _) in enumerate(answer_forms(tags)):
        for index, (row, (right, wrong)) in enumerate(zip(rows, answers, strict=True)):
            for spelling, (good, bad) in enumerate(zip(right, wrong, strict=True)):
                place = (index, form * 2 + spelling)
                for role, answer in (("right", good), ("wrong", bad)):
                    text = answer_forms(tags)[form][1](answer)
                    samples.append(Sample(row, text, role, f"the {role} answer {form_name}", place))  # type: ignore[arg-type]
    return samples


def greedy_samples(rows: Sequence[Row], tags: ResponseFormat = DEFAULT_FORMAT) -> list[Sample]:
    """Makes responses that name every possible answer, and responses that say nothing."""
    samples = []
    for index, row in enumerate(rows):
        for known in _every_answer(rows, row):
            for form_name, write in answer_forms(tags):
                samples.append(Sample(row, write(known), "every_answer", f"every answer {form_name}", (index, 0)))
        for name, text in (("an empty response", ""), ("whitespace only", " \n\t ")):
            samples.append(Sample(row, text, "nothing", name, (index, 0)))
    return samples


def odd_samples(rows: Sequence[Row], tags: ResponseFormat = DEFAULT_FORMAT) -> list[Sample]:
    """Makes responses that a policy writes sooner or later, the likeliest first."""
    answers = [
        (f"{name} {form_name}", write(answer))
        for form_name, write in answer_forms(tags)
        for name, answer in ODD_ANSWERS.items()
    ]
    named = [*_odd_texts(tags), *answers]
    return [Sample(rows[i % len(rows)], text, "odd", name, (i % len(rows), 0)) for i, (name, text) in enumerate(named)]


def gold_column(rows: Sequence[Row]) -> str | None:
    """Finds the column with the right answer: the first known name whose values can be written down."""
    for name in GOLD_COLUMNS:
        if name in rows[0] and any(gold_text(row, name) is not None for row in rows):
            return name
    return None


def gold_text(row: Row, column: str) -> str | None:
    """Reads the right answer of a row as a text; what follows `####` where a solution ends with it."""
    value = row.get(column)
    if isinstance(value, list | tuple) and value:
        value = value[0]
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    text = str(value).strip()
    return text.rpartition("####")[2].strip() or None


def is_choice(row: Row) -> bool:
    """Tells whether a row is a multiple-choice question as this project writes it: options, and an index of one."""
    options, answer = row.get("options"), row.get("answer")
    return (
        isinstance(options, list | tuple)
        and isinstance(answer, int)
        and not isinstance(answer, bool)
        and 0 <= answer < min(len(options), len(LETTERS))
    )


def other_gold(rows: Sequence[Row], index: int, column: str) -> Any:
    """Returns a value of the gold column that is wrong for a row, of the same kind."""
    row = rows[index]
    if is_choice(row):
        return (row["answer"] + 1) % len(row["options"])
    own = row.get(column)
    for other in (*rows[index + 1 :], *rows[:index]):
        if other.get(column) is not None and other[column] != own and type(other[column]) is type(own):
            return other[column]
    return own + 1 if isinstance(own, int | float) and not isinstance(own, bool) else _altered(str(own))


def _altered(text: str) -> str:
    try:
        return str(int(text) + 1)
    except ValueError:
        return "something else"


def right_and_wrong(rows: Sequence[Row], index: int) -> tuple[list[str], list[str]]:
    """Writes the right answer of a row, and a wrong one, in each spelling."""
    row, column = rows[index], gold_column(rows)
    if column is not None and is_choice(row):
        right, wrong = row["answer"], other_gold(rows, index, "answer")
        return [LETTERS[right], str(row["options"][right])], [LETTERS[wrong], str(row["options"][wrong])]
    text = None if column is None else gold_text(row, column)
    if column is None or text is None:
        return ["yes"], ["no"]
    wrong_text = gold_text({column: other_gold(rows, index, column)}, column)
    return [text], [wrong_text or "something else"]


def _every_answer(rows: Sequence[Row], row: Row) -> list[str]:
    """Lists all answers with the right one at neither end, which a reward may read; of two, in both orders."""
    column = gold_column(rows)
    if column is None or (right := gold_text(row, column)) is None:
        return []
    known = [text for each in rows if (text := gold_text(each, column))]
    if is_choice(row):
        right, known = LETTERS[row["answer"]], list(LETTERS[: len(row["options"])])
    known = list(dict.fromkeys(known))
    if len(known) < 2 or sum(map(len, known)) >= 400:
        return []
    if len(known) == 2:
        return [" or ".join(known), " or ".join(known[::-1])]
    place = min(max(known.index(right), 1), len(known) - 2)
    known.remove(right)
    return [" or ".join([*known[:place], right, *known[place:]])]


def answer_forms(tags: ResponseFormat) -> list[tuple[str, Any]]:
    """Lists the forms that an answer may have, in words and as a function that writes it."""
    think = f"<{tags.think_tag}>\nLet me see.\n</{tags.think_tag}>\n"
    return [
        ("in answer tags", lambda x: f"{think}<{tags.answer_tag}>{x}</{tags.answer_tag}>"),
        ("in \\boxed{} after a trace", lambda x: f"{think}The answer is ${_boxed(x)}$."),
        ("in \\boxed{}", lambda x: f"The answer is ${_boxed(x)}$."),
        ("after `Answer:`", lambda x: f"Let me see.\nAnswer: {x}"),
        ("after `####`", lambda x: f"Let me see.\n#### {x}"),
        ("alone", lambda x: x),
    ]


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
    if not is_choice(sample.row):
        column = gold_column([sample.row])
        right = column is not None and parse_response(sample.text, tags).answer == gold_text(sample.row, column)
        return {"first_right": right, "second_right": [right]}
    (choice,) = chosen_options([sample.text], [sample.row["options"]], tags)
    return {"first_choice": choice, "second_choices": None if choice is None else [choice]}
