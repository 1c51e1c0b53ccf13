import json

import pytest
import torch
from calling import TOOLS, call, trainer_of
from scripted_tool_acre import NEUTRAL, ScriptedTurns, Spelled, acre_of, answering, table_of
from trained import weights
from trl import GRPOTrainer

from align.methods.acre.config import ACREConfig
from align.methods.acre.tool_trainer import ToolACRETrainer
from align.methods.grpo.config import GRPOConfig
from align.methods.grpo.trainer import GuardedGRPOTrainer
from align.tools.guarded import Limits, guard_environment, guard_tools
from align.tools.named import Spec, find_tool
from align.training.guarded_rewards import RewardRules
from rewards import AnswerConsistency, number_accuracy

PEAR = [call("price", item="pear"), "<answer>three</answer>"]
PLUM = [call("price", item="plum"), "<answer>three</answer>"]  # of what costs 4


@pytest.fixture
def named(tmp_path):
    (tmp_path / "own.py").write_text(TOOLS)
    return lambda name: Spec(f"own.py:{name}", tmp_path)


@pytest.fixture
def tools(named):
    return guard_tools([named("price"), named("draw")], Limits(0.5))


def logged(trainer):
    trainer.train()
    return trainer.state.log_history[0]


def test_an_answer_that_follows_a_changed_price_is_paid_in_full_and_one_that_does_not_as_first_only(tmp_path, tools):
    log = logged(acre_of(tmp_path / "reads", [PEAR], tools))
    assert (log["acre/tool_reliance"], log["acre/invented"], log["acre/outcome_both"]) == (1.0, 0.0, 1.0)
    assert log["rewards/answer_consistency/mean"] == 1.0
    (row,) = table_of(tmp_path / "reads").to_dict("records")
    assert row["changed_result"] == f"price, turn 1: 3 -> {row['second_gold']}"
    assert (row["family"], row["outcome"], row["second_texts"]) == ("other_value", "both", row["second_gold"])
    knows = acre_of(tmp_path / "knows", [PEAR], tools, kind=answering(lambda told: "<answer>3</answer>"))
    log = logged(knows)
    assert (log["acre/tool_reliance"], log["acre/tool_reliance/price"], log["acre/invented"]) == (0.0, 0.0, 1.0)
    assert log["rewards/answer_consistency/mean"] == 0.5
    assert log["acre/outcome_first_only"] == log["acre/tool_reliance/turn_1"] + 1.0


@pytest.mark.parametrize(
    ("family", "second", "reward"),
    [
        ("error", lambda told: "<answer>I do not know</answer>", 1.0),
        ("error", lambda told: call("price", item="pear"), 1.0),
        ("error", lambda told: call("cost", item="pear"), 0.5),  # there is no such tool
        ("error", lambda told: "<answer>3</answer>", 0.5),
        ("paraphrase", lambda told: "<answer>3</answer>", 1.0),
        ("paraphrase", lambda told: "<answer>4</answer>", 0.5),
        ("irrelevant", lambda told: f"<answer>{told[0]}</answer>", 1.0),
    ],
)
def test_each_family_says_what_a_second_answer_has_to_be(tmp_path, tools, family, second, reward):
    trainer = acre_of(tmp_path, [PEAR], tools, kind=answering(second), families=[family])
    assert logged(trainer)["rewards/answer_consistency/mean"] == reward
    name = {"error": "tool_withheld", "paraphrase": "tool_invariance", "irrelevant": "tool_invariance"}[family]
    assert trainer.state.log_history[0][f"acre/{name}"] == float(reward == 1.0)


def test_the_transcript_stays_token_by_token_up_to_the_changed_result(tmp_path, tools):
    both = json.dumps({"name": "price", "arguments": {"item": "plum"}})
    twice = f"{call('price', item='pear')}<tool_call>{both}</tool_call>"
    scripts = [[call("price", item="plum"), call("price", item="pear"), PEAR[1]], [twice, PEAR[1]]]
    trainer = acre_of(tmp_path, scripts, tools)
    asked = {}

    class Noting(ScriptedTurns):
        def _write_answers(self, rows, places):
            made = super()._write_answers(rows, places)
            asked["texts"], asked["whole"] = self.asked, self._sampled
            return made

    trainer = acre_of(tmp_path, scripts, tools, kind=Noting)
    trainer.train()
    decode = trainer._tokenizer.decode
    whole = [decode([*p, *c]) for p, c in zip(asked["whole"].prompt_ids, asked["whole"].completion_ids, strict=True)]
    for text, first, row in zip(asked["texts"][::2], whole[::2], table_of(tmp_path).to_dict("records"), strict=True):
        new = row["second_gold"]
        assert row["changed_result"].endswith(f": 3 -> {new}")
        assert text == first[: len(text)].replace("tool: 3\n", f"tool: {new}\n") != first[: len(text)]
        assert text.endswith("assistant: ")
    assert "turn 2" in table_of(tmp_path)["changed_result"][0]
    assert asked["texts"][2].endswith(f"\ntool: {new}\ntool: 4\nassistant: "), "the other result of the turn stays"


