"""Labelled rows that a run is measured on: nothing of training changes by them, and a run that goes on knows them."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml

from align.assets import find_recipe
from align.checks.launch import current_launch
from align.errors import RecipeError, UserError
from align.methods import METHODS
from align.methods.rollouts.probe import look
from align.methods.rollouts.votes import letter_counts, letter_excess, read_answers
from align.methods.rollouts.without_labels import check_labels
from align.recipe.alarms import ALARMS
from align.recipe.recipe import load_recipe
from align.runs.stages import Stage
from align.services.one_run import train_stage
from align.services.prepared import prepare
from align.training.build import build_trainer
from align.training.callbacks import AlarmLines
from align.training.resuming import Unlogged
from rewards import resolve_reward
from rewards.reading.responses import DEFAULT_FORMAT

LAB = find_recipe("acre/quickstart").parent / "assets" / "lab"
SHORT = {
    "num_generations": 4, "per_device_train_batch_size": 16, "max_completion_length": 12, "learning_rate": 3e-3,
    "max_steps": 4, "logging_steps": 1, "beta": 0.1, "bf16": False, "use_cpu": True, "report_to": "none",
    "save_strategy": "no", "gradient_checkpointing": False, "disable_tqdm": True,
}  # fmt: skip
TIMED = ("time", "per_second", "seconds", "second_pass_share")
EACH = {"eval_strategy": "steps", "eval_steps": 2}


def lines(name):
    return [json.loads(line) for line in (LAB / f"{name}.jsonl").read_text().splitlines()]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def recipe_of(folder, method="acre", probe=50, dataset=None, **settings):
    """Writes a recipe on the lab's questions, whose training rows have no right answers."""
    folder.mkdir(exist_ok=True)
    block = {"path": write(folder / "train.jsonl", lines("train")[:64]), "labels": "none", "conversational": False}
    block |= {"prompt_template": "{question}\n{options}"}
    if probe:
        block["probe_path"] = write(folder / "probe.jsonl", lines("eval")[:probe])
    rewards = {"reward_funcs": ["answer_agreement" if method == "acre" else "follows_trace"]}
    model = {"method": method, "model_name_or_path": str(LAB / "misreader"), "output_dir": str(folder / "run")}
    content = model | rewards | {"dataset": block | (dataset or {})} | SHORT | settings
    (folder / "recipe.yaml").write_text(yaml.safe_dump(content))
    return load_recipe(folder / "recipe.yaml")


def trainer_of(recipe):
    rewards = [resolve_reward(name) for name in recipe.reward_funcs]
    return build_trainer(recipe, METHODS[recipe.method].part("load")(recipe), rewards)


def trained(recipe, resume=None):
    """Trains; returns the weights and the log without what tells times."""
    trainer = trainer_of(recipe)
    trainer.add_callback(Unlogged(trainer))
    trainer.train(resume_from_checkpoint=resume)
    weights = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    return weights, [
        {name: each for name, each in log.items() if not any(timed in name for timed in TIMED)}
        for log in trainer.state.log_history
    ]


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("method", ["acre", "grpo"])
def test_a_run_with_a_probe_trains_as_one_without(method, tmp_path):
    plain, log = trained(recipe_of(tmp_path / "plain", method, probe=0))
    probed, more = trained(recipe_of(tmp_path / "probed", method, **EACH))
    assert same(plain, probed)
    looks = [each for each in more if "probe/greedy" in each]
    assert [each["step"] for each in looks] == [0, 2, 4]
    assert [each for each in more if "probe/greedy" not in each] == log
    assert "probe/gain" not in looks[0]
    assert looks[2]["probe/learnt"] - looks[2]["probe/corrupted"] == pytest.approx(looks[2]["probe/gain"])


def test_a_run_that_goes_on_knows_its_start(tmp_path):
    saves = EACH | {"save_strategy": "steps", "save_steps": 1, "save_total_limit": 9}
    recipe = recipe_of(tmp_path, **saves)
    weights, log = trained(recipe)
    again, more = trained(recipe, resume=str(tmp_path / "run" / "checkpoint-3"))
    assert same(weights, again)
    assert [each for each in more if each["step"] > 3] == [each for each in log if each["step"] > 3]
    (look,) = [each for each in more if each["step"] > 3 and "probe/greedy" in each]
    assert {"probe/flip_rate", "probe/gain"} <= {*look}


def probe_findings(recipe):
    data = METHODS[recipe.method].part("load")(recipe)
    return {each.text: each.level for each in check_labels(recipe, data, []) if each.check == "probe"}


