"""One defect a row: each is told with its place and a remedy, and hides no other."""

import json

import pyarrow as pa
import pyarrow.parquet
import pytest

from align.data import DataError, load_preferences, load_questions, load_reward_pairs
from align.data.prompt_rows import load_prompts

GOOD = {"question": "Which rusts?", "options": ["iron", "gold"], "answer": 0}
PAIR = {"prompt": "Which rusts?", "chosen": "Iron.", "rejected": "Gold."}
DEEP = "[" * 5_000 + "]" * 5_000


def lines(*rows) -> bytes:
    texts = (row if isinstance(row, bytes | str) else json.dumps(row) for row in rows)
    return b"".join((text if isinstance(text, bytes) else text.encode()) + b"\n" for text in texts)


def as_list(*rows) -> bytes:
    return b"[\n" + b",\n".join(lines(row).strip() for row in rows) + b"]"


def problems_of(file, load=load_questions):
    items, report = load(file, on_bad_rows="skip")
    assert report.num_read == len(items) + len(report.problems)
    return report.problems


JSON_ROWS = {
    "half a character": (GOOD | {"question": "\ud800"}, "`question`: a text holds half a character", "'\\ud800'"),
    "half a character in an option": (GOOD | {"options": ["a", "\udfff"]}, "`options`: a text holds half", "place 0"),
    "half a character in an id": (GOOD | {"id": "a\ud800"}, "`id`: a text holds half", "place 1"),
    "half a character in a group": (GOOD | {"group": "\ud83d"}, "`group`: a text holds half", "'\\ud83d'"),
    "half a character in a name": (GOOD | {"\ud800": 1}, "`\\ud800`: a text holds half", "Write the whole"),
    "5,000 lists": (f'{{"question": "a", "options": {DEEP}}}', "the row is nested too deeply", "[[["),
    "100 lists": (GOOD | {"more": json.loads("[" * 100 + "]" * 100)}, "`more`: the value is nested too deeply", "50"),
    "beyond a float": ('{"question": 1e999}', "a number is too large", "1e999"),
    "5,000 digits": (f'{{"answer": {"9" * 5_000}}}', "a number is too large", "write a smaller one, or a text"),
    "a number of no column": (GOOD | {"more": 2**64}, "a number is too large", "18446744073709551616"),
    "not a number": (GOOD | {"answer": float("nan")}, "`answer`: the answer is neither", "(value: nan)"),
    "NUL": (GOOD | {"question": "a\0b"}, "`question`: a text holds a NUL character", "Remove it"),
    "a key twice": ('{"question": "a", "question": "b"}', "`question`: a key is written twice", "Keep one"),
    "no object": ("[1]", "the row is not an object", "Write the columns"),
    "zero width": (GOOD | {"question": "\u200b\ufeff "}, "the question is missing or empty", "'\\u200b\\ufeff '"),
    "zero width option": (GOOD | {"options": ["a", "\u2060"]}, "an option is empty", "Write option B"),
    "zero width id": (GOOD | {"id": "\u200b"}, "the id is neither a text nor a number", "short text"),
    "NFC and NFD": (GOOD | {"options": ["caf\u00e9", "cafe\u0301"]}, "two options are the same", "(NFC, NFD)"),
    "only not shown": (GOOD | {"options": ["a", "a\u00ad"]}, "two options are the same", "not shown"),
    "no options": ({"question": "a", "answer": 0}, "`options`: the column is missing", "row has: 'question, answer'"),
    "not UTF-8": (b'{"question": "caf\xe9"}', 'is not UTF-8 text (value: \'{"question": "caf\\xe9"}\')', "0xe9 at"),
    "colours": (GOOD | {"answer": "\x1b[31mred\n"}, "the answer is not among", "'\\x1b[31mred\\n'"),
}


OF_THE_WHOLE = {"5,000 lists": "nested too deeply", "not UTF-8": "0xe9 at line 3, column 18"}  # of a list in a file