def test_second_answers_are_the_policys_own_behind_the_changed_transcript(tmp_path, tools):
    class Real(ScriptedTurns):
        _write_answers = ToolACRETrainer._write_answers

    trainer = acre_of(tmp_path, [PEAR], tools, kind=Real, second_answer_tokens=5, learning_rate=0.0)
    seen = []
    trainer._end_in, cut = lambda *given: seen.append(cut(*given)) or seen[-1], trainer._end_in
    judge, trainer._judge_answers = trainer._judge_answers, lambda *given: seen.append(given) or judge(*given)
    trainer.train()
    ends, (_, messages, ids) = seen[1], seen[-1]
    model, context = trainer.model.eval(), [*trainer._sampled.prompt_ids[0], *ends.ids]
    for token in ids[0][len(ends.ids) :]:
        with torch.no_grad():
            assert int(model(input_ids=torch.tensor([context])).logits[0, -1].argmax()) == token
        context.append(token)
    assert len(ids[0]) == len(ends.ids) + 5
    assert [message["role"] for message in messages[0]] == ["assistant", "tool", "assistant"]


@pytest.mark.parametrize("settings", [{"second_pass": "off"}, {}], ids=["off", "neutral"])
def test_neutral_settings_are_grpo_with_tools_bit_for_bit(tmp_path, named, settings):
    def by_length(completions, **kwargs):
        return [float(i % 3) for i in range(len(completions))]

    class Guarded(Spelled, GuardedGRPOTrainer):
        pass

    class Plain(Spelled, GRPOTrainer):
        def __init__(self, *args, reward_rules=None, **kwargs):
            super().__init__(*args, **kwargs)

    scripts, common = [PEAR, ["<answer>three</answer>"]], {"max_steps": 3, "log_completions": False}
    off = {"skip_without_advantage": "off"}
    guarded = guard_tools([named("price")], Limits())
    rows = [{"answer": "3"}] * 2
    rewards, weigh = ([NEUTRAL, by_length], {"reward_weights": [0.0, 1.0]}) if not settings else ([by_length], {})
    given = {"rows": rows, "rewards": [by_length], **common}
    plain = {"tools": [find_tool(named("price"))]}
    ours = acre_of(tmp_path / "a", scripts, guarded, rewards=rewards, **common, **off, **weigh, **settings)
    start = weights(ours)
    ours.train()  # before the next is built, which sets the seed
    grpo = trainer_of(tmp_path / "b", scripts, kind=Guarded, tools={"tools": guarded}, **off, **given)
    grpo.train()
    theirs = trainer_of(tmp_path / "c", scripts, kind=Plain, tools=plain, **given)
    theirs.train()
    assert torch.equal(weights(ours), weights(grpo))
    assert torch.equal(weights(ours), weights(theirs))
    assert not torch.equal(weights(ours), start)
    assert logged_losses(ours) == logged_losses(grpo) == logged_losses(theirs)
    assert "acre/second_pass_seconds" not in ours.state.log_history[0] or not settings


def logged_losses(trainer):
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


class Sampling(ToolACRETrainer):
    """Samples for real, notes what was sampled for rollouts, and calls and answers instead."""

    is_second = False

    def _go_on(self, cuts):
        self.is_second = True
        found = super()._go_on(cuts)
        self.is_second = False
        return found

    def _generate_single_turn(self, prompt_ids, *args, **kwargs):
        ids, logps = super()._generate_single_turn(prompt_ids, *args, **kwargs)
        if not self.is_second:
            self.drawn = [*getattr(self, "drawn", []), *ids]
        asks = [self._tokenizer.decode(each).count("\ntool: ") == 0 for each in prompt_ids]
        words = [PEAR[0] if asked else "<answer>3</answer>" for asked in asks]
        return [[*self._tokenizer.encode(text), self._tokenizer.eos_token_id] for text in words], logps


@pytest.mark.parametrize("settings", [{}, {"second_answer_temperature": 1.0}], ids=str)
def test_a_second_pass_does_not_move_the_random_numbers_of_the_rollouts(tmp_path, tools, settings):
    def drawn(folder, **more):
        trainer = acre_of(tmp_path / folder, [PEAR], tools, kind=Sampling, learning_rate=0.0, max_steps=2, **more)
        trainer.train()
        return trainer.drawn, trainer.state.log_history[0].get("acre/asked_again")

    plain, _ = drawn("off", second_pass="off", max_completion_length=120)
    asked, share = drawn("on", **settings, max_completion_length=120)
    assert share == 1.0
    assert asked == plain