@pytest.mark.parametrize(
    ("probe", "dataset", "level", "words"),
    [
        (
            0,
            {},
            "warning",
            "Nothing tells whether this run helps. Name 50 to 200 labelled rows as `dataset.probe_path`",
        ),
        (0, {"labels": "given"}, None, None),
        (49, {}, "error", "has 49 rows, which tell the share that is right to about 0.14 either way, and 100 to 0.10"),
        (50, {}, None, None),
        (200, {}, None, None),
        (201, {}, "warning", "has 201 rows, each asked 5 times at every look"),
    ],
)
@pytest.mark.parametrize("method", ["acre", "grpo"])
def test_a_probe_has_as_many_rows_as_tell_something(method, probe, dataset, level, words, tmp_path):
    found = probe_findings(recipe_of(tmp_path, method, probe, dataset, **EACH if probe else {}))
    assert [*found.values()] == ([level] if level else [])
    assert words is None or words in next(iter(found))


@pytest.mark.parametrize("method", ["acre", "grpo"])
def test_a_question_of_the_probe_is_not_trained_on_in_whatever_order_its_options_stand(method, tmp_path):
    recipe = recipe_of(tmp_path, method, **EACH)
    rows = lines("train")[:64]
    rows[5] = lines("eval")[7] | {"options": lines("eval")[7]["options"][::-1], "id": "elsewhere", "answer": "A"}
    rows[6] = lines("eval")[8] | {"question": "  " + lines("eval")[8]["question"]}
    write(tmp_path / "train.jsonl", rows)
    (text,) = probe_findings(recipe)
    assert f"2 questions of {tmp_path}/probe.jsonl are trained on, the first `lab-eval-0007`" in text
    write(tmp_path / "train.jsonl", rows[:5] + rows[7:])
    assert not probe_findings(recipe)


def test_options_of_a_probe_are_shuffled_once_and_rows_for_training_stay(tmp_path):
    recipe = recipe_of(tmp_path, **EACH)
    one, other = (METHODS["acre"].part("load")(recipe) for _ in range(2))
    assert [*one.probe_rows] == [*other.probe_rows]
    given = [row["options"] for row in lines("eval")[:50]]
    assert sum(row["options"] != options for row, options in zip(one.probe_rows, given, strict=True)) > 30
    golds = ["ABCD".index(row["answer"]) for row in lines("eval")[:50]]
    right = [options[gold] for options, gold in zip(given, golds, strict=True)]
    assert [row["options"][row["answer"]] for row in one.probe_rows] == right
    assert [row["options"] for row in one.rows] == [row["options"] for row in lines("train")[:64]]
    assert {*one.fingerprints} == {"train.jsonl", "probe.jsonl"}


def test_a_probe_without_right_answers_is_refused(tmp_path):
    content = {"prompt_template": None, "path": write(tmp_path / "texts.jsonl", [{"prompt": "2 + 2?"}] * 8)}
    rows = [{"prompt": f"{i} + 2?"} | ({"answer": str(i + 2)} if i else {}) for i in range(50)]
    content |= {"probe_path": write(tmp_path / "sums.jsonl", rows)}
    found = probe_findings(recipe_of(tmp_path, "grpo", 0, content, reward_funcs=["vote_agreement"], **EACH))
    assert any("1 rows of" in text and "have no right answer in `answer`" in text for text in found)
    assert any("1 questions of" in text and "are trained on" in text for text in found)


SHOWN = [{"prompt": str(i), "options": ["tin", "iron", "gold", "lead"], "answer": i % 4} for i in range(60)]


def said(letters):
    """Reads N rows of letters as what completions say."""
    texts = [[f"<think>x</think><answer>{each}</answer>" for each in group] for group in letters]
    return read_answers(SHOWN, texts, DEFAULT_FORMAT)


RIGHT = ["ABCD"[i % 4] for i in range(60)]
FEWER = [letter if i >= 12 else "ABCD"[(i + 1) % 4] for i, letter in enumerate(RIGHT)]


def looked(kept, greedy, sampled, agreement=0.95):
    kept |= {"votes": said(sampled).votes} if "greedy" in kept else {}
    return look(SHOWN, said([[each] for each in greedy]), said(sampled), np.full(60, agreement), kept)


