"""Answers with tools outside of a trainer are those that training samples, and can be continued otherwise."""

import json
from contextlib import nullcontext

import pytest
import torch
from calling import TOOLS as CALLING
from calling import call, calling_tokenizer
from datasets import Dataset
from shop_policies import ENVIRONMENT, TOOLS, save_eager_policy, shop_policy, shop_rows, shop_toolbox
from trl import GRPOTrainer

from align.errors import UserError
from align.methods.grpo.config import GRPOConfig
from align.methods.grpo.trainer import GuardedGRPOTrainer, asking_environments, quiet_about_environments
from align.models.policies.asking import Decoding
from align.models.transcripts.tokens import TokenTranscripts, batch_seed
from align.models.transcripts.transcript import Asked, Transcript
from align.tools.guarded import GuardedEnvironment

GREEDY = Decoding(max_new_tokens=40)


@pytest.fixture(scope="module")
def eager(tmp_path_factory):
    return save_eager_policy(tmp_path_factory.mktemp("eager"))


@pytest.fixture
def asking(request, eager):
    """Makes engines, and ends their processes."""
    made = []

    def make(named=TOOLS, **settings):
        made.append(shop_toolbox(named))
        return TokenTranscripts(shop_policy(eager), made[-1], **{"max_calls": 2} | settings)

    yield make
    for toolbox in made:
        toolbox.close()


def sampled_in_training(folder, model, toolbox, rows, decoding, rewards=None):
    """Samples rows as a step of training does; returns what the trainer hands to its rewards and its loss."""
    kept = []
    settings = {
        "output_dir": str(folder), "per_device_train_batch_size": len(rows), "use_cpu": True,
        "num_generations": min(len(rows), 4), "max_completion_length": decoding.max_new_tokens,
        "max_tool_calling_iterations": 2, "report_to": "none", "bf16": False,
        "generation_kwargs": {"do_sample": False} if decoding.greedy else None,
    }  # fmt: skip

    class Noting(asking_environments(GuardedGRPOTrainer, toolbox.environments.get(None))):
        def _generate(self, prompts):
            torch.manual_seed(batch_seed(rows, decoding))
            kept.append(super()._generate(prompts))
            return kept[0]

    with quiet_about_environments():
        trainer = Noting(
            str(model),
            reward_funcs=rewards or [lambda completions, **_: [0.0] * len(completions)],
            args=GRPOConfig(**settings),
            train_dataset=Dataset.from_list([dict(row.row) for row in rows]),
            tools=toolbox.tools or None,
            environment_factory=toolbox.environments.get(None),
        )
    trainer.model.train()
    trainer._generate_and_score_completions([dict(row.row) for row in rows])
    toolbox.close()
    prompt_ids, ids, masks, completions, *_ = kept[0]
    calls = [[each._replace(seconds=0) for each in row.calls] for row in trainer._row_tools]
    found = zip(map(list, prompt_ids), map(list, ids), map(list, masks), completions, calls, strict=True)
    return list(found), trainer._batch_seed


@pytest.mark.parametrize(
    ("named", "temperature", "longest"),
    [(TOOLS, 0.0, 40), (ENVIRONMENT, 0.0, 40), (TOOLS, 1.0, 40), (ENVIRONMENT, 1.0, 20), (TOOLS, 1.0, 18)],
    ids=["greedy", "greedy-environment", "sampled", "sampled-environment-cut", "sampled-results-taken-back"],
)
def test_transcripts_are_those_that_training_samples(tmp_path, eager, asking, named, temperature, longest):
    """Prompts, tokens, masks, messages and calls are equal; of calls all but the seconds that they took.

    Sampled ones are in one batch, as the trainer has them, and start from the same state of torch's generator.
    """
    decoding = Decoding(temperature, max_new_tokens=longest, seed=3)
    rows = [row._replace(seed=f"42/train/0/0/0/{place}") for place, row in enumerate(shop_rows(samples=4))]
    expected, seed = sampled_in_training(tmp_path, eager, shop_toolbox(named), rows, decoding)
    assert rows[0].seed == f"{seed}/0", "the seeds of tools are the trainer's"
    found = asking(named).answer(rows, decoding)
    ours = [
        (each.prompt_ids, each.ids, each.mask, each.completion, [call._replace(seconds=0) for call in each.calls])
        for each in found
    ]
    assert ours == expected
    assert sum(bool(each.calls) for each in found) > len(found) / 3
    assert any(0 in each.mask for each in found) == (longest > 18), "results of tools are among the tokens"
    assert any(each.cut_off for each in found) == (longest == 20)
    assert any(each.unanswered for each in found) == (longest == 18)