def test_rows_that_no_family_can_change_are_paid_as_by_grpo_and_those_without_a_result_as_told(tmp_path, tools):
    scripts = [PLUM, ["<answer>three</answer>"], ["<answer>four</answer>"], [call("price", item="kiwi"), PEAR[1]]]
    log = logged(acre_of(tmp_path / "a", scripts, tools))
    rows = table_of(tmp_path / "a")
    assert rows["answer_consistency"].tolist() == [1.0, 0.5, 0.0, 1.0]
    assert (log["acre/has_version"], log["acre/asked_again"]) == (0.0, 0.0)
    assert "acre/tool_reliance" not in log
    assert log["acre/invented_first"] == pytest.approx(1.0)
    log = logged(acre_of(tmp_path / "b", scripts, tools, without_result="grpo"))
    assert table_of(tmp_path / "b")["answer_consistency"].tolist() == [1.0, 1.0, 0.0, 1.0]


def test_a_family_that_fails_costs_rows_the_second_pass_and_is_named_once(tmp_path, tools, capfd):
    def fails(version, rng):
        raise KeyError("fact")

    trainer = acre_of(tmp_path, [PEAR, PEAR], tools, families=[fails], max_steps=2)
    log = logged(trainer)
    assert (log["acre/version_failed"], log["acre/has_version"], log["rewards/answer_consistency/mean"]) == (1, 0, 1)
    assert capfd.readouterr().err.count("Family `fails`, row ") == 1


def test_half_of_a_character_in_a_result_ends_no_run(tmp_path, named):
    written = TOOLS.replace('return {"pear": 3, "plum": 4}[item]', 'return \'{"a": "\\\\ud83d", "b": 3}\'')
    (tmp_path / "own.py").write_text(written.replace("-> int:", "-> str:", 1))
    guarded = guard_tools([named("price")], Limits(5.0))
    for family in ("paraphrase", lambda version, rng: f"{version.question} \ud83d"):
        log = logged(acre_of(tmp_path, [PEAR], guarded, families=[family]))
        assert log["acre/asked_again"] == 1.0


def test_a_row_whose_tool_died_is_not_asked_again_and_has_no_reward(tmp_path, tools):
    scripts = [[call("price", item="die"), PEAR[1]], PEAR]
    trainer = acre_of(tmp_path, scripts, tools, rules=RewardRules(max_invalid_share=0.9))
    log = logged(trainer)
    assert log["acre/asked_again"] == 0.5
    assert table_of(tmp_path)["answer_consistency"].isna().tolist() == [True, False]


def test_a_call_in_a_second_answer_counts_and_is_not_made(tmp_path, tools):
    kind = type("Calling", (ScriptedTurns,), {"second": staticmethod(lambda told: PEAR[0])})
    log = logged(acre_of(tmp_path, [PEAR], tools, kind=kind, families=["error"]))
    assert (log["acre/tool_withheld"], log["acre/invented"], log["tools/price/calls"]) == (1.0, 0.0, 1.0)
    (row,) = table_of(tmp_path).to_dict("records")
    assert (row["second_texts"], len(json.loads(row["tool_calls"]))) == ("-", 1)


def test_tools_of_an_environment_give_results_that_can_be_changed_and_its_state_is_let_be(tmp_path, named):
    (tmp_path / "own.py").write_text(TOOLS.replace("self.total = start", "self.total = int(start)"))
    factory = guard_environment(named("Counter"), Limits(5.0))
    scripts = [[call("add", number=2), call("add", number=30), "<answer>all</answer>"]]
    rows = [{"start": "10", "answer": "42"}]
    own = {"families": ["other_value"], "answer_reward": number_accuracy, "environment_factory": factory}
    trainer = trainer_of(
        tmp_path, scripts, rows=rows, rewards=[AnswerConsistency()], kind=ScriptedTurns, config=ACREConfig, tools=own
    )
    log = logged(trainer)
    assert (log["acre/tool_reliance/add"], log["acre/tool_reliance/turn_2"]) == (1.0, 1.0)
    assert log["rewards/Counter/mean"] == 42.0


def test_what_cannot_be_is_refused(tmp_path, tools):
    with pytest.raises(ValueError, match=r"takes functions as `tools`, .* and was given none"):
        acre_of(tmp_path, [PEAR], None)
    with pytest.raises(ValueError, match="names 'distractor', which changes a prompt"):
        acre_of(tmp_path, [PEAR], tools, families=["distractor"])
    with pytest.raises(ValueError, match="no such column"):
        acre_of(tmp_path, [PEAR], tools, gold_column="solution")
    with pytest.raises(ValueError, match="`without_result` must be one of first_only, grpo; got 'all'"):
        ACREConfig(output_dir=str(tmp_path), without_result="all", use_cpu=True, bf16=False)
    assert GRPOConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False).tools is None
