import json

import numpy as np
import pandas as pd
import pytest
from awaited_rewards import in_turn
from datasets import Dataset
from in_time import whatever_the_speed
from some_recipes import PROMPTS, trainer_class
from tiny import tiny_model, tiny_tokenizer
from trained import weights
from trl import GRPOConfig, GRPOTrainer
from unruly_rewards import logging_reward, patient, unruly

from align import GRPOConfig as OwnConfig
from align.errors import RewardError
from align.methods.rollouts.report import right_charts
from align.report.run.folder import Series
from align.training.guarded_rewards import RewardRules
from rewards import check_reward
from rewards.error_rates import read_rates
from rewards.running.guard import GuardedReward, GuardSettings, guard_rewards
from rewards.running.scores import Composition

GUARDED = trainer_class(PROMPTS)
TOKENIZER = tiny_tokenizer()


def by_length(completions, **kwargs):
    return [float(len(text) % 3) for text in completions]


AS_TRL = {"skip_without_advantage": "off"}  # bit for bit


def long_enough(completions, **kwargs):
    return [float(len(text) % 2) for text in completions]


def train(tmp_path, rewards, *, trainer=GUARDED, texts=None, rules=None, resume_from=None, **settings):
    """Trains a tiny policy; with `texts` these are taken for what it sampled."""
    base = {
        "output_dir": str(tmp_path), "max_steps": 3, "per_device_train_batch_size": 8, "num_generations": 4,
        "max_completion_length": 6, "learning_rate": 1e-2, "logging_steps": 1, "bf16": False, "use_cpu": True,
        "report_to": "none", "save_strategy": "no", "disable_tqdm": True, "log_completions": True,
        "num_completions_to_print": 0,
    }  # fmt: skip
    built = trainer(
        tiny_model(vocabulary=len(TOKENIZER)),
        reward_funcs=rewards,
        args=GRPOConfig(**base | settings) if trainer is GRPOTrainer else OwnConfig(**base | settings | AS_TRL),
        train_dataset=Dataset.from_list([{"prompt": f"q{i}?", "gold": i} for i in range(24)]),
        processing_class=TOKENIZER,
        **({} if trainer is GRPOTrainer else {"reward_rules": rules}),
    )
    if texts:
        built._generate_single_turn = lambda prompt_ids, *args, **kwargs: (
            [[*TOKENIZER.encode(texts[i % len(texts)]), TOKENIZER.eos_token_id] for i in range(len(prompt_ids))],
            None,
        )
    built.train(resume_from_checkpoint=resume_from)
    return built


def log_of(trainer):
    return [entry for entry in trainer.state.log_history if "loss" in entry]


def table(tmp_path, step=1):
    return pd.read_parquet(tmp_path / "completions" / f"completions_{step:05d}.parquet")


