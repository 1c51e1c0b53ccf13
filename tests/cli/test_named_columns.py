"""A file of options in columns A to D, as spreadsheets have it: one mapping in a recipe serves every command."""

import json
from types import SimpleNamespace

import pytest
from in_one_process import run
from some_recipes import PROMPTS, QUESTIONS, REWARD_PAIRS
from tiny import tiny_reward_model, tiny_tokenizer

from align.evaluation.service import find_suite
from align.recipe.yaml_loader import dump_yaml

COLUMNS = {"question": "prompt", "options": ["A", "B", "C", "D"], "answer": "target"}
ENTRY = "columns: {question: prompt, options: [A, B, C, D], answer: target}"
HEADER = "prompt,A,B,C,D,target"


def command(*words):
    done = run([str(word) for word in words])
    assert done["crash"] == "NoneType: None\n", done["crash"]
    return done["code"], done["output"]


def write_csv(path, header=HEADER, count=8):
    rows = [f"Which is {i}?,{i},{i + 1},{i + 2},{i + 3 if i % 2 else ''},A" for i in range(count)]
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


@pytest.fixture
def recipe(tmp_path, answering_model_folder):
    """Writes a recipe of rows in `train.csv` and `eval.csv`; keywords change its `dataset`."""

    def write(**changes):
        write_csv(tmp_path / "train.csv")
        write_csv(tmp_path / "eval.csv", count=4)
        dataset = {"path": "./train.csv", "eval_path": "./eval.csv", "columns": COLUMNS, "conversational": False}
        dataset |= {"prompt_template": "{question}\n{options}\n"} | changes
        content = {"method": QUESTIONS, "model_name_or_path": str(answering_model_folder), "dataset": dataset}
        content |= {"reward_funcs": ["format"], "max_completion_length": 8, "num_generations": 2}
        (tmp_path / "recipe.yaml").write_text(dump_yaml(content))
        return tmp_path / "recipe.yaml"

    return write


def test_a_check_reads_rows_for_training_and_for_evaluation(recipe):
    _, output = command("check", recipe())
    assert "train.csv: 8 read, 8 kept" in output
    assert "eval.csv: 4 for evaluation" in output


def test_an_audit_reads_both_files(recipe, tmp_path):
    code, output = command("audit", "--recipe", recipe(), "--out", tmp_path / "audit")
    assert code == 0, output
    assert "train.csv: 8 rows of questions for training" in output
    assert "eval.csv: 4 rows" in output


def test_an_evaluation_reads_other_rows_as_the_recipe_does(recipe, tmp_path, answering_model_folder):
    words = ("eval", "--model", answering_model_folder, "--recipe", recipe(), "--suite", "accuracy")
    other = write_csv(tmp_path / "other.csv", count=3)
    code, output = command(*words, "--data", other, "--out", tmp_path / "out")
    assert code == 0, output
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text())["about"]["data"]["questions"] == 3


def test_a_reward_model_reads_pairs_as_the_recipe_of_its_run_does(tmp_path):
    folder, rows = tmp_path / "run", tmp_path / "pairs.jsonl"
    tiny_reward_model(vocabulary=len(tiny_tokenizer())).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    rows.write_text("".join(json.dumps({"question": f"{i}?", "good": "yes", "bad": "no"}) + "\n" for i in range(3)))
    columns = {"prompt": "question", "chosen": "good", "rejected": "bad"}
    data = {"path": str(rows), "columns": columns}
    content = dump_yaml({"method": REWARD_PAIRS, "model_name_or_path": "m", "output_dir": "o", "dataset": data})
    words = ("eval", "--reward_model", folder, "--data", rows)
    code, output = command(*words, "--out", tmp_path / "a")
    assert (code, "`columns: {prompt: question, chosen: good, rejected: bad}`" in output) == (1, True), output
    (tmp_path / "recipe.yaml").write_text(content)
    assert command(*words, "--recipe", tmp_path / "recipe.yaml", "--out", tmp_path / "b")[0] == 0
    (folder / "recipe.yaml").write_text(content)
    assert command(*words, "--out", tmp_path / "c")[0] == 0
    numbers = [json.loads((tmp_path / name / "evaluation.json").read_text())["suites"] for name in "bc"]
    assert numbers[0] == numbers[1]


def test_the_kind_of_rows_is_told_by_our_names(recipe, tmp_path):
    def told(**options):
        unsaid = dict.fromkeys(("suite", "rewards", "reward_model", "adapter", "split", "recipe", "columns"))
        asked = unsaid | {"model": "m", "data": str(write_csv(tmp_path / "a.csv"))} | options
        return find_suite(SimpleNamespace(**asked)).name

    assert told(recipe=str(recipe())) == "questions"
    assert told() == "questions", "the error names the mapping, `prompt` alone misleads"
    plain = tmp_path / "b.jsonl"
    plain.write_text('{"query": "Why?", "note": "x"}\n')
    content = {"method": PROMPTS, "model_name_or_path": "m", "reward_funcs": ["format"]}
    content |= {"dataset": {"path": str(plain), "columns": {"prompt": "query"}}}
    (tmp_path / "prompts.yaml").write_text(dump_yaml(content))
    assert told(data=str(plain), recipe=str(tmp_path / "prompts.yaml")) == "prompts"


def test_without_a_mapping_every_command_names_the_one_to_write(recipe, tmp_path, answering_model_folder):
    data = write_csv(tmp_path / "train.csv")
    for words in (
        ("check", recipe(columns={})),
        ("audit", data, "--out", tmp_path / "audit"),
        ("eval", "--model", answering_model_folder, "--data", data, "--out", tmp_path / "out"),
    ):
        code, output = command(*words)
        assert code == 1
        assert f"Say so with `{ENTRY}` under `dataset` of " in output
        assert "holds prompts" not in output


def test_a_mapping_that_does_not_fit_is_named_with_what_there_is(recipe, tmp_path, answering_model_folder):
    has = "It has: `prompt`, `A`, `B`, `C`, `E`, `target`. Did you mean `E`?"
    sentence = f"no column `D` in any row, and `columns` takes `options: [A, B, C, D]` from it. {has}"
    path = recipe()
    data = write_csv(tmp_path / "train.csv", HEADER.replace("D", "E"))
    for words in (
        ("check", path),
        ("audit", "--recipe", path, "--out", tmp_path / "audit"),
        ("eval", "--model", answering_model_folder, "--recipe", path, "--data", data, "--out", tmp_path / "out"),
    ):
        code, output = command(*words)
        assert code == 1
        assert sentence in output, output
