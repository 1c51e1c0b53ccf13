"""What `align check` says that an update reads, against what a run reads."""

import json
from dataclasses import replace

import numpy as np
import pytest
from started import start

from align.checks.finding import Finding
from align.checks.launch import Launch
from align.methods.rollouts.prompt_data import check_batch
from align.methods.rollouts.report import read_chart
from align.methods.rollouts.saved_tokens import check_reads
from align.recipe.recipe import load_recipe
from align.report.run.folder import Series
from align.services.prepared import prepare
from align.training.build import build_trainer

ALL = {"beta": 0.04, "generation_kwargs": {"min_new_tokens": 8}, "max_steps": 1, "save_strategy": "no"}


def estimate(path, processes=1, launch=None):
    recipe, launch = load_recipe(path), launch or Launch(num_processes=processes)
    lengths = Finding("ok", "lengths", "", {"mean": 200.0})
    (finding,) = check_reads(recipe, launch, [lengths, *check_batch(recipe, launch, 40)])
    return finding


@pytest.mark.parametrize(
    ("changes", "near"),
    [
        ({}, 0.03),
        ({"per_device_train_batch_size": 4, "gradient_accumulation_steps": 3}, 0.03),
        ({"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4}, 0.03),
        ({"steps_per_generation": 4}, 0.15),  # which completions are in an update is chance
    ],
    ids=str,
)
def test_the_estimate_is_what_a_run_reads(tiny_recipe, changes, near):
    path = tiny_recipe(**ALL, **changes)
    prepared = prepare(replace(load_recipe(path), is_checked=True), Launch())
    (finding,) = (each for each in prepared.findings if each.check == "reads")
    trainer = build_trainer(load_recipe(path), prepared.data, prepared.rewards)
    trainer.train()
    log = trainer.state.log_history[0]
    assert finding.numbers["read"] == pytest.approx(log["rollouts/read_tokens"], rel=near)
    assert finding.numbers["least"] == pytest.approx(log["rollouts/floor_tokens"], rel=near)
    updates = changes.get("steps_per_generation", 1)
    assert finding.numbers["trl"] == pytest.approx(log["rollouts/trained_tokens"] / updates, rel=0.03)


@pytest.mark.parametrize(
    ("changes", "config", "reason"),
    [
        ({"skip_without_advantage": "off"}, {}, "its completions: `skip_without_advantage: off` computes what TRL"),
        ({}, {"attention_dropout": 0.1}, "its completions: dropout is drawn for all of a batch"),
        ({"use_peft": True, "lora_dropout": 0.1}, {}, "its completions: dropout is drawn for all of a batch"),
        ({"pad_to_multiple_of": 8}, {}, "`pad_to_multiple_of` is set"),
        ({}, {"model_type": "gpt2"}, "the positions of gpt2 count padding"),
        ({}, {"model_type": "opt"}, "opt takes no mask or positions of ours"),
        ({}, {"rope_scaling": {"type": "dynamic", "factor": 2.0}, "rope_parameters": None}, "on the longest row"),
        ({"neftune_noise_alpha": 5.0}, {}, "`neftune_noise_alpha` draws noise for each"),
        ({"attn_implementation": "flash_attention_2"}, {}, "`attn_implementation: flash_attention_2` takes no mask"),
    ],
    ids=str,
)
def test_what_forbids_to_read_a_prompt_once_is_named(tiny_recipe, tmp_path, changes, config, reason):
    path = tiny_recipe(**changes)
    file = tmp_path / "model" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | config), encoding="utf-8")
    finding = estimate(path)
    assert reason in finding.text
    assert "an estimated 1.00 of TRL's tokens" in finding.text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"beta": 0.04}, "are read, too: `beta` is above 0, and the KL is over all."),
        ({"beta": 0.04, "loss_type": "bnpo"}, "are read, too: `beta` is above 0"),
        ({"top_entropy_quantile": 0.5}, "are read, too: `top_entropy_quantile` is below 1"),
        ({}, "Completions without an advantage are not read."),
        ({"per_device_train_batch_size": 1, "gradient_accumulation_steps": 8},
         "A batch has 1 of the 4 completions of a prompt; with `per_device_train_batch_size: 4` and "
         "`gradient_accumulation_steps: 2` it were 0.2"),
        ({"num_iterations": 2, "steps_per_generation": 4}, "over 4 updates of a generation"),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_read_all_the_same_is_said(tiny_recipe, changes, words):
    assert words in estimate(tiny_recipe(**changes)).text


def test_passes_that_deepspeed_needs_are_said(tiny_recipe):
    assert "DeepSpeed reads a short row" in estimate(tiny_recipe(), launch=Launch(zero_stage=2)).text
    assert "DeepSpeed" not in estimate(tiny_recipe()).text


def test_numbers_are_of_a_step_of_all_processes(tiny_recipe):
    one, four = (estimate(tiny_recipe(), processes).numbers for processes in (1, 4))
    assert {name: 4 * number for name, number in one.items()} == four


def test_a_page_says_how_near_its_floor_a_run_came():
    def chart(read, floor):
        values = {"rollouts/read_tokens": read, "rollouts/floor_tokens": floor}
        return read_chart({key: Series(np.arange(len(each)), np.array(each)) for key, each in values.items()})

    assert "1.04 of the floor" in chart([102.0, 106.0], [100.0, 100.0]).note
    assert chart([5.0], [0.0]) is None  # nothing taught
    assert read_chart({}) is None


def test_the_estimate_needs_no_torch():
    done = start("-c", "import sys, align.methods.rollouts.saved_tokens\nassert 'torch' not in sys.modules")
    assert done.returncode == 0, done.stderr
