"""Every method reads messages with the template that a recipe names, and saves it with its model."""

import pytest

from align.methods import METHODS
from align.models.rewards import resolve_rewards
from align.training.build import build_trainer

TEMPLATE = (
    "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }} {% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)


@pytest.mark.parametrize("method", METHODS)
def test_the_template_is_the_trainers_and_saved_with_its_model(recipe_of, method, tmp_path):
    (tmp_path / "chat.jinja").write_text(TEMPLATE)
    recipe = recipe_of(method, chat_template_path="./chat.jinja")
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