class Scripted:
    """Writes the turns that stand in a prompt, separated by `|`; what it was told last stands for `{}`."""

    fingerprint, chunk_size, window = "scripted", 8, 1024

    def __init__(self):
        self.tokenizer = calling_tokenizer()
        self.ends, self.asked = [self.tokenizer.eos_token_id], []

    def drawing(self, seed):
        return nullcontext()

    def go_on(self, ids, decoding, names):
        self.asked += names
        return [self.turn(text)[: decoding.max_new_tokens] for text in self.tokenizer.batch_decode(ids)]

    def turn(self, text):
        turns = text.partition("user: ")[2].partition("\n")[0].split(" [")[0].split(" | ")
        told = text.split("\ntool: ")[1:]
        said = turns[min(len(told), len(turns) - 1)].replace("{}", told[-1].partition("\n")[0] if told else "")
        return [*self.tokenizer.encode(said), *self.ends]


@pytest.fixture
def scripted(tmp_path):
    """Makes an engine and rows of scripts, whose tools stand in `calling`."""
    (tmp_path / "own.py").write_text(CALLING)
    made = []

    def make(scripts, named, row=None, **settings):
        made.append(shop_toolbox(named, tmp_path, "own.py", SECONDS))
        prompts = [[{"role": "user", "content": " | ".join(turns)}] for turns in scripts]
        rows = [Asked({"id": str(i), "prompt": each} | (row or {}), f"0/{i}") for i, each in enumerate(prompts)]
        return TokenTranscripts(Scripted(), made[-1], **settings), rows

    yield make
    for toolbox in made:
        toolbox.close()


PRICE = {"tools": ["price", "draw"], "environment_factory": None}
SECONDS = 1.0


def test_calls_that_fail_are_said_to_the_model_and_those_that_hang_cost_their_row(scripted):
    scripts = [
        [call("price", item="kiwi"), call("price", item="plum"), "it is {}"],
        [call("price", item="hang"), call("price", item="pear"), "gave up"],
        [call("cost", item="pear"), "no such tool"],
        ["4"],
    ]
    engine, rows = scripted(scripts, PRICE)
    found = engine.answer(rows, Decoding(max_new_tokens=900))
    assert [[each.failure for each in row.calls] for row in found] == [
        ["error", None], ["timeout", "skipped"], ["unknown"], []
    ]  # fmt: skip
    assert [row.text for row in found] == ["it is 4", "gave up", "no such tool", "4"]
    assert [bool(row.lost) for row in found] == [False, True, False, False]
    assert "price: no result after 1 s" in found[1].lost
    assert [row.counts.turns for row in found] == [3, 3, 2, 1]
    assert [len(row.tokens_by_turn) for row in found] == [3, 3, 2, 1]
    kept = json.loads(json.dumps([row.to_json() for row in found]))
    assert [Transcript.from_json(each) for each in kept] == found


def test_calls_that_no_copy_or_template_can_hold_are_read_as_texts(scripted):
    deep, half = (f"<tool_call>{call}</tool_call>" for call in (
        '{"name": "price", "arguments": {"item": ' + 1_200 * "(" + 1_200 * ")" + "}}",
        '{"name": "pr\\ud800ice", "arguments": {}}',
    ))  # fmt: skip
    scripts = [[deep.replace("(", '{"a": ').replace(")", "}")], [half], [call("price", item="pear"), "it is {}"]]
    engine, rows = scripted(scripts, PRICE)
    engine.policy.window = 30_000
    found = engine.answer(rows, Decoding(max_new_tokens=12_000))
    assert [len(row.calls) for row in found] == [0, 0, 1]
    assert [row.text[:11] for row in found] == ["<tool_call>", "<tool_call>", "it is 3"]


def test_what_a_tool_draws_depends_on_the_row_and_the_call_alone(scripted):
    scripts = [[call("draw", most=10**6), call("draw", most=10**6), "{}"]] * 2
    engine, rows = scripted(scripts, PRICE)
    both, alone = (
        engine.answer(rows, Decoding(max_new_tokens=900)),
        engine.answer(rows[1:], Decoding(max_new_tokens=900)),
    )
    drawn = [[each.result for each in row.calls] for row in both]
    assert len({result for results in drawn for result in results}) == 4
    assert alone[0].completion == both[1].completion


