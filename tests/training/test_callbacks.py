import json
from types import SimpleNamespace

import numpy as np
import pytest

from align.errors import UserError
from align.training.callbacks import AlarmLines, MetricsFile, RunProgress
from align.training.reward_records import Signal


def state(step, is_main=True, kept=None, of=3):
    kept = {} if kept is None else kept
    return SimpleNamespace(global_step=step, max_steps=of, is_world_process_zero=is_main, stateful_callbacks=kept)


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_log_becomes_a_line(tmp_path):
    callback = MetricsFile(tmp_path / "metrics.jsonl")
    callback.on_log(None, state(1), None, logs={"loss": 0.5})
    callback.on_log(None, state(2), None, logs={"loss": 0.25, "reward": 1})
    assert read(callback.path) == [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.25, "reward": 1}]


def test_a_resumed_run_appends(tmp_path):
    MetricsFile(tmp_path / "metrics.jsonl").on_log(None, state(1), None, logs={"loss": 0.5})
    MetricsFile(tmp_path / "metrics.jsonl").on_log(None, state(2), None, logs={"loss": 0.4})
    assert [line["step"] for line in read(tmp_path / "metrics.jsonl")] == [1, 2]


def test_only_the_main_process_writes(tmp_path):
    MetricsFile(tmp_path / "metrics.jsonl").on_log(None, state(1, is_main=False), None, logs={"loss": 0.5})
    assert not (tmp_path / "metrics.jsonl").exists()


def test_without_a_terminal_each_log_is_a_line_with_the_numbers_that_matter(capsys):
    progress = RunProgress({"own/rate": "consistent"})
    progress.on_train_begin(None, state(0), None)
    progress.on_log(None, state(2), None, logs={"reward": 0.123456, "own/rate": 0.5, "grad_norm": 9.0})
    progress.on_log(None, state(3), None, logs={"train_runtime": 9.0})
    assert capsys.readouterr().err.strip() == "step 2/3  reward 0.123  consistent 0.5"


def after_steps(number, each):
    """Takes some of 20 steps that last so many seconds each."""
    seconds = [0.0]
    progress = RunProgress(clock=lambda: seconds[0])
    progress.on_train_begin(None, state(0, of=20), None)
    for step in range(1, number + 1):
        seconds[0] = each * step
        progress.on_step_end(None, state(step, of=20), None)
    return progress


def test_steps_have_seconds_an_end_in_sight_and_a_cost(capsys):
    progress = after_steps(10, 2.0)
    for reward in (0.5, 0.6):  # what a step costs is said once
        logs = {"reward": reward, "time/generate": 3.0, "time/update": 1.0}
        progress.on_log(None, state(10, of=20), None, logs=logs)
    first, cost, second = capsys.readouterr().err.strip().split("\n")
    assert first == "step 10/20  reward 0.5  2 s a step, about 20 s left"
    assert cost == "After 10 steps: 2 s a step, about 20 s left (generate 75%, update 25%)."
    assert second.startswith("step 10/20  reward 0.6")


def test_a_long_wait_between_logs_has_a_line_each_half_minute(capsys):
    after_steps(5, 20.0)
    assert capsys.readouterr().err.split("\n")[:2] == [
        "step 2/20  20 s a step, about 6 min left",
        "step 4/20  20 s a step, about 5 min 20 s left",
    ]


def test_a_log_with_nothing_but_a_loss_is_a_line_too(capsys):
    progress = RunProgress({"own/rate": "consistent"})
    progress.on_train_begin(None, state(0), None)
    progress.on_log(None, state(2), None, logs={"loss": 0.25, "grad_norm": 9.0})
    progress.on_log(None, state(3), None, logs={"train_loss": 0.2})
    assert capsys.readouterr().err.strip() == "step 2/3  loss 0.25"


def test_an_alarm_is_one_line_once_it_has_lasted(capsys):
    alarms = AlarmLines({"length": 0.7, "invalid_share": 0.05})
    for step, value in enumerate([0.9, 0.9, 0.9, 0.9, 0.2, 0.9, 0.8, 0.9, 0.8, 0.9], 1):
        alarms.on_log(None, state(step), None, logs={"audit/total/length": value, "rewards/own/invalid_share": 0.0})
    lines = capsys.readouterr().err.split("\n")
    assert "audit, step 10: The total reward goes up with the number of tokens" in lines[0]
    assert "0.86 [0.79, 0.93; 5 logs], above 0.7" in " ".join(lines)
    assert sum("audit, step" in line for line in lines) == 1


