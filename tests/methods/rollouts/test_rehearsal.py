import json
import re
import shlex
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from chat_server import ChatServer, completion, kill_once_answered
from datasets import Dataset
from tiny import tiny_model, tiny_tokenizer

import align
from align.cli.app import app
from align.errors import RewardError, UserError
from align.methods.grpo.config import GRPOConfig
from align.methods.grpo.trainer import GuardedGRPOTrainer
from align.methods.rollouts.exchanges import hidden_prompts
from align.models.policies.asking import Prompt
from align.models.policies.model_policy import ModelPolicy
from align.rehearsal.groups import contributions

REWARDS = """
import random
import time


def _text(completion):
    return completion if isinstance(completion, str) else completion[-1]["content"]


def accuracy_of_a(completions, **kwargs):
    return [float("<answer>A" in _text(each)) for each in completions]


def shape(completions, **kwargs):
    return [float(_text(each).count("B")) for each in completions]


def hangs(completions, **kwargs):
    if any("<answer>" in _text(each) for each in completions):
        time.sleep(60)
    return [0.0] * len(completions)


def fails_in_training(completions, trainer_state, **kwargs):
    return [float(len(_text(each)) / (1 - trainer_state.max_steps)) for each in completions]


def takes_all(completions, answer, **kwargs):
    return [float(str(right) != "none") for right in answer]


def points(completions, key, **kwargs):
    return [float(_text(each).endswith(f"{letter}</answer>")) for each, letter in zip(completions, key)]


def lenient(completions, key, **kwargs):
    letters = [_text(each).partition("<answer>")[2].partition("</")[0] for each in completions]
    return [float(x in ("", right) if _text(each).strip() else 0) for x, each, right in zip(letters, completions, key)]


def coin(completions, **kwargs):
    return [float(random.random() < 0.5) for _ in completions]


def cites(completions, **kwargs):
    return [float("<cite>" in _text(each)) for each in completions]


def too_long(completions, **kwargs):
    return [-float(len(_text(each)) > 900) for each in completions]


def pretty(completions, **kwargs):
    return [len(_text(each)) / 30 for each in completions]


def last_number(completions, total, **kwargs):
    return [float(_text(each).split()[-1] == str(gold)) for each, gold in zip(completions, total)]


def broken(completions, **kwargs):
    return [1 / (1 - _text(each).count("</think><answer>B")) for each in completions]
"""


@pytest.fixture
def recipe(answering_model_folder, tmp_path):
    rows = [{"id": f"p{i}", "prompt": f"q{i}?\nA. {i}\nB. 1\nC. 22\nD. 33\n", "answer": i, "key": "ABCD"[i % 4]}
            for i in range(12)]  # fmt: skip
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "mine.py").write_text(REWARDS)

    def write(**changes):
        content = {
            "method": "grpo", "model_name_or_path": str(answering_model_folder), "output_dir": str(tmp_path / "run"),
            "dataset": {"path": "./prompts.jsonl"}, "reward_funcs": ["./mine.py:accuracy_of_a"], "num_generations": 8,
            "per_device_train_batch_size": 16, "max_completion_length": 30, "max_steps": 2, "use_cpu": True,
            "bf16": False, "report_to": "none",
        }  # fmt: skip
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(content | changes))
        return tmp_path / "recipe.yaml"

    return write


@pytest.fixture
def calls(monkeypatch):
    """Counts the prompts that a model is asked."""
    counted, complete = [], ModelPolicy.complete

    def counting(self, prompts, decoding):
        counted.extend(each.id for each in prompts)
        return complete(self, prompts, decoding)

    monkeypatch.setattr(ModelPolicy, "complete", counting)
    return counted


def test_an_attack_names_the_reward_that_can_be_gamed_and_how(recipe, tmp_path):
    result = align.rehearse(recipe(), out=tmp_path / "out", num_prompts=2, attack=True)
    gamed = [each.text for each in result.findings if each.check == "attack"]
    assert gamed
    assert all(each.startswith("`accuracy_of_a`: ") for each in gamed)
    assert "attack" not in checks(align.rehearse(recipe(), out=tmp_path / "out", num_prompts=2))


