"""Completion by the protocol of the shells: the line so far in the environment, what fits it on stdout."""

import pytest
from some_recipes import PAIRS, QUESTIONS
from typer.testing import CliRunner

from align.assets import shipped_recipes
from align.cli.app import app
from align.methods import METHODS
from align.recipe.keys import keys_of

RECIPE = f"{QUESTIONS}/quickstart"


def complete(line, shell="bash"):
    bash = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
    given = {"_ALIGN_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": line} | bash
    done = CliRunner().invoke(app, [], prog_name="align", env=given)
    assert done.exit_code == 0, done.exception
    return done.output.split()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("align ch", ["check", "chat"]),
        (f"align train {PAIRS}/", [name for name in shipped_recipes() if name.startswith(f"{PAIRS}/")]),
        ("align schema ", list(METHODS)),
        (f"align train {RECIPE} --learn", ["--learning_rate"]),
        (f"align check {RECIPE} --learning_rate 1e-6 --dataset.max_r", ["--dataset.max_rows"]),
        (f"align check recipes/{PAIRS}/quickstart.yaml --kl_place", ["--kl_placement"]),
        (f"align train --time_limit 1h {PAIRS}/quickstart --spans ", ["differing", "whole"]),
        (f"align train {RECIPE} --use_vllm t", ["true"]),
        (f"align rewards check {RECIPE} --reward_k", ["--reward_kwargs"]),
        ("align train ./own.yaml", []),
        ("align train --learn", []),
    ],
)
def test_a_line_is_completed(line, words):
    assert complete(line) == words


def test_every_key_of_the_recipe_is_offered_with_help():
    offered = complete(f"align train {RECIPE} --", shell="zsh")
    text = " ".join(offered)
    assert [key.name for key in keys_of(QUESTIONS) if f'"--{key.name}":"' not in text] == ["method"]
    assert '"--learning_rate":"The initial learning rate for AdamW."' in text


def test_a_key_stays_an_extra_word_when_a_command_runs():
    done = CliRunner().invoke(app, ["check", RECIPE, "--learning_rate", "fast"])
    assert "`learning_rate`" in done.output
    assert done.exit_code == 1
