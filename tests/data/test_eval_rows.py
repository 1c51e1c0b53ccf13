import json

import pytest
import yaml
from observed_table import observed_rows, write_table
from some_recipes import OUTCOMES, PAIRS, PROMPTS

from align.errors import RecipeError
from align.methods import METHODS
from align.recipe.recipe import load_recipe


def write(folder, method, **dataset):
    content = {"method": method, "model_name_or_path": "model", "dataset": dataset}
    content |= {"reward_funcs": ["number_accuracy"]} if method == PROMPTS else {}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(content))
    return folder / "recipe.yaml"


def prompts(folder):
    for name, count in (("train", 6), ("eval", 9)):
        rows = [{"prompt": f"{name} {i}?", "answer": i} for i in range(count)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"path": "./train.jsonl", "eval_path": "./eval.jsonl"}


def pairs(folder):
    for name, count in (("train", 6), ("eval", 9)):
        rows = [{"prompt": f"{name} {i}?", "chosen": f"yes {i}", "rejected": f"no {i}"} for i in range(count)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"path": "./train.jsonl", "eval_path": "./eval.jsonl"}


def table(folder):
    for name, count in (("train", 60), ("eval", 90)):
        write_table(folder / f"{name}.jsonl", observed_rows(count, seed=len(name)))
    columns = {"text": "headline", "outcome": "clicks", "confounders": ["popularity"], "estimator": "ols"}
    return {"path": "./train.jsonl", "eval_path": "./eval.jsonl", **columns}


@pytest.mark.parametrize(("method", "data"), [(PROMPTS, prompts), (PAIRS, pairs), (OUTCOMES, table)])
def test_evaluation_rows_are_bounded_and_training_rows_are_not(method, data, tmp_path):
    dataset = data(tmp_path)
    load = METHODS[method].part("load")
    whole = load(load_recipe(write(tmp_path, method, **dataset)))
    some = load(load_recipe(write(tmp_path, method, **dataset, max_eval_rows=4)))
    assert len(some.eval_rows) == 4
    assert len(whole.eval_rows) > 4
    assert len(some.rows) == len(whole.rows)


def test_a_bound_without_evaluation_rows_is_refused(tmp_path):
    path = write(tmp_path, PROMPTS, path="./train.jsonl", max_eval_rows=4)
    with pytest.raises(RecipeError, match="`max_eval_rows` bounds the rows of `eval_path`, and none is given"):
        load_recipe(path)
