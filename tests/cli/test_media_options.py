import pytest

from align.errors import UserError
from align.evaluation.engine import media_settings
from align.recipe.dataset import MediaSettings
from align.recipe.recipe import load_for_evaluation

TRAINED = {"num_frames": 8, "max_pixels": 100_000, "media_dir": "./media", "frames_dir": "./frames"}


def test_media_are_read_as_in_training(tiny_recipe, tmp_path):
    recipe = load_for_evaluation(tiny_recipe(dataset=TRAINED | {"eval_path": "./eval.jsonl"}))
    own = media_settings(recipe, str(tmp_path / "eval.jsonl"), {"num_frames": 4})
    assert (own.num_frames, own.max_pixels, own.fps) == (4, 100_000, None)  # the command line wins
    assert (own.media_dir, own.frames_dir) == (str(tmp_path / "media"), str(tmp_path / "frames"))


def test_the_folder_of_a_recipes_media_is_not_that_of_other_data(tiny_recipe, tmp_path):
    recipe = load_for_evaluation(tiny_recipe(dataset=TRAINED))
    other = media_settings(recipe, str(tmp_path / "other.jsonl"), {})
    assert (other.media_dir, other.num_frames) == (None, 8)
    assert media_settings(recipe, "owner/name", {"media_dir": "m"}).media_dir == "m"


def test_without_a_recipe_the_command_line_says_it_all():
    assert media_settings(None, "questions.jsonl", {}) == MediaSettings()
    assert media_settings(None, "questions.jsonl", {"fps": 2.0}).fps == 2
    with pytest.raises(UserError, match=r"`max_pixels`: Input should be greater than or equal to 784, got 3\."):
        media_settings(None, "questions.jsonl", {"max_pixels": 3})
