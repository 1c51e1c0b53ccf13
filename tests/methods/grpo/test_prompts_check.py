import json
import shutil
from dataclasses import replace

import pytest
import yaml

from align.checks.launch import Launch
from align.errors import RecipeError
from align.methods.rollouts.prompt_data import load
from align.recipe.recipe import load_recipe
from align.services.prepared import prepare

PROMPTS = [{"id": f"p{i}", "prompt": f"say {i}", "gold": str(i)} for i in range(8)]


@pytest.fixture
def recipe(tmp_path, tiny_model_folder):
    def write(rows=PROMPTS, **changes):
        (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        shutil.copytree(tiny_model_folder, tmp_path / "model", dirs_exist_ok=True)
        (tmp_path / "own.py").write_text(
            "def says(completions, gold, **kwargs):\n"
            "    return [float(g in str(c)) for c, g in zip(completions, gold, strict=True)]\n"
        )
        content = {
            "method": "grpo", "model_name_or_path": "./model", "output_dir": str(tmp_path / "run"),
            "dataset": {"path": "./train.jsonl"}, "reward_funcs": ["own.py:says"], "num_generations": 4,
            "per_device_train_batch_size": 8, "max_completion_length": 8, "max_steps": 2, "use_cpu": True,
            "bf16": False,
        }  # fmt: skip
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(content | changes))
        return path

    return write


def findings(path):
    checked = replace(load_recipe(path), is_checked=True)
    return {(f.check, f.level): f.text for f in prepare(checked, Launch()).findings}


def test_prompts_and_rewards_are_checked_before_anything_is_loaded(recipe):
    found = findings(recipe())
    assert "8 read, 8 kept" in found["data", "ok"]
    assert "`says` refuses 0 %" in found["rewards", "ok"]  # behind how fast it answers
    texts = [each.text for each in prepare(load_recipe(recipe()), Launch()).findings if each.check == "rewards"]
    (speed,) = [each for each in texts if each.startswith("own.py:says answers ")]
    assert "about 0.01 s or less per step of 8." in speed
    assert "asks 2 questions 4 times" in found["batch", "ok"]
    assert "Prompts take" in found["lengths", "ok"]
    assert not [level for _, level in found if level == "error"]


def test_a_reward_that_needs_a_column_the_data_lacks_is_an_error(recipe):
    found = findings(recipe([{"prompt": "say 1"}] + [{"prompt": f"say {i}"} for i in range(8)]))
    assert "gold" in found["rewards", "error"]


@pytest.mark.parametrize("theirs", ["gold", "ground_truth", "Correct Answer"])
def test_a_column_that_a_reward_reads_by_another_name_is_named_with_the_entry_that_takes_it(recipe, theirs):
    rows = [{"prompt": f"say {i}", theirs: str(i)} for i in range(8)]
    found = findings(recipe(rows, reward_funcs=["number_accuracy"]))
    entry = f"answer: {theirs}"
    assert f"`dataset.columns: {{{entry}}}` takes it from a column of another name." in found["rewards", "error"]
    dataset = {"path": "./train.jsonl", "columns": {"answer": theirs}}
    assert ("rewards", "error") not in findings(recipe(rows, reward_funcs=["number_accuracy"], dataset=dataset))


def test_grpo_without_a_reward_is_refused(recipe):
    with pytest.raises(RecipeError, match="reward_funcs"):
        load_recipe(recipe(reward_funcs=[]))


def test_texts_and_messages_in_one_file_are_refused(recipe):
    rows = [*PROMPTS, {"prompt": [{"role": "user", "content": "say 9"}], "gold": "9"}]
    assert "in one" in findings(recipe(rows))["data", "error"]


def test_settings_of_another_method_are_unknown(recipe):
    with pytest.raises(RecipeError, match="second_pass"):
        load_recipe(recipe(second_pass="off"))


def test_images_of_prompts_are_read_counted_and_not_handed_to_rewards_twice(recipe, tmp_path):
    Image = pytest.importorskip("PIL.Image", reason="needs the extra `vision`")
    from tiny import tiny_vl_model_and_processor

    model, processor = tiny_vl_model_and_processor()
    model.config.save_pretrained(tmp_path / "seeing")
    processor.save_pretrained(tmp_path / "seeing")
    Image.new("RGB", (200, 100)).save(tmp_path / "wide.png")
    talk = [row | {"prompt": [{"role": "user", "content": row["prompt"]}]} for row in PROMPTS]
    rows = [talk[0] | {"images": ["wide.png"] * 2}, talk[1] | {"image": "wide.png"}, *talk[2:]]
    made = load_recipe(recipe(rows, model_name_or_path=str(tmp_path / "seeing")))
    wide = str(tmp_path / "wide.png")
    prompts = load(made)
    assert [row["images"] for row in prompts.rows[:3]] == [[wide, wide], [wide], []]
    assert "image" not in prompts.rows[1]
    text = findings(made.path)["images", "ok"]
    assert text.startswith("2 prompts have 1 to 2 images of 2 to 2 tokens: 3 tokens of images a prompt on average")
    text = findings(recipe([rows[0] | {"prompt": "say 0"}, *rows[1:]]))["data", "error"]
    assert "row 1, column `prompt`: images have no place: the prompt is not messages" in text


@pytest.mark.by_day("ends.py:f-Reward `ends.py:f` cannot be loaded: its process ended with exit code 5")
@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("ends.py:f", "Reward `ends.py:f` cannot be loaded: its process ended with exit code 5"),
        ("no.py:f", "Reward 'no.py:f': there is no such file"),
    ],
)
def test_a_reward_that_cannot_be_loaded_is_said_once_and_not_loaded_here(recipe, tmp_path, spec, text):
    (tmp_path / "ends.py").write_text("import os\nos._exit(5)\n")
    found = prepare(load_recipe(recipe(reward_funcs=[spec, "own.py:says"])), Launch()).findings
    (error,) = [finding for finding in found if finding.level == "error"]
    assert text in error.text
