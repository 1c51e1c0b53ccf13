"""`align keys` lists what `align check` takes, from the same source."""

import subprocess
import sys

import pytest
from some_recipes import OUTCOMES, PAIRS, PROMPTS, QUESTIONS
from typer.testing import CliRunner

from align.cli.app import app
from align.cli.keys import describe
from align.methods import METHODS
from align.recipe.combinations import IN_LAUNCH_FILE
from align.recipe.fields import config_fields
from align.recipe.keys import keys_of
from align.recipe.model import ModelSettings
from align.recipe.reward_settings import RewardSettings


def key(method, name):
    (found,) = [each for each in keys_of(method) if each.name == name]
    return found


def listed(*words, **variables):
    done = CliRunner(env={"COLUMNS": "100"} | variables).invoke(app, ["keys", *words])
    return done.exit_code, done.output


@pytest.mark.parametrize("method", METHODS)
def test_every_key_is_listed_once_with_help(method):
    keys = keys_of(method)
    names = [each.name for each in keys]
    assert len(names) == len(set(names))
    assert [each.name for each in keys if not each.help] == []
    dataset = {f"dataset.{name}" for name in METHODS[method].part("dataset").model_fields}
    assert {name for name in names if "." in name} == dataset
    assert set(names) >= {"method", "dataset", *ModelSettings.model_fields, *config_fields(method)} - {IN_LAUNCH_FILE}
    assert (set(names) >= {"reward_funcs", "reward_kwargs", *RewardSettings.model_fields}) == (
        METHODS[method].has_rewards
    )


@pytest.mark.parametrize("method", METHODS)
def test_our_keys_come_first(method):
    ours = [not each.place.endswith((" of trl", " of transformers")) for each in keys_of(method)]
    assert ours == sorted(ours, reverse=True)
    assert 20 < sum(ours) < len(ours)


def test_a_key_has_the_rules_and_the_default_of_the_check():
    assert str(key(PROMPTS, "learning_rate").range) == "at least 0 and at most 10"
    assert key(PROMPTS, "learning_rate").default == 1e-6
    assert key(PROMPTS, "num_generations").takes_null is False
    assert key(PROMPTS, "log_completions").default is True, "ours, not TRL's"
    assert key(PROMPTS, "output_dir").default == f"outputs/{PROMPTS}-NAME"
    assert key(QUESTIONS, "second_pass").choices == ("auto", "forward", "vllm", "off")
    assert str(key(QUESTIONS, "lora_dropout").range) == "at least 0 and below 1"
    assert "sciq" in key(QUESTIONS, "dataset.adapter").help
    assert key(OUTCOMES, "dataset.path").is_needed
    assert key(PAIRS, "optim").is_computed


def test_a_file_gets_a_line_for_each_key():
    code, output = listed(PROMPTS)
    lines = [line for line in output.splitlines() if not line.startswith("# ")]
    assert code == 0
    assert [line.partition(":")[0] for line in lines] == [each.name for each in keys_of(PROMPTS)]
    assert "temperature: float, above 0; default 1.0. Temperature for sampling." in lines
    assert "\x1b" not in output


@pytest.mark.parametrize("method", METHODS)
def test_types_are_words_and_no_classes(method):
    facts = {key.name: describe(key) for key in keys_of(method)}
    assert facts["dataset.mix"] == "list of blocks or null; default null"
    assert [name for name, text in facts.items() if "class" in text or "Set" in text.partition(";")[0]] == []


def test_a_word_finds_keys_by_name_and_by_help_and_shows_all_of_it():
    _, output = listed(PROMPTS, "OVERRIDES")
    assert "\nmax_steps: int, at least 1, or -1 to go by `num_train_epochs`; default -1. Overrides" in output
    assert "(e.g. a streaming dataset)." in output, "the last words of the help"
    assert "learning_rate:" not in output


def test_a_terminal_is_not_overflown():
    _, output = listed(QUESTIONS, FORCE_COLOR="1", NO_COLOR="1", TERM="dumb")
    plain = [line for line in output.splitlines() if "\x1b" not in line]
    assert len(plain) > 200
    assert max(map(len, plain)) <= 100


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([PROMPTS, "lerning"], f"No key of {PROMPTS} has 'lerning' in its name or help. Near it are learning_rate."),
        ([PROMPTS, "kl_placement"], f"It is a key of {PAIRS}."),
        ([PROMPTS, "zzz"], f"`align keys {PROMPTS}` lists all."),
        ([PROMPTS[:-1]], f"`method` must be one of {PROMPTS}, "),
    ],
)
def test_what_is_not_there_is_a_sentence(words, sentence):
    code, output = listed(*words)
    assert code == 1
    assert sentence in output


def test_keys_are_listed_without_torch():
    code = (
        "import sys; from align.cli.keys import show_keys; show_keys('" + PROMPTS + "', None);"
        "print([name for name in ('torch', 'trl', 'transformers') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"


def test_a_word_of_another_trainer_finds_our_key():
    code, output = listed(PROMPTS, "lr")
    assert code == 0
    assert "\nlearning_rate: float" in output


def test_without_a_method_all_of_them_are_named():
    code, output = listed()
    assert code == 2
    assert f"'{'|'.join(METHODS)}'" in output
