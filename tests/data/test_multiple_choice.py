import json
from pathlib import Path

import pytest

from align.data import DataError, load_questions
from align.data.problems import SHOWN_PROBLEMS

GOOD = {"question": "Which rusts?", "options": ["iron", "gold"], "answer": 0}


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def load_one(tmp_path, row):
    questions, report = load_questions(write(tmp_path / "one.jsonl", GOOD, row), on_bad_rows="skip")
    return questions[1:], report.problems


def test_rows_become_questions_named_after_file_and_row(tmp_path):
    file = write(tmp_path / "metals.jsonl", GOOD, "", GOOD | {"id": 7, "group": "physics", "unread": 1, "answer": "B"})
    (first, second), report = load_questions(file)
    assert (first.id, first.question, first.options, first.answer, first.row) == (
        "metals-1", "Which rusts?", ("iron", "gold"), 0, 1,
    )  # fmt: skip
    assert (second.id, second.group, second.answer, second.row) == ("7", "physics", 1, 3)
    assert report.counts == {"read": 2, "kept": 2, "left_out": 0, "unshufflable": 0}


@pytest.mark.parametrize(
    ("options", "answer", "gold"),
    [
        (["iron", "gold"], 1, 1),
        (["iron", "gold"], "B", 1),
        (["iron", "gold"], " b ", 1),
        (["iron", "gold"], "(B)", 1),
        (["iron", "gold"], "GOLD", 1),
        (["iron", "gold"], "B) gold", 1),
        (["B. subtilis", "E. coli"], "B. subtilis", 0),
        (["12", "3", "5"], "3", 1),  # in JSON a quoted number is a text
        (["A", "B", "C"], "B", 1),  # letter and text agree
        (["A", "C", "G", "T"], "T", 3),  # T is beyond the letters, so it is a text
        (["A", "C", "G", "T"], 2, 2),
    ],
)
def test_an_answer_is_an_index_a_letter_or_a_text(tmp_path, options, answer, gold):
    questions, problems = load_one(tmp_path, {"question": "?", "options": options, "answer": answer})
    assert problems == []
    assert questions[0].answer == gold


LETTERS = ["A", "C", "G", "T"]
BAD = {
    "no question": ({"question": None}, "question", "the question is missing or empty"),
    "blank question": ({"question": "  "}, "question", "the question is missing or empty"),
    "number as question": ({"question": 3}, "question", "the question is missing or empty"),
    "no options": ({"options": None}, "options", "the options are not a list"),
    "options in a text": ({"options": "iron, gold"}, "options", "the options are not a list"),
    "one option": ({"options": ["iron"]}, "options", "there are fewer than 2 options"),
    "27 options": ({"options": [f"x{i}" for i in range(27)]}, "options", "there are more than 26 options"),
    "empty option": ({"options": ["iron", " "]}, "options", "an option is empty"),
    "same option": ({"options": ["Iron", " iron"]}, "options", "two options are the same"),
    "number as option": ({"options": ["iron", 3]}, "options", "an option is not a text"),
    "no answer": ({"answer": None}, "answer", "the answer is missing"),
    "blank answer": ({"answer": ""}, "answer", "the answer is missing"),
    "index too high": ({"answer": 3}, "answer", "the answer is not among the options"),
    "index too low": ({"answer": -1}, "answer", "the answer is not among the options"),
    "letter too high": ({"answer": "E"}, "answer", "the answer is not among the options"),
    "other text": ({"answer": "zinc"}, "answer", "the answer is not among the options"),
    "quoted index": ({"answer": "1"}, "answer", "the answer is not among the options"),
    "true": ({"answer": True}, "answer", "the answer is neither an index nor a text"),
    "fraction": ({"answer": 1.0}, "answer", "the answer is neither an index nor a text"),
    "letter and text differ": ({"options": LETTERS, "answer": "C"}, "answer", "the answer can be read in two ways"),
    "article": ({"options": ["the", "a"], "answer": "a"}, "answer", "the answer can be read in two ways"),
    "list as id": ({"id": [1]}, "id", "the id is neither a text nor a number"),
    "taken id": ({"id": "one-1"}, "id", "the id is taken"),
    "absent image": ({"image": "no.png"}, "image", "the image file does not exist"),
}


@pytest.mark.parametrize(("change", "column", "rule"), BAD.values(), ids=BAD.keys())
def test_a_bad_row_is_reported_with_its_place_and_a_remedy(tmp_path, change, column, rule):
    questions, problems = load_one(tmp_path, GOOD | change)
    assert questions == []
    (problem,) = problems
    assert (problem.row, problem.column, problem.rule) == (2, column, rule)
    assert problem.file.endswith("one.jsonl")
    assert problem.remedy.endswith(".")
    assert len(problem.value) <= 60


def test_an_answer_with_two_readings_names_both():
    from align.data.problems import BadRow
    from align.data.question_checks import check_row

    with pytest.raises(BadRow) as bad:
        check_row({"question": "?", "options": LETTERS, "answer": "C"})
    assert bad.value.remedy == "It may mean option B or C: write its index instead."