def test_numbers_of_a_probe_by_hand():
    kept = {}
    first = looked(kept, RIGHT, [[each, each, "A", ""] for each in RIGHT])
    assert first["probe/greedy"] == 1
    assert first["probe/sampled"] == pytest.approx((2 * 45 + 3 * 15) / 60 / 4)
    assert first["probe/vote"] == 1
    assert first["probe/answer_share_A"] == pytest.approx((3 * 15 + 45) / (3 * 60))
    assert not {"probe/gain", "probe/flip_rate", "probe/least_fall"} & {*first}
    second = looked(kept, FEWER, [[each] * 4 for each in FEWER])
    assert second["probe/corrupted"] == 0.2
    assert second["probe/learnt"] == 0
    assert second["probe/gain"] == -0.2
    assert second["probe/mcnemar_p"] < 0.001
    assert 0.05 < second["probe/least_fall"] < 0.2
    assert second["probe/flip_rate"] == 0.0  # against the last look
    assert second["probe/least_agreement_alone"] > 0.8
    assert second["probe/least_parting"] > 0  # sampled answers rose, greedy ones fell
    assert looked(kept, RIGHT, [[each] * 4 for each in FEWER])["probe/least_parting"] == 0


def test_votes_that_tie_and_letters_beyond_an_even_share():
    assert said([["A", "A", "B", "C"], ["A", "B", "A", "B"], ["", "", "", ""]] * 20).votes[:3] == ["tin", None, None]
    even, all_a = (
        letter_excess(SHOWN, letter_counts(SHOWN, said(x).texts)) for x in ([["A", "B", "C", "D"]] * 60, [["A"]] * 60)
    )
    assert even.value == pytest.approx(0)
    assert even.low < 0
    assert all_a.value == pytest.approx(1)
    assert all_a.low > 0.7


def test_right_options_are_read_as_rewards_read_them():
    rows = [{"options": ["tin", "iron"], "answer": gold} for gold in (1, "B", None)] + [{"options": ["tin", "iron"]}]
    found = read_answers(rows, [["<think>So tin.</think><answer>B</answer>"]] * 4, DEFAULT_FORMAT)
    assert np.array_equal(found.right[:, 0], [1, 1, np.nan, np.nan], equal_nan=True)
    assert [*found.stated[:, 0], *found.texts[:, 0]] == ["tin"] * 4 + ["iron"] * 4


def test_no_letters_are_counted_of_texts():
    rows = [{"prompt": "2 + 2?", "answer": "4"}, {"prompt": "?", "answer": ["a", "b"]}]
    found = read_answers(
        rows, [["<answer>4.</answer>", "<answer>5</answer>"], ["<answer>B</answer>", "c"]], DEFAULT_FORMAT
    )
    assert found.right.tolist() == [[1, 0], [1, 0]]
    assert letter_counts(rows, found.texts).sum() == 0


@pytest.mark.parametrize("name", ["letters", "probe_falls", "agreement_alone", "probe_parts"])
def test_alarms_of_a_probe_speak_at_the_second_look_in_a_row(name, capsys):
    alarm = ALARMS[name]
    alarms, high = AlarmLines({name: alarm.limit}), alarm.limit + 0.05
    for step, value in enumerate([high, alarm.limit, high, high, high]):
        alarms.on_log(
            None, SimpleNamespace(global_step=step, is_world_process_zero=True), None, logs={alarm.key: value}
        )
        assert capsys.readouterr().err.count("audit, step 3: ") == (step == 3)


def test_a_run_ends_where_the_probe_falls_and_keeps_the_best(tmp_path):
    """The reward pays what is wrong; the checkpoint of the highest share of right answers is named and kept."""
    (tmp_path / "wrong.py").write_text(
        "from rewards import accuracy\n\n\ndef wrong(completions, options, answer, **kwargs):\n"
        "    return [-(each or 0.0) for each in accuracy(completions, options=options, answer=answer)]\n"
    )
    keys = {"reward_funcs": [f"{tmp_path}/wrong.py:wrong"], "stop_on": ["probe_falls"], "max_steps": 40, "beta": 0.0}
    keys |= {"metric_for_best_model": "probe/greedy", "greater_is_better": True, "load_best_model_at_end": True}
    keys |= {"save_strategy": "steps", "save_steps": 2, "learning_rate": 2e-3, "per_device_train_batch_size": 32}
    recipe = recipe_of(tmp_path, "grpo", 100, {"labels": "given"}, **EACH | keys)
    stage = Stage(recipe, None)
    with pytest.raises(
        UserError, match=r"Fewer greedy answers to the probe are right.*`stop_on` names probe_falls.*"
    ) as told:
        train_stage(stage, prepare(recipe, current_launch()), None, True)
    found = re.search(r"The best so far is (\S+checkpoint-\d+)\.", str(told.value))
    assert (Path(found[1]) / "model.safetensors").is_file()


def test_an_alarm_of_a_probe_that_is_not_there_cannot_end_a_run(tmp_path):
    with pytest.raises(RecipeError, match=r"`stop_on: \[probe_falls\]` looks at `dataset.probe_path`"):
        recipe_of(tmp_path, probe=0, stop_on=["probe_falls"])