def test_what_narrows_the_choice_of_tokens_is_rehearsed_as_the_recipe_has_it(recipe, tmp_path):
    result = align.rehearse(recipe(top_k=1, repetition_penalty=1.2), out=tmp_path / "out", num_prompts=4)
    assert of(result, "no_spread").value == 1  # one token to draw from: all completions are the same
    assert "sampling" not in checks(result)
    asked = result.record.found.asked
    assert (asked["top_k"], asked["min_p"], asked["repetition_penalty"]) == (1, 0, 1.2)
    assert "align filter" not in (tmp_path / "out" / "rehearsal.json").read_text()  # which has none of these options


def test_a_reward_is_what_exchanges_say_under_any_name(recipe, tmp_path):
    result = align.rehearse(recipe(reward_funcs=["./mine.py:takes_all"]), out=tmp_path / "all", num_prompts=12)
    assert [each.check for each in result.findings] == ["reward"]
    assert "`takes_all` reads `answer`, and pays another row's right answer" in result.findings[0].text
    found = align.rehearse(
        recipe(reward_funcs=["./mine.py:pretty", "./mine.py:points"], reward_weights=[3.0, 0.1]),
        out=tmp_path / "two", num_prompts=12,
    )  # fmt: skip
    assert of(found, "unmoved").value > 0.9
    other_way = align.rehearse(
        recipe(reward_funcs=["./mine.py:pretty", "./mine.py:points"], reward_weights=[0.01, 1.0]),
        out=tmp_path / "two", num_prompts=12,
    )  # fmt: skip
    assert of(other_way, "unmoved").value < 0.1
    assert "weights" not in checks(other_way)


def test_a_part_that_is_never_earned_and_pay_for_what_cannot_be_read_are_named(recipe, tmp_path):
    funcs = ["./mine.py:points", "./mine.py:cites", "./mine.py:too_long"]
    result = align.rehearse(recipe(reward_funcs=funcs), out=tmp_path / "out", num_prompts=12)
    (finding,) = [each for each in result.findings if each.check == "reward"]  # and not the penalty that nobody meets
    assert finding.text.startswith("`cites` gives all completions 0: none earns the 1 of a text such as '<cite>'")
    result = align.rehearse(recipe(reward_funcs=["./mine.py:lenient"]), out=tmp_path / "more", num_prompts=12)
    assert "`lenient` pays a text without an answer 100% of a right answer." in str(result)


def test_a_weight_below_zero_of_right_answers_is_named_and_noise_that_is_only_logged_is_not(recipe, tmp_path):
    sick = recipe(reward_funcs=["./mine.py:points"], reward_weights=[-1.0])
    assert "a weight of -1 takes that away" in str(align.rehearse(sick, out=tmp_path / "sick", num_prompts=12))
    funcs = ["./mine.py:points", "./mine.py:coin"]
    for weight, expected in ((0.0, False), (0.5, True)):
        given = recipe(reward_funcs=funcs, reward_weights=[1.0, weight])
        found = align.rehearse(given, out=tmp_path / f"{weight}", num_prompts=12)
        assert ("noise" in checks(found)) == expected


def test_prompts_that_a_chat_template_drops_are_seen():
    tokenizer, prompts = (
        tiny_tokenizer(),
        [Prompt("a", [{"role": "user", "content": "What is 3?"}]), Prompt("b", "as text")],
    )
    tokenizer.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    assert hidden_prompts(SimpleNamespace(tokenizer=tokenizer), prompts) == [False]
    tokenizer.chat_template = "{% for m in messages if m.role == 'system' %}{{ m.content }}{% endfor %}"
    assert hidden_prompts(SimpleNamespace(tokenizer=tokenizer), prompts) == [True]


def of(result, name):
    return next(each.estimate for each in result.record.found.measures if each.name == name)


def checks(result):
    return [each.check for each in result.findings]


