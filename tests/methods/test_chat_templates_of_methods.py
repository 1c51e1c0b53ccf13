"""Every method reads messages with the template that a recipe names, and saves it with its model."""

import json

import pytest
import yaml
from some_recipes import DEMONSTRATIONS, OUTCOMES, QUESTIONS

from align.checks.rewards import resolve_rewards
from align.methods import METHODS
from align.recipe.recipe import load_recipe
from align.training.build import build_trainer

TEMPLATE = (
    "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }} {% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)
OWN = {
    OUTCOMES: {"text": "t", "outcome": "y", "confounders": ["c"], "estimator": "ols", "prompt": "asked",
               "conversational": True},
    DEMONSTRATIONS: {"columns": {"completion": "chosen"}},
    QUESTIONS: {"prompt_template": "{question} {options}"},
}  # fmt: skip


@pytest.fixture
def recipe_of(tmp_path, tiny_model_folder):
    asked = [{"role": "user", "content": "q?"}]
    rows = [
        {"prompt": asked, "asked": "q?", "question": f"{i}?", "options": ["1", "2"], "answer": "A", "t": f"text {i}",
         "chosen": [{"role": "assistant", "content": f"{i} is"}], "y": (i * 7) % 11, "c": (i * 5) % 13,
         "rejected": [{"role": "assistant", "content": f"{i} was"}]}
        for i in range(24)
    ]  # fmt: skip
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "chat.jinja").write_text(TEMPLATE)

    def parsed(method):
        content = {
            "method": method, "model_name_or_path": str(tiny_model_folder), "chat_template_path": "./chat.jinja",
            "dataset": {"path": "./rows.jsonl", **OWN.get(method, {})}, "output_dir": str(tmp_path / "out"),
            "report_to": "none",
        }  # fmt: skip
        content |= {"reward_funcs": ["format"], "num_generations": 4} if METHODS[method].has_rewards else {}
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(content))
        return load_recipe(tmp_path / "recipe.yaml")

    return parsed


@pytest.mark.parametrize("method", METHODS)
def test_the_template_is_the_trainers_and_saved_with_its_model(recipe_of, method, tmp_path):
    recipe = recipe_of(method)
    data = METHODS[method].part("load")(recipe)
    trainer = build_trainer(recipe, data, resolve_rewards(recipe))
    assert trainer.processing_class.chat_template == TEMPLATE
    row = trainer.train_dataset[0]
    names = [name for name in ("input_ids", "prompt_ids", "chosen_ids", "chosen_input_ids") if name in row]
    assert names or METHODS[method].has_rewards, list(row)
    if names:
        assert trainer.processing_class.decode(row[names[0]]).replace(" ", "").startswith("[user]q?[assistant]")
    trainer.save_model(str(tmp_path / "saved"))
    assert (tmp_path / "saved" / "chat_template.jinja").read_text() == TEMPLATE
