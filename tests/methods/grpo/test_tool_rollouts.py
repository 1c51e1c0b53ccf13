import json
import pickle

import pandas as pd
import pytest
import torch
from calling import TOOLS, Scripted, call, length, trainer_of
from chat_server import ChatServer
from trained import weights
from trl import GRPOTrainer

from align import Judge
from align.errors import RewardError
from align.tools.calls import with_arguments_as_text
from align.tools.guarded import Limits, ToolError, guard_environment, guard_tools
from align.tools.named import Spec, find_tool
from align.training.guarded_rewards import RewardRules
from rewards.running.guard import GuardSettings, guard_rewards

SECONDS = 0.5


@pytest.fixture
def named(tmp_path):
    (tmp_path / "own.py").write_text(TOOLS)
    return lambda name: Spec(f"own.py:{name}", tmp_path)


def table_of(folder, step=1):
    table = pd.read_parquet(folder / f"run/completions/completions_{step:05}.parquet")
    table["calls"] = table["tool_calls"].map(json.loads)
    return table[::2].reset_index(drop=True), table  # both completions of a prompt make the same calls


def test_calls_that_fail_cost_their_row_at_most_and_are_said_to_the_model(tmp_path, named):
    scripts = [
        [call("price", item="pear"), "it is 3"],
        [call("price", item="kiwi"), call("price", item="plum"), "it is 4"],
        [call("price", item="hang"), call("price", item="pear"), "gave up"],
        [call("price", item="die"), "gave up"],
        [call("cost", item="pear"), "no such tool"],
        [call("draw", most=6), "any"],
        [call("half \ud800", item="pear")],
    ]
    tools = guard_tools([named("price"), named("draw")], Limits(SECONDS))
    rules = RewardRules(max_invalid_share=0.9)
    trainer = trainer_of(tmp_path, scripts, rules=rules, tools={"tools": tools})
    trainer.train()
    rows, table = table_of(tmp_path)
    failures = [[each["failure"] for each in calls] for calls in rows["calls"]]
    assert failures == [[None], ["error", None], ["timeout", "skipped"], ["died"], ["unknown"], [None], []]
    assert rows["length"].isna().tolist() == [False, False, True, True, False, False, False]
    assert rows["advantage"].tolist()[2:4] == [0.0, 0.0]
    told = [[m["content"] for m in messages if m["role"] == "tool"] for messages in rows["completion"]]
    assert told[0] == ["3"]
    assert "KeyError: 'kiwi'" in told[1][0]
    assert told[1][1] == "4"
    assert "no result after 0.5 s" in told[2][0]
    assert "there is no tool 'cost'; there are price, draw" in told[4][0]
    assert all(1 <= number <= 6 for number in json.loads(told[5][0]))
    logged = trainer.state.log_history[0]
    assert logged["tools/lost_share"] == pytest.approx(4 / 14)
    assert logged["tools/turns"] == pytest.approx((2 + 3 + 3 + 2 + 2 + 2 + 1) / 7)
    assert logged["tools/price/calls"] == pytest.approx(12 / 14)
    assert logged["tools/price/failure_share"] == pytest.approx(4 / 6)
    assert logged["tools/unknown/calls"] == pytest.approx(2 / 14)
    assert logged["tools/seconds"] > 2 * SECONDS
    assert len(table) == 14


@pytest.mark.slow
def test_an_environment_keeps_its_state_over_turns_and_begins_anew_in_every_rollout(tmp_path, named):
    twice = [call("add", number=2), call("add", number=3), "done"]
    scripts = [twice, ["nothing"], [call("add", number=13), "x"], ["y"]]
    rows = [{"start": "10"}, {"start": "20"}, {"start": "0"}, {"start": "broken"}]
    (tmp_path / "own.py").write_text(TOOLS.replace("self.total = start", "self.total = int(start)"))
    factory = guard_environment(named("Counter"), Limits(5.0))
    rules = RewardRules(max_invalid_share=0.9)
    trainer = trainer_of(
        tmp_path, scripts, rows=rows, rewards=[], rules=rules, tools={"environment_factory": factory}, max_steps=2
    )
    trainer.train()
    assert [entry["rewards/Counter/mean"] for entry in trainer.state.log_history[:2]] == [17.5, 17.5]
    found = pd.read_parquet(tmp_path / "run/completions/completions_00002.parquet")
    by_prompt = {row["prompt"][0]["content"].rpartition(" [")[2]: row for _, row in found.iterrows()}
    assert by_prompt["10]"]["Counter"] == 15.0
    assert [each["result"] for each in json.loads(by_prompt["10]"]["tool_calls"])] == ["12", "15"]
    assert by_prompt["20]"]["Counter"] == 20.0
    assert pd.isna(by_prompt["0]"]["Counter"])  # its process ended
    assert trainer.state.log_history[0]["tools/lost_share"] == 0.5  # with the one that could not be reset