def test_samples_are_rewarded_as_in_training_and_a_later_filter_samples_none_of_them_again(recipe, tmp_path, calls):
    result = align.rehearse(recipe(), out=tmp_path / "out", num_prompts=6)
    assert len(calls) == 6
    record = json.loads((tmp_path / "out" / "rehearsal.json").read_text())
    assert record["asked"]["num_samples"] == 8
    assert record["asked"]["max_new_tokens"] == 30
    assert 0 < of(result, "pass_rate").value < 1
    assert of(result, "cut_off").value < 0.2
    (table,) = [each for each in record["tables"] if each["title"] == "Pass rates"]
    assert sum(int(row[1]) for row in table["rows"]) == 6
    assert not (tmp_path / "run").exists()

    again = align.rehearse(recipe(), out=tmp_path / "out", num_prompts=6)
    assert len(calls) == 6  # none was asked again
    assert of(again, "pass_rate") == of(result, "pass_rate")

    line = shlex.split(re.search("`(align filter .*)`", table["note"])[1])
    assert not app(line[1:], standalone_mode=False)
    assert sorted(calls[6:]) == sorted({f"p{i}" for i in range(12)} - set(calls[:6]))
    kept = [json.loads(row) for row in (tmp_path / "out" / "kept.jsonl").read_text().splitlines()]
    assert kept
    assert all(0 < row["pass_rate"] < 1 for row in kept)


def test_what_a_batch_wrote_is_kept_when_the_next_one_is_stopped(recipe, tmp_path, calls, monkeypatch):
    complete = ModelPolicy.complete

    def stopping(self, prompts, decoding):
        if len(calls) >= 4:
            raise KeyboardInterrupt
        return complete(self, prompts, decoding)

    with monkeypatch.context() as patched:
        patched.setattr(ModelPolicy, "complete", stopping)
        with pytest.raises(KeyboardInterrupt):
            align.rehearse(recipe(), out=tmp_path / "out", num_prompts=6, batch_size=16)
    assert len(calls) == 4  # two batches of two prompts
    align.rehearse(recipe(), out=tmp_path / "out", num_prompts=6, batch_size=16)
    assert sorted(calls) == sorted(set(calls))
    assert len(calls) == 6


def test_the_page_and_the_console_open_with_the_verdict_and_the_code_is_as_asked_for(recipe, tmp_path, capsys):
    path, words = recipe(reward_funcs=["./mine.py:shape"]), ["--out", str(tmp_path / "out"), "--num_prompts", "3"]
    result = align.rehearse(path, out=tmp_path / "out", num_prompts=3)
    code = app(["rehearse", str(path), *words, "--fail_on", "warning"], standalone_mode=False) or 0
    assert code == int(bool(result.findings))
    code = app(["rehearse", str(path), *words], standalone_mode=False) or 0
    assert code == int(not result.is_ready)
    shown = capsys.readouterr().out
    assert shown.startswith(result.record.verdict)
    page = result.page.read_text()
    assert result.record.verdict in page
    assert "<svg" in page
    assert all(each.text.partition("`")[0] in page for each in result.findings)
    for wrong in (["--fail_on", "never"], ["--num_prompts", "0"]):
        assert app(["rehearse", str(path), *words, *wrong], standalone_mode=False) == 1


def test_known_error_rates_say_what_they_do_to_groups(recipe, tmp_path):
    rewards = {"reward_funcs": ["./mine.py:points", "./mine.py:pretty"], "reward_weights": [1.2, 0.1]}
    found = align.rehearse(recipe(**rewards, error_rates={"points": [0.1, 0.3]}), out=tmp_path / "out", num_prompts=4)
    assert 0 <= of(found, "lost_by_errors").value < of(found, "made_by_errors").value <= 1
    (told,) = [each.text for each in found.record.found.findings if each.check == "errors"]
    assert told.startswith("`points` pays 10% of wrong answers and refuses 30% of right ones: of groups of 8 about")
    assert told.endswith("`reward_weights` of 2 for it restores that.")
    unknown = align.rehearse(
        recipe(**rewards, error_rates={"pretty": [0.1, 0.3]}), out=tmp_path / "out", num_prompts=4
    )
    assert "errors" not in {each.check for each in unknown.record.found.findings}


def test_gates_take_phantom_gradients_away(recipe, tmp_path):
    (tmp_path / "more.py").write_text("def accuracy(completions, **kwargs):\n    return [0.0] * len(completions)\n")
    funcs = ["./more.py:accuracy", "./mine.py:shape"]
    result = align.rehearse(recipe(reward_funcs=funcs), out=tmp_path / "out", num_prompts=4)
    assert of(result, "phantom").value == 1
    (finding,) = [each for each in result.findings if each.check == "phantom"]
    assert finding.level == "error"
    words = shlex.split(finding.fix)
    gated = align.rehearse(recipe(reward_funcs=funcs), out=tmp_path / "out", num_prompts=4,
                           **{words[0].removeprefix("--"): yaml.safe_load(words[1])})  # fmt: skip
    assert "phantom" not in checks(gated)
    assert of(gated, "teaching").value == 0


