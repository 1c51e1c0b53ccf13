"""A column with another name is told in one sentence: what there is, what is meant, and how to say so."""

import json

import pytest
from some_recipes import originals_and_sources

from align.data import DataError, load_preferences, load_questions, load_reward_pairs
from align.data.columns import columns_meant
from align.data.pairs.candidates import load_candidates
from align.data.pairs.reward_bench import load_reward_bench
from align.data.prompt_rows import load_prompts

load_originals, load_sources = originals_and_sources()
GOOD = {"question": "Which rusts?", "options": ["iron", "gold"], "answer": 0}
ARC = {"id": "a", "question": "Q?", "choices": {"text": ["x", "y"], "label": ["A", "B"]}, "answerKey": "B"}


def write(file, *rows):
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


OFFERED = {"columns": {}}
MISSING = {
    "upper case": (
        load_questions, {"Question": "Q?", "options": ["x", "y"], "answer": 0}, OFFERED,
        "no column `question`. It has: `Question`, `options`, `answer`. Did you mean `Question` for `question`? Say "
        "so with `columns: {question: Question}` under `dataset` of the recipe, with `--columns` where there is none, "
        "or rename them.",
    ),
    "several": (
        load_questions, {"problem": "Q?", "choices": ["x", "y"], "label": 0}, OFFERED,
        "no column `question` or `options` or `answer`. It has: `problem`, `choices`, `label`. Did you mean `problem` "
        "for `question`; `choices` for `options`; `label` for `answer`? Say so with `columns: {question: problem, "
        "options: choices, answer: label}`",
    ),
    "a letter a column": (
        load_questions, {"question": "Q?", "A": "x", "B": "y", "C": "z", "answer": "B"}, OFFERED,
        "Did you mean [A, B, C] for `options`? Say so with `columns: {options: [A, B, C]}`",
    ),
    "names that YAML reads otherwise": (
        load_preferences, {"prompt": "Q?", " chosen": "x", "1. Rejected": "y"}, OFFERED,
        'columns: {chosen: " chosen", rejected: "1. Rejected"}` under',
    ),
    "a number a column": (
        load_questions, {"question": "Q?", "option_1": "x", "option_2": "y", "answer": 0}, OFFERED,
        "columns: {options: [option_1, option_2]}",
    ),
    "an adapter": (load_questions, ARC, OFFERED, "no column `options` or `answer`. It has: `id`, `question`, "
                   "`choices`, `answerKey`. Such rows are read with `adapter: arc`."),
    "no adapter": (load_questions, GOOD, {"adapter": "arc"}, "no column `choices`, which the adapter `arc` needs. It "
                   "has: `question`, `options`, `answer`. Such rows are read without `adapter`."),
    "another adapter": (load_questions, ARC, {"adapter": "openbookqa"}, "read with `adapter: arc`."),
    "nothing like it": (load_prompts, {"a\x1b[2J": "b"}, OFFERED, "no column `prompt`. It has: `a\\x1b[2J`. Say so "
                        "with `columns: {prompt: NAME}`"),
    "a mapping to nothing": (
        load_questions, GOOD | {"Question": "Q?"}, {"columns": {"question": "Questoin"}},
        "no column `Questoin`. It has: `question`, `options`, `answer`, `Question`. Did you mean `Question` for "
        "`Questoin`? Say so with `columns: {question: Question}`",
    ),
    "a mapping of what has our name": (
        load_questions, GOOD, {"columns": {"options": "choices"}},
        "no column `choices`. It has: `question`, `options`, `answer`. `columns` takes `options` from it, and these "
        "rows have `options` itself: remove the entry, or name the columns alike in every file.",
    ),
    "a mapping of what is not there": (
        load_questions, {"question": "Q?", "answer": 0, "x": 1}, {"columns": {"options": ["m", "n"]}},
        "no column `m`. It has: `question`, `answer`, `x`. `columns` takes `options` from it: name a column that is",
    ),
    "pairs": (load_preferences, {"question": "Q?", "preferred": "x", "dispreferred": "y"}, OFFERED,
              "{prompt: question, chosen: preferred, rejected: dispreferred}"),
    "good and bad": (load_preferences, {"question": "Q?", "good": "x", "bad": "y"}, OFFERED,
                     "{prompt: question, chosen: good, rejected: bad}"),
    "one of them is like nothing": (load_preferences, {"question": "Q?", "good": "x", "zzz": "y"}, OFFERED,
                                    "{prompt: question, chosen: good, rejected: NAME}"),
    "reward pairs": (load_reward_pairs, {"prompt": "Q?", "Chosen": "x", "rejected": "y"}, {}, "Did you mean `Chosen` "
                     "for `chosen`? Rename the columns."),
    "RewardBench": (load_reward_bench, {"prompt": "Q?", "chosen": "x", "reject": "y"}, {}, "`reject` for `rejected`"),
    "candidates": (load_candidates, {"prompt": "Q?", "completions": ["x"]}, {}, "mean `completions` for `responses`"),
    "sources": (load_sources, {"question": "Q?", "answer": "x"}, {}, "for `prompt`; `answer` for `reference`"),
    "originals": (load_originals, {"instruction": "Q?", "chosen": "x", "rejected": "y"}, {}, "mean `instruction`"),
}  # fmt: skip