@pytest.mark.parametrize("write", [lines, as_list], ids=["jsonl", "json"])
@pytest.mark.parametrize("case", JSON_ROWS)
def test_a_defect_in_json_is_one_row_that_can_be_skipped(tmp_path, case, write):
    row, rule, remedy = JSON_ROWS[case]
    file = tmp_path / ("rows.jsonl" if write is lines else "rows.json")
    file.write_bytes(write(GOOD, row, GOOD))
    if write is as_list and case in OF_THE_WHOLE:
        with pytest.raises(DataError, match=OF_THE_WHOLE[case]):
            problems_of(file)
        return
    (problem,) = problems_of(file)
    assert f"row 2{'' if rule.startswith(('the row', 'a number', 'is not')) else ', column '}" in str(problem)
    assert rule in str(problem)
    assert remedy in str(problem)
    assert str(problem).isprintable()


PAIR_ROWS = {
    "half a character": ({"chosen": "\ud800"}, "`chosen`: a text holds half a character"),
    "in messages": ({"prompt": [{"role": "user", "content": "\ud800"}]}, "`prompt`: a text holds half a character"),
    "zero width": ({"rejected": "\u200b"}, "the response is missing or empty"),
    "zero width prompt": ({"prompt": "\u200b"}, "the prompt is missing or empty"),
    "NFC and NFD": ({"chosen": "caf\u00e9", "rejected": "cafe\u0301"}, "chosen and rejected look the same"),
    "only not shown": ({"chosen": "Gold.\ufeff"}, "chosen and rejected look the same"),
}


@pytest.mark.parametrize("load", [load_preferences, load_reward_pairs])
@pytest.mark.parametrize("case", PAIR_ROWS)
def test_a_defect_in_a_pair_is_one_row(tmp_path, case, load):
    change, rule = PAIR_ROWS[case]
    (tmp_path / "pairs.jsonl").write_bytes(lines(PAIR, PAIR | change))
    (problem,) = problems_of(tmp_path / "pairs.jsonl", load)
    assert (problem.row, rule in str(problem)) == (2, True)


CSV_ROWS = {
    "fewer cells": (
        b"Why?",
        "row 3: the row has fewer cells than the header (value: ['Why?']). It has 1, the header 3",
    ),
    "more cells": (b'Why?,"[""a"",""b""]",A,x', "row 3: the row has more cells than the header (value: ['x'])"),
    "NUL": (b'Wh\0?,"[""a"",""b""]",A', "row 3, column `question`: a text holds a NUL character"),
    "not UTF-8": (b'Wh\xe9?,"[""a"",""b""]",A', "It has 0xe9 at line 3, column 3, byte"),
    "not UTF-8 later": (b'"Why\n\xe9?","[""a"",""b""]",A', "It has 0xe9 at line 4, column 1, byte"),
    "half a character": (b'Why?,"[""a"",""\\ud800""]",A', "row 3, column `options`: a text holds half a character"),
    "5,000 lists": (b"Why?," + DEEP.encode() + b",A", "row 3, column `options`: the row is nested too deeply"),
}


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("case", CSV_ROWS)
def test_a_defect_in_csv_is_one_row_that_can_be_skipped(tmp_path, case, end):
    row, words = CSV_ROWS[case]
    good = b'Why?,"[""a"",""b""]",B'
    content = end.join((b"question,options,answer", good, row.replace(b"\n", end), good, b""))
    (tmp_path / "rows.csv").write_bytes(content)
    if "byte" in words:  # which costs the whole file
        with pytest.raises(DataError, match=f"{words} {content.index(0xE9)} of the file counted from 0"):
            problems_of(tmp_path / "rows.csv")
        return
    (problem,) = problems_of(tmp_path / "rows.csv")
    assert words in str(problem)


