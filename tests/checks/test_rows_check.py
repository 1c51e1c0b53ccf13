from pathlib import Path

import pytest
import yaml
from planted import clean_pairs, rotten_pairs, write_rows
from some_recipes import PAIRS, QUESTIONS, REWARD_PAIRS

from align.checks.launch import Launch
from align.checks.recipe import check_recipe
from align.checks.rows import check_rows
from align.data.prompt_rows import load_prompts
from align.data.training_data import load_training_data
from align.recipe.recipe import load_recipe

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
    (line,) = [each for each in check_recipe(recipe, Launch()).findings if each.check == "rows"]
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
    data = load_training_data(dataset, lambda path, *_: load_prompts(path), lambda items: [])
    (line,) = check_rows(recipe, data)
    assert line.level == level
    assert line.numbers == {"duplicates": answers.count("1") - 1, "contradictions": answers.count("2")}