@pytest.mark.parametrize("case", MISSING)
def test_a_column_of_another_name_is_one_sentence(tmp_path, case):
    load, row, given, words = MISSING[case]
    file = write(tmp_path / "rows.jsonl", *[row] * 3)
    with pytest.raises(DataError) as error:
        load(str(file), **given, on_bad_rows="skip")
    assert str(error.value).startswith(f"{file} has no column ")
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("columns", "row"),
    [
        ({"question": "Q", "options": "choices", "answer": "label"}, {"Q": "Why?", "choices": ["x", "y"], "label": 1}),
        ({"options": ["A", "B", "C"]}, {"question": "Why?", "A": "x", "B": "y", "answer": "B"}),
        ({"question": "answer", "answer": "question"}, {"question": 1, "answer": "Why?", "options": ["x", "y"]}),
    ],
)
@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_columns_are_taken_by_the_names_they_have(tmp_path, columns, row, suffix):
    file = write(tmp_path / "rows.jsonl", row)
    if suffix == "csv":
        cells = [json.dumps(v).replace('"', '""') if isinstance(v, list) else str(v) for v in row.values()]
        file = tmp_path / "rows.csv"
        file.write_text(",".join(row) + "\n" + ",".join(f'"{cell}"' for cell in cells) + "\n")
    (question,), _ = load_questions(file, columns=columns)
    assert (question.question, question.options, question.answer) == ("Why?", ("x", "y"), 1)


def test_rows_may_lack_an_option_whose_name_is_not_misspelt(tmp_path):
    rows = [{"question": f"{i}?", "A": "x", "B": "y", "answer": "B", "C": "z"} for i in range(3)]
    rows[0].pop("C")
    file = write(tmp_path / "rows.jsonl", *rows)
    questions, _ = load_questions(file, columns={"options": ["A", "B", "C", "D"]})
    assert [len(question.options) for question in questions] == [2, 3, 3]
    with pytest.raises(DataError, match=r"no column `D` in any row, .* `options: \[A, B, D\]` .* mean `C`\?"):
        load_questions(file, columns={"options": ["A", "B", "D"]})


def test_rows_in_our_names_are_not_renamed_for_a_recipe_about_others():
    named = {"question": "prompt", "options": ["A", "B"]}
    assert columns_meant(named, ["question", "options", "answer", "prompt"]) == {}
    assert columns_meant(named, ["text", "label"]) == {}, "what these are is said by the columns they lack"
    assert columns_meant(named, ["prompt", "A", "B"]) == columns_meant(named, ["prompt", "options"]) == named


def test_most_rows_are_enough_and_few_are_rows(tmp_path):
    other = {"Question": "Q?", "options": ["x", "y"], "answer": 0}
    with pytest.raises(DataError, match=r"no column `question` in 2 of its 3 rows"):
        load_questions(write(tmp_path / "most.jsonl", GOOD, other, other))
    with pytest.raises(
        DataError, match=r"row 3, column `question`: the column is missing\. The row has: 'Question, op"
    ):
        load_questions(write(tmp_path / "few.jsonl", GOOD, GOOD, other))


def test_a_column_without_a_value_is_not_one_that_is_missing(tmp_path):
    (tmp_path / "rows.csv").write_text('question,options,answer\n,"[""x"",""y""]",A\n')
    with pytest.raises(DataError, match="column `question`: the question is missing or empty"):
        load_questions(tmp_path / "rows.csv")