def calls(tmp_path):
    return [json.loads(line) for line in (tmp_path / "rewards.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    """The log without a guard. The reward is of a file that a worker loads in no time."""
    return log_of(train(tmp_path_factory.mktemp("parent"), [unruly], trainer=GRPOTrainer))


@pytest.mark.by_day("settings1")
@pytest.mark.parametrize("settings", [GuardSettings(), GuardSettings(workers=1, timeout=60.0)])
def test_the_guard_changes_no_loss(tmp_path, parent, settings):
    ours = log_of(train(tmp_path / "ours", guard_rewards([unruly], settings)))
    assert len({entry["loss"] for entry in parent}) == 3
    for name in ("loss", "grad_norm", "reward", "rewards/unruly/std"):
        assert [entry[name] for entry in ours] == [entry[name] for entry in parent]
    assert [entry["rewards/unruly/invalid_share"] for entry in ours] == [0.0] * 3


def test_audits_are_logged_and_never_trained_on(tmp_path):
    parent = train(tmp_path / "parent", [by_length], trainer=GRPOTrainer)
    audits = guard_rewards([unruly, patient, in_turn()], GuardSettings())
    ours = train(tmp_path / "ours", guard_rewards([by_length], GuardSettings()), rules=RewardRules(audits=audits))
    assert [entry["loss"] for entry in log_of(ours)] == [entry["loss"] for entry in log_of(parent)]
    rows = table(tmp_path / "ours")
    lengths = [float(len(text)) for text in rows["completion"]]
    assert list(rows["audit/unruly"]) == list(rows["audit/patient"]) == lengths
    last = table(tmp_path / "ours", 3)
    assert list(last["audit/one_by_one"]) == [float(len(text)) for text in last["completion"]]
    assert log_of(ours)[0]["audit/unruly/mean"] == pytest.approx(np.mean(lengths))
    assert "rewards/unruly/mean" not in log_of(ours)[0]
    assert set(rows.columns) >= {"by_length", "advantage"}


def test_an_awaited_reward_may_be_tried_and_then_used_by_two_trainers(tmp_path):
    reward = in_turn()
    assert check_reward(reward, [{"prompt": "q?"}] * 2, ["a", "bc"]) == []
    for name in "ab":
        assert log_of(train(tmp_path / name, [reward], max_steps=1))[0]["reward"] > 0


def test_an_audit_does_not_make_an_unscorable_row_count(tmp_path):
    def silent(completions, **kwargs):
        return [None] * len(completions)

    parent = train(tmp_path / "parent", [silent], trainer=GRPOTrainer, max_steps=1)
    audits = guard_rewards([by_length], GuardSettings())
    ours = train(
        tmp_path / "ours", guard_rewards([silent], GuardSettings()), rules=RewardRules(audits=audits), max_steps=1
    )
    assert log_of(ours)[0]["reward"] is log_of(parent)[0]["reward"] is None
    assert log_of(ours)[0]["rewards/silent/none_share"] == 1.0


def test_gates_and_limits_keep_the_raw_value_beside_what_counts(tmp_path):
    rules = RewardRules(Composition(limits={0: (0.0, 5.0)}, gates={0: 1}))
    rewards = guard_rewards([unruly, long_enough], GuardSettings())
    log = log_of(train(tmp_path, rewards, rules=rules, texts=["aaa", "bbbbbbb", "cccc", "d"], max_steps=1))
    rows = table(tmp_path)
    assert list(rows["unruly_raw"]) == [3.0, 7.0, 4.0, 1.0] * 2
    assert list(rows["unruly"]) == [3.0, 5.0, 0.0, 1.0] * 2
    assert (log[0]["rewards/unruly/mean"], log[0]["rewards/unruly/raw_mean"]) == (2.25, 3.75)


def test_a_reward_whose_error_rates_are_known_logs_what_is_right(tmp_path):
    texts, rewards = ["aaa", "bbbbbb", "cccc", "d"], guard_rewards([long_enough, unruly], GuardSettings())
    rules = RewardRules(Composition(gates={0: 1}), error_rates={0: read_rates([0.25, 0.25])})
    trainer = train(tmp_path / "known", rewards, rules=rules, texts=texts)
    entry = log_of(trainer)[0]
    assert entry["rewards/long_enough/passed"] == 0.5
    assert entry["rewards/long_enough/right"] == 0.5  # (0.5 - 0.25) / (1 - 0.25 - 0.25)
    low, high = entry["rewards/long_enough/right_low"], entry["rewards/long_enough/right_high"]
    assert (0 <= low < 0.5 < high <= 1, "rewards/unruly/right" in entry) == (True, False)
    unknown = train(tmp_path / "unknown", rewards, rules=RewardRules(Composition(gates={0: 1})), texts=texts)
    assert (weights(unknown) == weights(trainer)).all(), "nothing is trained otherwise"
    chart, *others = right_charts(
        {key: Series(np.array([1]), np.array([each])) for key, each in entry.items() if key.startswith("rew")}
    )
    assert (chart.title, others) == ("Right answers by long_enough", [])
    assert [each.label for each in chart.legend] == ["passed", "right", "at least", "at most"]


@whatever_the_speed(2.0, 60.0)
def test_what_went_wrong_is_counted_and_shown(tmp_path_factory, seconds):
    tmp_path = tmp_path_factory.mktemp("run")
    rewards = guard_rewards([unruly], GuardSettings(workers=2, timeout=seconds))
    texts = ["aa", "sleep 999", "b", "nan", "raise x", "ccc", "exit 1", "none"]
    trainer = train(tmp_path, rewards, texts=texts, max_steps=1)
    assert log_of(trainer)[0]["rewards/unruly/invalid_share"] == 0.5
    assert log_of(trainer)[0]["rewards/unruly/none_share"] == 0.125
    first = calls(tmp_path)[0]
    assert (first["step"], first["rows"], first["none"]) == (1, 8, 1)
    assert first["invalid"] == {"timeout": 1, "not finite": 1, "error": 1, "died": 1}
    assert first["slowest"][0]["completion"] == "sleep 999"
    assert first["seconds"]["max"] >= seconds
    assert {row["failure"] for row in first["failed"]} < set(first["invalid"])
    rewards[0].close()


def test_a_line_that_a_kill_cut_short_is_not_glued_to_the_next(tmp_path):
    (tmp_path / "rewards.jsonl").write_text('{"step": 1, "mo')
    train(tmp_path, guard_rewards([by_length], GuardSettings()), max_steps=1)
    lines = (tmp_path / "rewards.jsonl").read_text().splitlines()
    assert len(lines) == 2
    assert json.loads(lines[1])["rows"] == 8


def test_training_ends_when_too_much_is_invalid(tmp_path):
    with pytest.raises(
        RewardError, match=r"`unruly`: 6 of 8 .*4 x error, 2 x not finite.*75% in the last steps"
    ) as info:
        train(tmp_path, guard_rewards([unruly], GuardSettings()), texts=["raise x", "nan", "raise y", "fine"])
    assert "invalid literal for int() with base 10: 'x' (unruly_rewards.py" in str(info.value)
    assert "completion: 'nan'" in str(info.value)
    assert calls(tmp_path)[0]["invalid"] == {"error": 4, "not finite": 2}


def test_a_run_that_goes_on_counts_the_steps_before_its_checkpoint(tmp_path):
    def flaky(completions, trainer_state, **kwargs):
        bad = 6 if trainer_state.global_step == 2 else 0
        return [float("nan")] * bad + [1.0] * (len(completions) - bad)

    settings = {"save_strategy": "steps", "save_steps": 2, "max_steps": 4, "log_completions": False}
    rewards = guard_rewards([flaky], GuardSettings())
    whole = train(tmp_path / "whole", rewards, **settings)
    start = tmp_path / "whole" / "checkpoint-2"
    assert len(log_of(train(tmp_path / "on", rewards, resume_from=str(start), **settings))) == len(log_of(whole)) == 4

    state = json.loads((start / "trainer_state.json").read_text())
    del state["stateful_callbacks"]["invalid_shares"]  # as before it was kept
    (start / "trainer_state.json").write_text(json.dumps(state))
    with pytest.raises(RewardError, match="75% in the last steps"):
        train(tmp_path / "old", rewards, resume_from=str(start), **settings)


def test_raise_ends_training_at_the_first_invalid_value(tmp_path):
    rules = RewardRules(on_invalid="raise")
    with pytest.raises(RewardError, match="1 x not finite"):
        train(
            tmp_path,
            [GuardedReward(unruly, GuardSettings(on_invalid="raise"))],
            rules=rules,
            texts=[*"abcdefg", "nan"],
        )


def test_a_column_that_is_not_logged_again_is_empty(tmp_path):
    def sometimes(completions, trainer_state, log_extra, **kwargs):
        if trainer_state.global_step == 0:
            log_extra("seen", list(completions))
        return [0.0] * len(completions)

    train(tmp_path, [sometimes], max_steps=2)
    assert list(table(tmp_path, 1)["seen"]) == list(table(tmp_path, 1)["completion"])
    assert table(tmp_path, 2)["seen"].isna().all()


def test_signals_tell_what_a_reward_goes_along_with(tmp_path):
    texts = ["a", "bb", "ccc", "dddd"]
    entry = log_of(train(tmp_path, guard_rewards([unruly, logging_reward], GuardSettings()), texts=texts))[0]
    assert entry["audit/total/length"] == entry["audit/unruly/length"] == pytest.approx(1.0)
    assert "audit/logging_reward/length" not in entry  # the same for every completion
    assert "audit/total/format" not in entry  # no completion has any