def test_noise_of_a_reward_is_an_alarm(capsys):
    heard = []
    alarms = AlarmLines({"noise_share": 0.2, "other/noise_share": 0.5}, tell=heard.append)
    for step in range(1, 6):
        logs = {"rewards/judge/noise_share": 0.31, "rewards/other/noise_share": 0.1, "rewards/judge/flaky_share": 1.0}
        alarms.on_log(None, state(step), None, logs=logs)
    assert "audit, step 5: Reward `judge` is not the same twice: " in (said := capsys.readouterr().err)
    assert heard == [said.rstrip("\n")]  # which a hook is told
    assert "0.31 [5 logs], above 0.2" in said
    assert len(said.splitlines()) == 1


def test_an_alarm_that_stops_ends_training_and_the_others_are_lines(capsys):
    alarms = AlarmLines({"length": 0.7, "logp_difference": 0.1}, ["logp_difference"])
    key = "sampling/sampling_logp_difference/mean"
    for step, value in enumerate([0.02, 0.15, 0.2, 0.2, 0.2], 1):  # a mean of 0.15
        alarms.on_log(None, state(step), None, logs={key: value, "audit/total/length": 0.9})
    assert "The total reward goes up" in capsys.readouterr().err
    alarms.on_log(None, state(6, is_main=False), None, logs={key: 9.0})
    with pytest.raises(
        UserError,
        match=r"step 6: vLLM and .* 0\.19 \[0\.16, 0\.22; 5 logs\] nats per token, above 0\.1\. .*before step 2",
    ):
        alarms.on_log(None, state(6), None, logs={key: 0.2})


@pytest.mark.parametrize(
    ("begun", "calm", "ending"),  # the process begins at a step, and its first logs are calm
    [
        (0, 2, "go on from a checkpoint before step 21, or start anew."),
        (0, 0, "mend the cause and start anew."),
        (40, 0, "go on from a checkpoint before step 41, or start anew."),
        (40, 1, "go on from a checkpoint before step 51, or start anew."),
    ],
)
def test_a_checkpoint_that_is_named_is_from_before_all_steps_of_the_logs_that_were_bad(begun, calm, ending):
    alarms = AlarmLines({"logp_difference": 0.1}, ["logp_difference"])
    alarms.on_train_begin(None, state(begun), None)
    key = "sampling/sampling_logp_difference/mean"
    values = [0.0] * calm + [0.3] * 4
    for place, value in enumerate(values, 1):
        alarms.on_log(None, state(begun + 10 * place), None, logs={key: value})
    last = begun + 10 * (calm + 5)
    with pytest.raises(UserError, match=f"step {last}: ") as error:
        alarms.on_log(None, state(last), None, logs={key: 0.3})
    assert str(error.value).endswith(ending)


def test_an_alarm_lasts_through_a_run_that_goes_on():
    kept, key = {}, "sampling/sampling_logp_difference/mean"
    for step in range(1, 6):  # each in a process of its own, from the checkpoint of the one before
        alarms = AlarmLines({"logp_difference": 0.1}, ["logp_difference"])
        kept = json.loads(json.dumps(kept))
        alarms.on_train_begin(None, state(step - 1, kept=kept), None)
        if step < 5:
            alarms.on_log(None, state(step, kept=kept), None, logs={key: 0.3})
    with pytest.raises(UserError, match=r"step 5: .*start anew"):
        alarms.on_log(None, state(5, kept=kept), None, logs={key: 0.3})


def goes_on(kept, step, *alarms):
    """Makes the alarms of a process that goes on from a checkpoint, and the state that they are heard with."""
    begun = state(step, kept=json.loads(json.dumps(kept)))
    lines = AlarmLines(*alarms)
    lines.on_train_begin(None, begun, None)
    return lines, begun.stateful_callbacks


def test_an_alarm_that_was_told_is_told_again_only_under_another_limit_or_where_it_ends_training(capsys):
    key, limit = "audit/total/length", {"length": 0.7}
    alarms, kept = goes_on({}, 0, limit)
    for step in range(1, 6):
        alarms.on_log(None, state(step, kept=kept), None, logs={key: 0.9})
    assert "audit, step 5" in capsys.readouterr().err
    for again, words in ((limit, ""), ({"length": 0.8}, "0.90 [5 logs], above 0.8")):
        alarms, later = goes_on(kept, 5, again)
        alarms.on_log(None, state(6, kept=later), None, logs={key: 0.9})
        said = capsys.readouterr().err
        assert words in said
        assert bool(said) == bool(words)
    alarms, later = goes_on(kept, 5, limit, ["length"])
    with pytest.raises(UserError, match=r"step 6: .*`stop_on` names length"):
        alarms.on_log(None, state(6, kept=later), None, logs={key: 0.9})


def test_the_alarm_of_a_phrase_names_it(capsys):
    key, alarms = "audit/total/phrase", AlarmLines({"phrase": 0.45})
    for step in range(1, 6):
        now = state(step)
        now.heard = {key: Signal(0.6, 56.0, "To be")}
        alarms.on_log(None, now, None, logs={key: 0.6})
    expected = 'within a prompt): 0.60 [0.48, 0.72; 280 comparisons], above 0.45. In this step: "To be".'
    assert expected in " ".join(capsys.readouterr().err.split())