def test_lines_that_are_no_rows_are_reported_by_line(tmp_path):
    file = write(
        tmp_path / "broken.jsonl", GOOD, '{"question": "cut of', "[1, 2]", '{"question": "a", "question": "b"}', GOOD
    )
    questions, report = load_questions(file, on_bad_rows="skip")
    assert [question.row for question in questions] == [1, 5]
    assert [(problem.row, problem.rule) for problem in report.problems] == [
        (2, "the line is not valid JSON"),
        (3, "the row is not an object"),
        (4, "a key is written twice"),
    ]
    assert report.problems[0].remedy == "Column 14: Unterminated string starting at."
    assert "broken.jsonl, row 2: the line is not valid JSON" in str(report.problems[0])
    assert report.problems[2].column == "question"


def test_bad_rows_stop_with_the_first_few_and_all_counts(tmp_path):
    file = write(tmp_path / "bad.jsonl", GOOD, *[GOOD | {"answer": 9}] * 6, GOOD | {"question": ""})
    with pytest.raises(DataError) as error:
        load_questions(file)
    message = str(error.value)
    assert message.startswith("7 of 8 rows of")
    assert message.count(", column `") == SHOWN_PROBLEMS
    assert (
        "bad.jsonl, row 2, column `answer`: the answer is not among the options (value: 9). Write an index" in message
    )
    assert "6 x the answer is not among the options" in message
    assert "1 x the question is missing or empty" in message
    assert '`on_bad_rows="skip"`' in message


def test_rows_that_are_left_out_are_counted_by_reason(tmp_path):
    file = write(tmp_path / "bad.jsonl", GOOD | {"question": ""}, GOOD, *[GOOD | {"answer": 9}] * 2)
    questions, report = load_questions(file, on_bad_rows="skip")
    assert len(questions) == report.num_kept == 1
    assert report.counts["left_out"] == 3
    assert list(report.reasons.items()) == [
        ("the answer is not among the options", 2),
        ("the question is missing or empty", 1),
    ]


def test_a_data_set_without_a_usable_row_is_an_error_also_when_skipping(tmp_path):
    with pytest.raises(DataError, match="1 of 1 rows"):
        load_questions(write(tmp_path / "bad.jsonl", GOOD | {"answer": 9}), on_bad_rows="skip")
    with pytest.raises(DataError, match="Unknown adapter 'sciqq'"):
        load_questions(write(tmp_path / "good.jsonl", GOOD), adapter="sciqq")


def test_max_rows_reads_no_further(tmp_path):
    file = write(tmp_path / "good.jsonl", GOOD, GOOD, "{broken")
    assert len(load_questions(file, max_rows=2)[0]) == 2


def test_rows_that_cannot_be_shuffled_are_counted(tmp_path):
    fixed = {"question": "?", "options": ["iron", "gold", "Both A and B"], "answer": 2}
    assert load_questions(write(tmp_path / "rows.jsonl", GOOD, fixed))[1].num_unshufflable == 1


def test_sets_of_questions_have_several_of_one_group(tmp_path):
    first, second, third = (GOOD | {"contrast_set": name, "group": "a"} for name in ("x", "x", 7))
    rows = [first, second, third, third, GOOD]
    questions, _ = load_questions(write(tmp_path / "sets.jsonl", *rows))
    assert [question.contrast_set for question in questions] == ["x", "x", "7", "7", None]

    alone = write(tmp_path / "alone.jsonl", first, third, second)
    message = r"row 2, column `contrast_set`: the set has one question only \(value: '7'\)\. Give its other questions"
    with pytest.raises(DataError, match=message):
        load_questions(alone)
    questions, report = load_questions(alone, on_bad_rows="skip")
    assert [question.row for question in questions] == [1, 3]
    assert report.counts["kept"] == 2
    assert report.reasons == {"the set has one question only": 1}
    assert len(load_questions(alone, max_rows=2)[0]) == 2  # where both may be cut off

    reused = write(tmp_path / "reused.jsonl", first, second, first | {"group": "b"}, GOOD | {"contrast_set": "x"})
    with pytest.raises(DataError, match=r"3 of 4|4 of 4 rows") as error:
        load_questions(reused)
    assert "the set has questions of several groups" in str(error.value)
    assert "Row 3 is not of a: give each set a name of its own." in str(error.value)
    with pytest.raises(DataError, match="4 of 4 rows"):
        load_questions(reused, on_bad_rows="skip")


@pytest.mark.parametrize("text", [False, True])
def test_answers_that_count_from_1_are_not_read_by_leaving_out_the_rows_that_show_it(tmp_path, text):
    rows = [{"question": f"{i}?", "options": ["w", "x", "y"], "answer": 1 + i % 3} for i in range(6)]
    if text:
        rows[2]["answer"] = "3"
    path = write(tmp_path / "a.jsonl", *rows)
    with pytest.raises(DataError, match="counted from 1"):
        load_questions(path, on_bad_rows="skip")
    path = write(tmp_path / "a.jsonl", *rows, {"question": "z?", "options": ["w", "x", "y"], "answer": 0})
    assert len(load_questions(path, on_bad_rows="skip")[0]) == 5