@pytest.mark.slow
def test_an_environment_that_ran_out_of_memory_is_lost_and_is_not_begun_anew_unasked(tmp_path, named):
    cup, pen = call("take", item="cup"), call("take", item="pen")
    scripts = [[cup, pen, "two"], [cup, call("fill", gigabytes=9), pen, "one that is left"]]
    factory = guard_environment(named("Store"), Limits(5.0, memory_gb=2.0))
    rules = RewardRules(max_invalid_share=0.9)
    tools = {"environment_factory": factory}
    trainer = trainer_of(tmp_path, scripts, rewards=[], rules=rules, tools=tools, max_steps=2)
    trainer.train()
    rows, _ = table_of(tmp_path, 2)
    assert rows["Store"].fillna(-1.0).tolist() == [2.0, -1.0]
    assert [[each["failure"] for each in calls] for calls in rows["calls"]] == [[None] * 2, [None, "error", "skipped"]]
    assert "MemoryError" in rows["calls"][1][1]["result"]
    assert "because of an earlier call (fill: MemoryError" in rows["calls"][1][2]["result"]
    assert [entry["tools/lost_share"] for entry in trainer.state.log_history[:2]] == [0.5, 0.5]


def test_too_many_lost_rows_end_the_run_with_the_reason(tmp_path, named):
    tools = guard_tools([named("price")], Limits(SECONDS))
    trainer = trainer_of(tmp_path, [[call("price", item="die"), "x"]], tools={"tools": tools})
    with pytest.raises(RewardError, match=r"2 of 2 completions .* 100% in the last steps.*price: its process ended"):
        trainer.train()


def test_a_run_that_goes_on_counts_the_rows_that_were_lost_before_its_checkpoint(tmp_path, named):
    tools = {"tools": guard_tools([named("price")], Limits(SECONDS))}
    scripts = [["four"], ["five"], [call("price", item="die"), "x"]]
    settings = {
        "tools": tools, "max_steps": 3, "save_strategy": "steps", "save_steps": 2, "log_completions": False,
        "per_device_train_batch_size": 2,
    }  # fmt: skip
    trainer_of(tmp_path / "a", scripts, **settings).train()  # a third of all rows is lost, both of the last step
    trainer = trainer_of(tmp_path / "b", scripts, **settings)
    trainer.train(resume_from_checkpoint=str(tmp_path / "a/run/checkpoint-2"))
    assert trainer.state.global_step == 3


def test_a_judge_is_not_asked_about_rows_that_are_lost_already(tmp_path, named):
    scripts = [[call("price", item="die"), "x"], [call("price", item="pear"), "it is 3"]]
    with ChatServer(lambda body, times: '{"score": 5}') as server:
        judge = Judge("Short is good.", model="tiny", endpoint=server.url)
        rewards, audits = guard_rewards([judge], GuardSettings()), guard_rewards([length], GuardSettings())
        rules = RewardRules(audits=audits, max_invalid_share=0.9, repeats=1.0)
        tools = {"tools": guard_tools([named("price")], Limits(SECONDS))}
        trainer = trainer_of(tmp_path, scripts, rewards=rewards, rules=rules, tools=tools)
        trainer.train()
        asked = [body["messages"][0]["content"] for body in server.bodies]
    assert len(asked) == 2 * 2, "both completions of the second prompt, and both again"
    assert all("it is 3" in text for text in asked)
    rows, _ = table_of(tmp_path)
    assert rows["judge"].fillna(-1.0).tolist() == [-1.0, 0.5]
    assert rows["audit/length"].fillna(-1.0).tolist() == [-1.0, 7.0]
    logged = trainer.state.log_history[0]
    assert logged["rewards/judge/invalid_share"] == logged["rewards/judge/none_share"] == 0.0
    assert json.loads((tmp_path / "run/rewards.jsonl").read_text().splitlines()[0])["rows"] == 2


def test_calls_that_work_change_nothing_of_what_trl_learns(tmp_path, named):
    class Plain(GRPOTrainer):
        _generate_single_turn, _turn = Scripted._generate_single_turn, Scripted._turn

        def __init__(self, *args, reward_rules=None, **kwargs):
            super().__init__(*args, **kwargs)

    scripts = [[call("price", item="pear"), "it is 3"], ["four"]]
    given = {"rewards": [lambda completions, **kw: [float(i % 3) for i in range(len(completions))]], "max_steps": 2}
    given["skip_without_advantage"] = "off"
    ours = trainer_of(tmp_path / "a", scripts, tools={"tools": guard_tools([named("price")], Limits())}, **given)
    start = weights(ours)
    ours.train()
    given["log_completions"] = False
    theirs = trainer_of(tmp_path / "b", scripts, kind=Plain, tools={"tools": [find_tool(named("price"))]}, **given)
    theirs.train()
    assert torch.equal(weights(ours), weights(theirs))
    assert not torch.equal(weights(ours), start)