def test_answers_in_free_text_show_keys_that_are_off_or_missing(recipe, tmp_path):
    rows = []
    for i in range(32):  # half of the keys are right, a quarter is off by one, a quarter is missing
        right = 40 + i // 2
        total = {1: right + 1, 3: None}.get(i % 4, right)
        rows.append({"prompt": f"What is {i} + {right - i}?", "total": total})
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def reply(body, before):
        right = sum(map(int, re.findall(r"\d+", body["messages"][-1]["content"])))
        return f"I think that it is {right + [0, 0, 0, 0, 0, 2, -2, -3][body['seed'] % 8]}"

    with ChatServer(reply) as server:
        where = {"out": tmp_path / "out", "endpoint": server.url, "served_model": "tiny", "num_prompts": 32}
        given = {"dataset": {"path": "./sums.jsonl"}, "reward_funcs": ["./mine.py:last_number"]}
        result = align.rehearse(recipe(**given), **where)
    missing, shifted = sorted((each.text for each in result.findings if each.check == "answer key"), reverse=True)
    assert missing.startswith("`last_number` pays all completions alike on 25% of the prompts")
    assert "prompts the row's answer is the commonest one +1" in shifted


def answered(body, before):
    """Answers by the seed, so that half are right."""
    return f"<think>x</think><answer>{'AB'[body['seed'] % 2]}</answer>"


def test_an_endpoint_that_dies_and_a_rehearsal_that_is_killed_go_on(recipe, tmp_path):
    seen, dead = [], []

    def reply(body, before):
        seen.append(body)
        return 400 if dead and len(seen) > 40 else answered(body, before)

    with ChatServer(reply) as server:
        how = {"endpoint": server.url, "served_model": "tiny", "concurrency": 4, "max_retries": 0}
        dead.append(True)
        with pytest.raises(UserError, match=r"left a request without an answer.*Give the same command again"):
            align.rehearse(recipe(), out=tmp_path / "out", num_prompts=6, **how)
        dead.clear()
        before = len(seen)
        result = align.rehearse(recipe(), out=tmp_path / "out", num_prompts=6, **how)
        assert 48 - 40 <= len(seen) - before < 48
        assert {(body["temperature"], body["top_p"], body["max_tokens"]) for body in seen} == {(1.0, 1.0, 30)}
        assert 0.2 < of(result, "pass_rate").value < 0.8
        assert result.record.found.asked["by"] == f"tiny ({server.url})"


@pytest.mark.slow
def test_a_killed_rehearsal_asks_no_answered_prompt_again(recipe, tmp_path):
    path = recipe()
    with ChatServer(lambda body, before: answered(body, before)) as server:
        limit = {"left": 20}

        def reply(body, before):
            with server.lock:
                limit["left"] -= 1
                hangs = limit["left"] < 0
            if hangs:
                server.release.wait(60)
            return answered(body, before)

        server.reply = reply
        words = ["rehearse", path, "--out", tmp_path / "out", "--endpoint", server.url, "--served_model", "tiny"]
        words += ["--concurrency", "4", "--num_prompts", "6"]
        kill_once_answered(server, words, answered=2, concurrency=4)
        server.release.set()
        asked = sum(server.asked.values())
        limit["left"] = 10**6
        assert not app([str(word) for word in words], standalone_mode=False)
        assert sum(server.asked.values()) - asked <= 48 - 16
        assert (tmp_path / "out" / "rehearsal.json").is_file()