def test_what_follows_a_result_is_answered_again_and_what_came_before_stays(scripted):
    pears = [call("price", item="pear"), call("price", item="plum"), "it is {}"]
    engine, rows = scripted([pears, pears, ["4"]], PRICE)
    decoding = Decoding(max_new_tokens=900)
    first = engine.answer(rows, decoding)[:2]
    same = engine.continue_from(rows[:2], first, [(1, "4"), (0, "3")], decoding, turns=None)
    assert [each.completion for each in same] == [each.completion for each in first]
    assert [(each.ids, each.mask, each.prompt_ids) for each in same] == [
        (each.ids, each.mask, each.prompt_ids) for each in first
    ]
    changed = engine.continue_from(rows[:2], first, [(1, "77"), (0, "66")], decoding)
    assert changed[0].text == "it is 77"
    assert changed[0].completion[:3] == first[0].completion[:3]
    assert [each.result for each in changed[0].calls] == ["3", "77"]
    assert changed[1].unanswered, "one turn was asked for, and it calls again"
    assert [each.result for each in changed[1].calls] == ["66"]
    assert first[0].completion[3]["content"] == "4", "the transcript itself is as it was"
    for each in changed:
        told = engine.policy.tokenizer.decode(each.ids)
        assert sum(each.mask) == sum(each.tokens_by_turn)
        assert ("77" in told) != ("66" in told)
    with pytest.raises(ValueError, match="between 0 and 1, got 2"):
        engine.continue_from(rows[:1], first[:1], [(2, "1")], decoding)


def test_tokens_that_follow_a_changed_result_have_a_limit_of_their_own(scripted):
    engine, rows = scripted([[call("price", item="pear"), "it is {}, I think"]], PRICE)
    first = engine.answer(rows, Decoding(max_new_tokens=900))
    (short,) = engine.continue_from(rows, first, [(0, "9" * 50)], Decoding(max_new_tokens=5))
    assert (short.text, short.cut_off, short.tokens_by_turn[-1]) == ("it is", True, 5)


def test_rows_that_their_environment_ends_are_asked_no_more_and_others_go_on(scripted):
    adds = [[call("add", number=number)] * 3 + ["at {}"] for number in (5, 2, 1)]
    engine, rows = scripted([*adds, ["4"]], {"tools": None, "environment_factory": "Counter"})

    def is_over(self, messages):
        said.append([message["role"] for message in messages])
        self._guard_over = self.total > 3
        return self._guard_over

    said, kind = [], engine.toolbox.environments[None]
    kind._guard_stops, kind._guard_ends = True, is_over
    found = engine.answer(rows, Decoding(max_new_tokens=900))
    assert [[call.result for call in row.calls] for row in found] == [["5"], ["2", "4"], ["1", "2", "3"], []]
    assert [row.completion[-1]["role"] for row in found] == ["tool", "tool", "assistant", "assistant"]
    assert [row.text for row in found] == ["", "", "at 3", "4"]
    assert [row.counts.turns for row in found] == [1, 2, 4, 1]
    assert not any(row.cut_off for row in found)
    assert [row.mask[-1] for row in found] == [0, 0, 1, 1]
    assert all(len(row.ids) == len(row.mask) for row in found)
    turn = ["assistant", "tool"]
    assert said == [turn, turn, turn, turn * 2, turn * 2, turn * 3], "each open row behind each turn, and no other"


def test_a_trainer_asks_for_an_end_only_where_its_environment_may_end_a_rollout():
    class Ends(GuardedEnvironment):
        _guard_stops = True

    asking = asking_environments(GuardedGRPOTrainer, Ends)
    assert issubclass(asking, GuardedGRPOTrainer)
    assert asking._tool_call_loop is not GRPOTrainer._tool_call_loop
    for environments in (None, GuardedEnvironment, {"shop": GuardedEnvironment}):
        assert asking_environments(GuardedGRPOTrainer, environments) is GuardedGRPOTrainer
    assert GuardedGRPOTrainer._tool_call_loop is GRPOTrainer._tool_call_loop


def test_an_environment_is_brought_to_where_a_transcript_is_continued(scripted):
    engine, rows = scripted(
        [[call("add", number=2), call("add", number=3), call("add", number=4), "{}"]],
        {"tools": None, "environment_factory": "Counter"},
        {"start": 10},
    )
    decoding = Decoding(max_new_tokens=900)
    (first,) = engine.answer(rows, decoding)
    assert first.prompt[-1]["content"].endswith(" [10]")
    assert (first.text, first.rewards) == ("19", {"Counter": 19.0})
    (again,) = engine.continue_from(rows, [first], [(0, "500")], decoding, turns=None)
    assert [each.result for each in again.calls] == ["500", "15", "19"], "its state is that of the calls before"
    assert again.rewards == {"Counter": 19.0}


def test_a_model_or_a_prompt_that_cannot_have_tools_is_refused(scripted):
    engine, _ = scripted([["4"]], PRICE)
    with pytest.raises(UserError, match="Prompt 'x' is a text"):
        engine.answer([Asked({"id": "x", "prompt": "How much?"}, "0")], GREEDY)
    engine.policy.tokenizer.chat_template = "{{ messages[0].content }}"
    with pytest.raises(UserError, match="knows no tools"):
        TokenTranscripts(engine.policy, engine.toolbox)
