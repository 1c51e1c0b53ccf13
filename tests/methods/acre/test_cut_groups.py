"""Groups of completions that are cut by processes: the same where rows are rewarded one by one, else refused."""

import json
from pathlib import Path

import pandas as pd
import pytest
import test_acre as of_letters
from safetensors.torch import load_file
from started import launch, with_tests

from align.assets import find_recipe
from align.checks.launch import Launch
from align.checks.rewards import check_groups
from align.methods.acre.trainer import ACRETrainer
from align.recipe.recipe import load_recipe
from rewards import VoteAgreement, answer_agreement

RUN = Path(__file__).with_name("cut_groups_run.py")
TOGETHER = 4  # completions of one question, two on each of two processes


def looks(folder):
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [{name: value for name, value in line.items() if name.startswith("probe/")} for line in lines]


@pytest.mark.slow
def test_a_cut_group_is_asked_again_and_paid_as_a_whole_one(tmp_path):
    done = [
        launch("ddp_cpu.yaml", RUN, tmp_path / "two", TOGETHER),
        with_tests(RUN, tmp_path / "one", TOGETHER),
    ]
    assert not any(each.returncode for each in done), done
    names = ["prompt", "completion", "answer_agreement", "advantage", "second_answers", "permutation"]
    for step in (1, 2, 3):
        one, two = (
            pd.read_parquet(tmp_path / name / "completions" / f"completions_0000{step}.parquet")[names]
            for name in ("one", "two")
        )
        pd.testing.assert_frame_equal(one, two, check_exact=True)
        assert set(one["answer_agreement"]) <= {0.0, 1.0}
    weights = [load_file(tmp_path / name / "model.safetensors") for name in ("one", "two")]
    assert all(abs(weights[0][name] - each).max() < 1e-6 for name, each in weights[1].items())
    assert looks(tmp_path / "one") == looks(tmp_path / "two")


def recipe_of(folder, *words):
    given = ["--num_generations", "8", "--output_dir", str(folder)]
    return load_recipe(find_recipe("acre/quickstart"), [*given, *words])


PER_DEVICE, GENERATED = "per_device_train_batch_size", "generation_batch_size"
TWICE, FOUR = ["--gradient_accumulation_steps", "2"], ["--steps_per_generation", "4"]
SIZES = [  # a setting, its value, words beside it, and the value that the finding names
    (PER_DEVICE, 4, [], 8), (PER_DEVICE, 12, [], 16), (PER_DEVICE, 20, [], 24), (PER_DEVICE, 8, [], None),
    (PER_DEVICE, 4, TWICE, None), (PER_DEVICE, 6, TWICE, 8), (PER_DEVICE, 6, FOUR, None), (PER_DEVICE, 3, FOUR, 4),
    (GENERATED, 16, ["--per_device_train_batch_size", "4"], None),
    (GENERATED, 24, ["--per_device_train_batch_size", "4"], 32),
    (GENERATED, 24, ["--per_device_train_batch_size", "6"], 48),
]  # fmt: skip


@pytest.mark.parametrize(("key", "size", "words", "named"), SIZES)
def test_a_check_refuses_groups_that_processes_cut_with_a_size_that_works(key, size, words, named, tmp_path):
    def found(size):
        return check_groups(recipe_of(tmp_path, f"--{key}", str(size), *words), Launch(2), [VoteAgreement()])

    if named is None:
        assert not found(size)
        return
    (finding,) = found(size)
    assert f"would compare in part. Set `{key}: {named}`." in finding.text
    assert not found(named)


def test_one_process_and_rewards_of_rows_have_no_cut_group(tmp_path):
    recipe = recipe_of(tmp_path, "--per_device_train_batch_size", "4")
    assert not check_groups(recipe, Launch(1), [VoteAgreement()])
    assert not check_groups(recipe, Launch(2), [answer_agreement, "a/model"])


def test_a_trainer_refuses_a_cut_group_before_it_trains(tmp_path):
    class OfTwo(ACRETrainer):
        """One of two processes, as far as its batch goes."""

        def _check(self, name, factor, together, generations):
            super()._check(name, factor, together, 2 * generations)

    given = {"per_device_train_batch_size": 4, "num_generations": 4}
    with pytest.raises(ValueError, match=r"A row has to be in one call .*Make `per_device_train_batch_size` such"):
        of_letters.make_trainer(tmp_path, [VoteAgreement()], trainer=OfTwo, **given)
    of_letters.make_trainer(tmp_path, [answer_agreement], trainer=OfTwo, **given)