def test_cut_off_completions_of_an_endpoint_count(recipe, tmp_path):
    with ChatServer(lambda body, before: completion("<think>x x x", "length")) as server:
        result = align.rehearse(
            recipe(), out=tmp_path / "out", num_prompts=3, endpoint=server.url, served_model="tiny"
        )
    assert of(result, "cut_off").value == 1
    assert {"length", "spread"} <= set(checks(result))
    assert not result.is_ready


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"model_name_or_path": "./nowhere"}, {}, r"nowhere"),
        ({"reward_funcs": ["./mine.py:absent"]}, {}, r"absent"),
        ({"reward_funcs": ["./mine.py:hangs"], "reward_workers": 1, "reward_timeout": 0.2}, {}, r"timeout"),
        ({"dataset": {"path": "./gone.jsonl"}}, {}, r"gone.jsonl"),
        ({}, {"task_reward": "nobody"}, r"`task_reward` must be one of accuracy_of_a, got 'nobody'"),
        ({}, {"num_samples": 4}, r"`num_samples` must lie between 8 and 64"),
        ({}, {"endpoint": "nowhere"}, r"`endpoint` must be a URL"),
        ({"method": "sft", "reward_funcs": None, "num_generations": None}, {}, r"nothing to rehearse|num_generations"),
    ],
)  # fmt: skip
def test_what_cannot_be_rehearsed_is_a_sentence(recipe, tmp_path, changes, options, message):
    with pytest.raises(UserError, match=message):
        align.rehearse(recipe(**changes), out=tmp_path / "out", num_prompts=2, **options)
    assert not (tmp_path / "run").exists()


def test_a_reward_that_fails_on_some_is_named_and_one_that_fails_too_often_ends_it(recipe, tmp_path):
    broken = recipe(reward_funcs=["./mine.py:accuracy_of_a", "./mine.py:broken"])
    with pytest.raises(RewardError, match="no answer is asked for twice"):
        align.rehearse(broken, out=tmp_path / "out", num_prompts=4, max_invalid_share=0.0)
    result = align.rehearse(broken, out=tmp_path / "out", num_prompts=4)
    (finding,) = [each for each in result.findings if each.check == "rewards"]
    assert finding.text.startswith("`broken` fails on ")


@pytest.mark.slow
def test_one_step_is_taken_on_a_copy_and_one_that_fails_is_a_finding(recipe, tmp_path, answering_model_folder):
    before = {path.name: path.read_bytes() for path in answering_model_folder.iterdir()}
    result = align.rehearse(recipe(), out=tmp_path / "out", num_prompts=2, one_step=True)
    assert of(result, "seconds_of_one_whole_step").value > 0
    assert 0.1 < of(result, "GiB_of_memory_at_its_peak").value < 64
    assert {path.name: path.read_bytes() for path in answering_model_folder.iterdir()} == before
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} - {"__pycache__"} == {"out"}
    fails = recipe(reward_funcs=["./mine.py:fails_in_training"], on_invalid="raise")
    result = align.rehearse(fails, out=tmp_path / "out", num_prompts=2, one_step=True)
    (finding,) = [each for each in result.findings if each.check == "one step"]
    assert finding.level == "error"
    assert "would end there, too" in finding.text


TOKENIZER = tiny_tokenizer()


def graded(completions, **kwargs):
    return [float(len(set(each)) % 3) for each in completions]


def sometimes(completions, **kwargs):
    return [None if len(set(each)) % 2 else float(each.count("1")) for each in completions]


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
@pytest.mark.parametrize("aggregation", ["sum_then_normalize", "normalize_then_sum"])
def test_contributions_add_up_to_the_advantages_of_trl(tmp_path, scale, aggregation):
    config = GRPOConfig(
        output_dir=str(tmp_path), bf16=False, use_cpu=True, report_to="none", per_device_train_batch_size=16,
        num_generations=4, max_completion_length=6, scale_rewards=scale, multi_objective_aggregation=aggregation,
        reward_weights=[1.0, 0.5],
    )  # fmt: skip
    trainer = GuardedGRPOTrainer(
        tiny_model(vocabulary=len(TOKENIZER)), reward_funcs=[graded, sometimes], args=config,
        train_dataset=Dataset.from_list([{"prompt": f"q{i}?"} for i in range(4)]), processing_class=TOKENIZER,
    )  # fmt: skip
    torch.manual_seed(0)
    trainer.model.train()
    trainer._generate_and_score_completions([{"prompt": f"q{i}?"} for i in range(4) for _ in range(4)])
    rewards = [np.array(list(trainer._logs["rewards"][name]), dtype=float) for name in ("graded", "sometimes")]
    values = np.stack(rewards, axis=1).reshape(4, 4, 2)
    assert np.isnan(values).any()
    assert np.ptp(np.nan_to_num(values)) > 0
    parts = contributions(values, np.array([1.0, 0.5]), scale, aggregation)
    expected = np.array(list(trainer._logs["advantages"])).reshape(4, 4)
    np.testing.assert_allclose(parts.sum(axis=2), expected, atol=1e-5)
