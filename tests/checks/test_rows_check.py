from pathlib import Path

import pytest
import yaml
from planted import clean_pairs, rotten_pairs, write_rows
from some_recipes import DEMONSTRATIONS, OUTCOMES, PAIRS, QUESTIONS, REWARD_PAIRS

from align.checks.launch import Launch
from align.checks.recipe import check_rows
from align.data.prompt_rows import load_prompts
from align.data.training_data import load_training_data
from align.recipe.recipe import load_recipe
from align.services.prepared import prepare

RECIPES = Path(__file__).parents[2] / "recipes"


def rows_line(tmp_path, method, train, held_out=None):
    write_rows(tmp_path / "train.jsonl", train)
    paths = {"path": "./train.jsonl"}
    if held_out is not None:
        write_rows(tmp_path / "eval.jsonl", held_out)
        paths["eval_path"] = "./eval.jsonl"
    content = yaml.safe_load((RECIPES / method / "quickstart.yaml").read_text())
    model = RECIPES / method / "assets" / "lab" / "model"
    path = tmp_path / "recipe.yaml"
    path.write_text(
        yaml.safe_dump(content | {"dataset": paths, "model_name_or_path": str(model), "eval_strategy": "no"})
    )
    recipe = load_recipe(path, ["--output_dir", str(tmp_path / "out")])
    (line,) = [each for each in prepare(recipe, Launch()).findings if each.check == "rows"]
    return line


@pytest.mark.parametrize("method", [PAIRS, REWARD_PAIRS])
def test_rotten_rows_are_counted_in_one_line(tmp_path, method):
    line = rows_line(tmp_path, method, *rotten_pairs())
    assert line.level == "warning"
    for sentence in (
        "60 of 490 rows repeat an earlier one",
        "30 pairs of answers that stand in both orders",
        "40 of 80 rows for evaluation are rows for training",
    ):
        assert sentence in line.text[0].lower() + line.text[1:]
    assert line.fix.startswith("align audit ")
    assert "--eval" in line.fix


@pytest.mark.parametrize("form", ["texts", "messages", "one text"])
def test_demonstrations_that_repeat_or_leak_are_counted_as_other_rows_are(tmp_path, form):
    def row(number):
        asked, taught = f"How much is {number} and {number}?", f"It is {2 * number}."
        if form == "messages":
            return {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": taught}]}
        return {"text": f"{asked} {taught}"} if form == "one text" else {"prompt": asked, "completion": taught}

    line = rows_line(tmp_path, DEMONSTRATIONS, [row(n) for n in (*range(20), 3, 3)], [row(n) for n in (1, 30)])
    assert line.level == "warning"
    assert "2 of 22 rows repeat an earlier one" in line.text
    assert "1 of 2 rows for evaluation are rows for training" in line.text
    clean = rows_line(tmp_path, DEMONSTRATIONS, [row(n) for n in range(20)], [row(30)])
    assert (clean.level, clean.numbers) == ("ok", {"duplicates": 0, "leaks": 0})


def test_clean_rows_are_said_to_be_so(tmp_path):
    line = rows_line(tmp_path, REWARD_PAIRS, clean_pairs(40, 0))
    assert (line.level, line.text) == (
        "ok", "No duplicates, contradictions or prefixes among 40 rows, compared by content."
    )  # fmt: skip


@pytest.mark.parametrize(("answers", "level"), [("11", "ok"), ("12", "warning")])
def test_a_prompt_that_is_asked_twice_is_no_warning_unless_its_answers_differ(tmp_path, answers, level):
    write_rows(tmp_path / "prompts.jsonl", [{"prompt": "1 + ?", "answer": answer} for answer in answers])
    recipe = load_recipe(RECIPES / QUESTIONS / "quickstart.yaml", ["--dataset.path", str(tmp_path / "prompts.jsonl")])
    dataset = recipe.dataset.model_copy(update={"eval_path": None})
    data = load_training_data(dataset, lambda source: load_prompts(source.path), lambda items: [])
    (line,) = check_rows(recipe, data)
    assert line.level == level
    assert line.numbers == {"duplicates": answers.count("1") - 1, "contradictions": answers.count("2")}


def observed(num, first=0):
    numbers = range(first, first + num)
    return [{"text": f"a title {i}", "clicks": (i * 7) % 13 + i % 3, "hour": (i * 5) % 24} for i in numbers]


def outcome_line(tmp_path, train, held_out):
    write_rows(tmp_path / "train.jsonl", train)
    write_rows(tmp_path / "eval.jsonl", held_out)
    content = yaml.safe_load((RECIPES / OUTCOMES / "quickstart.yaml").read_text())
    dataset = {"path": "./train.jsonl", "eval_path": "./eval.jsonl", "text": "text", "outcome": "clicks",
               "confounders": ["hour"], "estimator": "ols", "on_bad_rows": "skip"}  # fmt: skip
    model = str(RECIPES / OUTCOMES / "assets" / "lab" / "model")
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(content | {"dataset": dataset, "model_name_or_path": model}))
    recipe = load_recipe(path, ["--output_dir", str(tmp_path / "out")])
    (line,) = [each for each in prepare(recipe, Launch()).findings if each.check == "rows"]
    return line, path


def test_outcomes_are_compared_by_text_outcome_and_confounders(tmp_path):
    train, held_out = observed(80), observed(40, first=80)
    line, _ = outcome_line(tmp_path, train, held_out)
    assert (line.level, line.text) == ("ok", "No duplicates or leaks among 80 rows, compared by content.")
    other = train[3] | {"clicks": 99}  # the same text, shown again
    line, _ = outcome_line(tmp_path, [*train, other], [*held_out, train[4] | {"hour": 23}])
    assert line.level == "ok"
    assert line.numbers == {"duplicates": 0, "leaks": 0}


def test_repeated_outcomes_are_no_warning_and_leaked_ones_are(tmp_path):
    train, held_out = observed(80), observed(40, first=80)
    hole = train[0] | {"hour": None}  # left out, so that no row number can be given
    line, path = outcome_line(tmp_path, [hole, *train, train[5]], held_out)
    assert line.level == "ok"
    assert line.text == "1 of 81 rows repeat an earlier one (train-80 repeats train-5)."
    assert line.fix == f"align audit --recipe {path} --out audit"
    line, _ = outcome_line(tmp_path, train, [*held_out, train[7]])
    assert line.level == "warning"
    assert line.text == "1 of 41 rows for evaluation are rows for training (eval-40)."