def test_arguments_that_are_a_text_already_are_logged_as_they_stand():
    def logged(arguments):
        calls = [{"type": "function", "function": {"name": "price", "arguments": arguments}}]
        ((message,),) = [with_arguments_as_text([{"role": "assistant", "tool_calls": calls}])]
        return message["tool_calls"][0]["function"]["arguments"]

    assert logged('{"item": "pear"}') == logged({"item": "pear"}) == '{"item": "pear"}'


@pytest.mark.slow
def test_batches_of_one_step_draw_other_numbers_and_a_run_that_goes_on_the_same(tmp_path, named):
    def drawn(folder, start=None):
        seen = []

        def noted(completions, **columns):
            seen.append([messages[1]["content"] for messages in completions])
            return [1.0] * len(completions)

        tools = {"tools": guard_tools([named("draw")], Limits(5.0))}
        trainer = trainer_of(
            tmp_path / folder, [[call("draw", most=10**6), "done"]] * 2, rewards=[noted], tools=tools, max_steps=2,
            per_device_train_batch_size=2, gradient_accumulation_steps=2, steps_per_generation=1,
            save_strategy="steps", save_steps=1, log_completions=False,
        )  # fmt: skip
        trainer.train(resume_from_checkpoint=start)
        trainer.evaluate(trainer.train_dataset)
        trainer.evaluate(trainer.train_dataset)
        return seen

    whole = drawn("a")
    assert len(whole) == 2 * 2 + 2
    rows = [row for batch in whole for row in batch]
    assert len(set(rows)) == len(rows), "no two rows draw the same"
    assert drawn("b", str(tmp_path / "a/run/checkpoint-1")) == whole[2:]


def test_what_an_environment_begins_with_can_be_tokenized(tmp_path, named):
    (tmp_path / "own.py").write_text(TOOLS.replace("self.taken = []", "return 'begin \\ud83d'"))
    assert guard_environment(named("Shelf"), Limits(5.0))().reset() == "begin ?"


def test_an_instance_is_read_by_name_and_copied_to_other_processes(tmp_path, named):
    (tmp_path / "own.py").write_text(TOOLS.replace("self.taken = []", "self.taken = self._in_order = []"))
    shelf = guard_environment(named("Shelf"), Limits(5.0))()
    shelf.reset()
    assert [shelf.take(item="cup"), shelf.take(item="pen")] == ["cup", "cup pen"]
    assert shelf.taken == shelf._in_order == ["cup", "pen"]  # as TRL's instances are read
    assert pickle.loads(pickle.dumps(shelf)).taken == ["cup", "pen"]
    with pytest.raises(AttributeError, match="weight"):
        _ = shelf.weight


OF_REWARDS = '''
    def _count(self, kind, *, twice=False):
        self.asked = self._number = self._lost = kind
        self.file = open(__file__)
        return {kind: self.taken.count(kind) * (2 if twice else 1)}

    def has(self, item: str) -> bool:
        """Says whether something was taken.

        Args:
            item: What.
        """
        return item in self.taken
'''


def test_rewards_call_methods_that_are_no_tools_where_the_instance_is(tmp_path, named):
    (tmp_path / "own.py").write_text(TOOLS.replace("class Shelf:", f"class Shelf:{OF_REWARDS}"))
    shelf = guard_environment(named("Shelf"), Limits(5.0))()
    shelf.reset()
    shelf.take(item="cup")
    assert shelf._count("cup", twice=True) == {"cup": 2}
    assert shelf.asked == shelf._number == shelf._lost == "cup"  # and not what the guard keeps
    with pytest.raises(AttributeError, match=r"`file` is a TextIOWrapper.* such as `_read_file`, return what is read"):
        _ = shelf.file
    assert not shelf._guard_lost
    shelf._guard_pays = True
    assert shelf.has("cup") is True
    assert shelf.has(item="pen") is False
    shelf.reset()
    assert shelf.has(item="cup") == "False"  # as the model is shown it
    assert shelf.has("cup") is False  # a model names what it gives


def test_one_seed_gives_the_same_draws_in_any_process(named):
    def drawn(seed):
        (draw,) = guard_tools([named("draw")], Limits(5.0))
        draw.process.seed = seed
        return draw(most=1000)

    assert drawn("1/0") == drawn("1/0") != drawn("1/1")


def test_a_tool_that_hangs_is_stopped_and_the_next_call_works(named):
    (price,) = guard_tools([named("price")], Limits(SECONDS))
    with pytest.raises(ToolError) as caught:
        price(item="hang")
    assert caught.value.failure == "timeout"
    assert price(item="pear") == "3"