def test_an_alarm_of_few_completions_waits_for_more_of_them(capsys):
    """Of four completions a step, one of which is right, five logs say nothing: it was told 0.95 above 0.55."""
    key, alarms = "audit/total/length", AlarmLines({"length": 0.4})
    for step in range(1, 41):
        now = state(step)
        now.heard = {key: Signal(0.7, 3.0)}
        alarms.on_log(None, now, None, logs={key: 0.7})
        assert ("audit, step" in capsys.readouterr().err) == (step == 15), step
    assert len(alarms.recent[key]) == 40


def test_an_alarm_is_silent_for_a_single_batch(capsys):
    alarms = AlarmLines({"repetition": 0.5})
    for step, value in enumerate([1.0, 0.1, 0.1, 0.1, 0.1, 0.1, 1.0], 1):
        alarms.on_log(None, state(step), None, logs={"audit/total/repetition": value})
    alarms.on_log(None, state(9, is_main=False), None, logs={"audit/total/repetition": 1.0})
    assert capsys.readouterr().err == ""


def courses(steps=60, turn=20, seed=0, noise=0.03):
    """A reward that rises, and a number between 0 and 1 that falls from a step on; both with noise."""
    draw, at = np.random.default_rng(seed), np.arange(steps)
    falls = 0.6 - 0.6 * np.clip((at - turn) / 20, 0, 1)
    return at / steps + noise * draw.normal(size=steps), np.clip(falls + noise * draw.normal(size=steps), 0, 1)


def heard_of(rewards, key, values, better="higher", stops=()):
    """Returns the step at which the alarms of a run end or speak, 0 if they do not."""
    alarms = AlarmLines({"audit_falls": 0.2, "cut_off_rises": 0.2}, stops)
    logs = []
    for step, (reward, value) in enumerate(zip(rewards, values, strict=True), 1):
        now = state(step)
        logs.append({"reward": float(reward), key: float(value), "step": step})
        now.log_history, now.better = logs, {key: better}
        alarms.on_log(None, now, None, logs=logs[-1])
        if alarms.told:
            return step
    return 0


AUDIT, CUT_OFF = "audit/correct/mean", "completions/clipped_ratio"


@pytest.mark.parametrize(("scale", "noise"), [(1.0, 0.03), (1000.0, 0.03), (1.0, 0.0)])
def test_an_audit_that_falls_while_the_reward_rises_is_told_soon_in_any_unit(capsys, scale, noise):
    rewards, audit = courses(noise=noise)
    assert 21 < heard_of(scale * rewards, AUDIT, scale * audit) <= 40
    assert "The total reward rises while the audit `correct` falls, by this share of what it was: " in (
        " ".join(capsys.readouterr().err.split())
    )


def test_an_audit_that_rose_first_is_told_too_and_a_checkpoint_from_before(capsys):
    at, draw = np.arange(200), np.random.default_rng(0)
    hump = 0.2 + np.where(at < 80, at, np.maximum(160 - at, 0)) / 100 + 0.03 * draw.normal(size=200)
    with pytest.raises(UserError, match=r"`stop_on` names audit_falls; .*before step [5-9]\d, or"):
        heard_of(at / 200, AUDIT, hump, stops=["audit_falls"])


def test_completions_that_are_cut_off_while_the_reward_rises_are_told(capsys):
    rewards, audit = courses()
    assert 21 < heard_of(rewards, CUT_OFF, 0.6 - audit) <= 45
    assert "cut off at the token limit, by this share of them: 0." in " ".join(capsys.readouterr().err.split())
    assert heard_of(rewards, CUT_OFF, audit) == 0  # they get fewer


def test_an_audit_says_which_side_is_better():
    rewards, audit = courses()
    assert heard_of(rewards, AUDIT, audit, better="lower") == heard_of(rewards, AUDIT, audit, better="neither") == 0
    assert heard_of(rewards, AUDIT, 1 - audit, better="lower") > 21


def test_a_reward_that_does_not_rise_or_an_audit_that_is_noise_or_a_little_lower_is_silent():
    rewards, audit = courses()
    assert heard_of(np.full(60, 0.5), AUDIT, audit) == heard_of(rewards[::-1], AUDIT, audit) == 0
    assert heard_of(rewards, AUDIT, 0.9 + 0.1 * audit) == 0
    assert heard_of(rewards, AUDIT, np.zeros(60)) == 0
    heard = [
        heard_of(courses(seed=seed)[0], AUDIT, np.random.default_rng(seed).binomial(16, 0.2, 60) / 16)
        for seed in range(20)
    ]
    assert np.count_nonzero(heard) == 0