def test_a_byte_that_is_no_text_hides_no_other_defect(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_bytes(
        b"\xef\xbb\xbf" + lines("", GOOD, '{"question": "é"}', b'{"q": "\xff"}', *[GOOD | {"answer": 9}] * 40)
    )
    problems = problems_of(file)
    assert [problem.row for problem in problems] == [3, *range(4, 45)]
    assert f"line 4, column 8, byte {file.read_bytes().index(0xFF)} of the file" in str(problems[1])
    with pytest.raises(DataError, match=r"42 of 43 rows[\s\S]*40 x the answer is not among"):
        load_questions(file)


def test_places_in_a_json_list_count_from_its_start(tmp_path):
    file = tmp_path / "rows.json"
    file.write_bytes(as_list(GOOD | {"question": "é"}, '{"é": 1,\n "b": "xx'.encode() + b'\xff"}', GOOD))
    with pytest.raises(DataError, match=f"0xff at line 4, column 10, byte {file.read_bytes().index(0xFF)} of"):
        load_questions(file, on_bad_rows="skip")


def test_a_list_that_is_just_not_too_deep_to_be_read_costs_its_row(tmp_path):
    (tmp_path / "rows.json").write_bytes(as_list(GOOD, f'{{"more": {"[" * 900}1e999{"]" * 900}}}', GOOD))
    (problem,) = problems_of(tmp_path / "rows.json")
    assert (problem.row, "nested too deeply" in problem.rule) == (2, True)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv"])
def test_other_encodings_are_named_with_a_command(tmp_path, encoding, suffix):
    (tmp_path / f"rows.{suffix}").write_bytes('["question"]'.encode(encoding))
    with pytest.raises(
        DataError, match=rf"is {encoding.upper()} text, not UTF-8.*iconv -f {encoding.upper()} -t UTF-8"
    ):
        load_questions(tmp_path / f"rows.{suffix}")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_end_of_a_line_is_one(tmp_path, end):
    (tmp_path / "rows.jsonl").write_bytes(end.join([json.dumps(GOOD), "", json.dumps(GOOD)]).encode())
    assert [question.row for question in load_questions(tmp_path / "rows.jsonl")[0]] == [1, 3]


def test_a_cell_may_be_as_long_as_a_book(tmp_path):
    (tmp_path / "rows.csv").write_text("prompt\n" + "a" * 300_000)
    assert len(load_prompts(tmp_path / "rows.csv")[0][0].prompt) == 300_000


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_columns_of_a_csv_file_may_be_separated_by_something_else(tmp_path, delimiter):
    text = 'question,options,answer\n"Why, though?","[""a"",""b""]",B\n'
    (tmp_path / "rows.csv").write_text(text.replace(",", delimiter).replace(f'""{delimiter}""', '"",""'))
    assert load_questions(tmp_path / "rows.csv")[0][0].answer == 1


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_column_that_is_named_twice_is_refused(tmp_path, suffix):
    file = tmp_path / f"rows.{suffix}"
    file.write_text("prompt,prompt\na,b\n")
    if suffix == "parquet":
        pa.parquet.write_table(pa.table([["a"], ["b"]], names=["prompt", "prompt"]), file)
    with pytest.raises(DataError, match="has the columns 'prompt' twice"):
        load_prompts(file)


def test_a_parquet_file_that_is_no_text_or_was_cut_is_named(tmp_path):
    texts = pa.array([b"What?", b"\xff", b"Why?"]).view(pa.string())
    file = tmp_path / "rows.parquet"
    pa.parquet.write_table(pa.table({"prompt": texts}), file)
    with pytest.raises(DataError, match=r"is not whole or no UTF-8: .*Invalid UTF8 sequence at string index 1"):
        load_prompts(file)
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(DataError, match="is not a Parquet file, is not whole"):
        load_prompts(file)


def test_an_adapter_that_meets_another_kind_of_value_is_one_row(tmp_path):
    row = {"id": "a", "question": "Why?", "choices": {"text": ["x", "y"], "label": ["A", "B"]}, "answerKey": "A"}
    broken = row | {"id": "b", "choices": {"text": None, "label": 3}}
    (tmp_path / "rows.jsonl").write_bytes(lines(row, broken))
    _, report = load_questions(tmp_path / "rows.jsonl", adapter="arc", on_bad_rows="skip")
    (problem,) = report.problems
    assert (problem.row, problem.rule) == (2, "the adapter `arc` cannot read the row")
