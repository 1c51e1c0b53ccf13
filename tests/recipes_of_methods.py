"""A recipe of each method on the same few rows, which trains in seconds."""

import json

import pytest
import yaml
from some_recipes import DEMONSTRATIONS, OUTCOMES, QUESTIONS

VARIETY = """
def variety(completions, **kwargs):
    return [len(set(str(each))) / (1 + len(str(each))) for each in completions]
"""
OWN = {
    OUTCOMES: {"text": "t", "outcome": "y", "confounders": ["c"], "estimator": "ols", "prompt": "asked",
               "conversational": True},
    DEMONSTRATIONS: {"columns": {"completion": "chosen"}},
    QUESTIONS: {"prompt_template": "{question} {options}"},
}  # fmt: skip


@pytest.fixture
def recipe_of(tmp_path, tiny_model_folder):
    from align.methods import METHODS
    from align.recipe.recipe import load_recipe

    asked = [{"role": "user", "content": "q?"}]
    rows = [
        {"prompt": asked, "asked": "q?", "question": f"{i}?", "options": ["1", "2"], "answer": "A", "t": f"text {i}",
         "chosen": [{"role": "assistant", "content": f"{i} is"}], "y": (i * 7) % 11, "c": (i * 5) % 13,
         "rejected": [{"role": "assistant", "content": f"{i} was"}]}
        for i in range(24)
    ]  # fmt: skip
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    (tmp_path / "own.py").write_text(VARIETY)

    def parsed(method, **keys):
        content = {
            "method": method, "model_name_or_path": str(tiny_model_folder), "report_to": "none",
            "dataset": {"path": "./rows.jsonl", **OWN.get(method, {})}, "output_dir": str(tmp_path / "out"),
            "per_device_train_batch_size": 4, "max_steps": 2, "use_cpu": True, "bf16": False, "logging_steps": 1,
        }  # fmt: skip
        if METHODS[method].has_rewards:
            content |= {"reward_funcs": ["./own.py:variety"], "num_generations": 4, "max_completion_length": 8}
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(content | keys))
        return load_recipe(tmp_path / "recipe.yaml")

    return parsed
