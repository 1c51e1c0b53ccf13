from contextlib import closing

import numpy as np
import pytest
from awaited_rewards import in_turn

from align.data.prompt_rows import PromptRow
from align.errors import UserError
from align.evaluation.asking import KeptAnswers, as_prompts, check_ks, complete_prompts
from align.evaluation.results import arrange, pair_answers, warn_of_lacking
from align.evaluation.suites.prompts.measured_rewards import call_reward, check_columns
from align.evaluation.suites.prompts.suite import RewardScale, read_scale, reward_suite
from align.models.answer_cache import AnswerCache
from align.models.policies.asking import Completion, Decoding
from rewards.catalog import resolve_reward
from rewards.running.guard import AsyncGuardedReward, GuardedReward, GuardSettings

ROWS = [
    PromptRow(f"p{i}", [{"role": "user", "content": f"{i} + {i}?"}], {"answer": 2 * i, "group": "ab"[i % 2]}, (), i)
    for i in range(10)
]
DECODING = Decoding(num_samples=4, temperature=1.0)


class Killed(RuntimeError):
    """Stands for the end of the process."""


class Adder:
    """Adds right in three of four samples, and may die; it counts what it was asked."""

    chunk_size, fingerprint = 3, "adder"

    def __init__(self, lives: int = 100) -> None:
        self.lives, self.asked = lives, []

    def complete(self, prompts, decoding):
        self.lives -= 1
        if self.lives < 0:
            raise Killed
        self.asked += [prompt.id for prompt in prompts]
        return [
            [Completion(f"<answer>{2 * int(prompt.id[1:]) + (sample == 3)}</answer>", (1, 2)) for sample in range(4)]
            for prompt in prompts
        ]


def guarded(func, **settings):
    return GuardedReward(func, GuardSettings(**settings))


def quiet(stage, done, total):
    """Shows no progress."""


def test_prompts_are_asked_once_also_by_a_run_that_was_killed(tmp_path):
    prompts, whole = as_prompts(ROWS), Adder()
    expected = complete_prompts(whole, prompts, DECODING, KeptAnswers())
    with closing(AnswerCache(tmp_path)) as cache:
        first = Adder(lives=2)
        with pytest.raises(Killed):
            complete_prompts(first, prompts, DECODING, KeptAnswers(cache))
        second, kept = Adder(), KeptAnswers(cache)
        assert complete_prompts(second, prompts, DECODING, kept) == expected
    assert first.asked + second.asked == whole.asked
    assert kept.num_cached == 6


def test_a_reward_is_called_as_in_training():
    seen = {}

    def spy(prompts, completions, completion_ids, answer, trainer_state, log_extra, log_metric, **kwargs):
        seen.update(kwargs, prompts=prompts, completions=completions, ids=completion_ids)
        log_extra("column", [0] * len(prompts))
        log_metric("number", trainer_state.global_step)
        return [float(gold) for gold in answer]

    completions = complete_prompts(Adder(), as_prompts(ROWS), DECODING, KeptAnswers())
    found = call_reward(guarded(spy), ROWS, completions, quiet)
    assert found.values.tolist() == [[2.0 * i] * 4 for i in range(10)]
    assert seen["completions"][3] == [{"role": "assistant", "content": "<answer>1</answer>"}]
    assert seen["prompts"][4] == ROWS[1].prompt
    assert seen["ids"][0] == [1, 2]
    assert seen["group"][:5] == ["a"] * 4 + ["b"]
    assert seen["id"][-1] == "p9"


def test_one_row_that_fails_costs_one_value_and_is_counted():
    def fragile(completions, answer, **kwargs):
        return [1.0 if gold != 4 else 1 / 0 for gold in answer]

    completions = complete_prompts(Adder(), as_prompts(ROWS), DECODING, KeptAnswers())
    found = call_reward(guarded(fragile), ROWS, completions, quiet)
    assert found.failures == {"error": 4}
    assert np.isnan(found.values).sum(axis=1).tolist() == [0, 0, 4, 0, 0, 0, 0, 0, 0, 0]
    zero = call_reward(guarded(fragile, on_invalid="zero"), ROWS, completions, quiet)
    assert zero.values[2].tolist() == [0.0] * 4


def test_coroutines_are_awaited_in_one_loop():
    completions = complete_prompts(Adder(), as_prompts(ROWS), DECODING, KeptAnswers())
    reward = AsyncGuardedReward(in_turn(), GuardSettings())
    for _ in range(2):
        found = call_reward(reward, ROWS, completions, quiet)
        assert found.values.tolist() == [[float(len(each.text)) for each in group] for group in completions]


def test_a_reward_that_needs_another_column_is_refused():
    def wants(completions, topics, **kwargs):
        return [0.0] * len(completions)

    rows = [{"prompt": "?", "id": "p", "topic": "x"}]
    with pytest.raises(UserError, match=r"`wants` needs a column `topics` .* Did you mean `topic`\?.*Nothing was gen"):
        check_columns(guarded(wants), rows)
    with pytest.raises(UserError, match="`number_accuracy` needs a column `answer`"):
        check_columns(guarded(resolve_reward("number_accuracy")), rows)
    check_columns(guarded(wants), [{"prompt": "?", "topics": "x"}])


def test_the_metrics_of_a_known_policy():
    """Three of four samples are right, and the fourth states another answer each time."""
    completions = complete_prompts(Adder(), as_prompts(ROWS), DECODING, KeptAnswers())
    found = call_reward(guarded(resolve_reward("number_accuracy")), ROWS, completions, quiet)
    answers = [[each.text.strip("<>/answer") for each in group] for group in completions]
    groups = [row.columns["group"] for row in ROWS]
    scale = read_scale([found.values])
    suite = reward_suite("r", found.values, answers, groups, (1, 2, 4), scale).summary()
    values = {name: round(cell.value, 6) for name, cell in suite.items() if not name.endswith(("/a", "/b"))}
    assert values == {
        "reward/r": 0.75, "pass@1/r": 0.75, "pass@2/r": 1.0, "maj@2/r": 0.75, "pass@4/r": 1.0, "maj@4/r": 1.0,
        "worst_group/r": 0.75,
    }  # fmt: skip
    assert suite["pass@1/r/a"].value == 0.75
    assert suite["pass@1/r/a"].n == 5
    assert scale.bounds == (0.0, 1.0)


def test_a_value_that_is_missing_is_left_out_and_k_counts_what_is_there():
    values = np.array([[1.0, np.nan, 0.0], [np.nan] * 3])
    scale = RewardScale((0.0, 1.0), votes=False)
    suite = reward_suite("r", values, [[None] * 3] * 2, [None] * 2, (1, 2, 3), scale).summary()
    assert (suite["reward/r"].value, suite["reward/r"].n) == (0.5, 1)
    assert suite["pass@2/r"].value == 1.0
    assert suite["pass@3/r"].n == 0
    assert not any(name.startswith("maj@") for name in suite)  # nobody states an answer


def test_scores_without_bounds_have_no_right_answer_of_their_own():
    values = np.array([[-1.0, 2.0], [3.0, 4.0]])
    assert read_scale([values]) == RewardScale(None, None)
    assert read_scale([np.array([0.0, 0.5])]) == RewardScale((0.0, 1.0), None)
    assert read_scale([np.zeros(3), np.array([np.nan])]) == RewardScale((0.0, 1.0), 1.0, is_share=True)
    assert list(reward_suite("rm", values, [["1", "2"]] * 2, [None] * 2, (1, 2), RewardScale(None, None)).means) == [
        "reward/rm"
    ]
    right = reward_suite("rm", values, [["1", "2"]] * 2, [None] * 2, (1,), RewardScale(None, 2.0)).summary()
    assert right["pass@1/rm"].value == 0.75


def test_fewer_samples_than_k_are_refused():
    assert check_ks((), 8) == (1, 8)
    assert check_ks((4, 1, 4), 4) == (1, 4)
    with pytest.raises(UserError, match=r"got 8 with 4 sample\(s\) of each prompt. Give `--num_samples 8"):
        check_ks((8,), 4)


def test_the_same_values_in_another_order_are_the_same_mean():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 11, size=(200, 4)) / 10
    others = np.stack([rng.permutation(row) for row in values])
    scale = read_scale([values])
    ours, theirs = (reward_suite("r", each, [[None] * 4] * 200, [None] * 200, [1], scale) for each in (values, others))
    np.testing.assert_array_equal(ours.means["reward/r"].groups[0], theirs.means["reward/r"].groups[0])


def test_prompts_without_a_reward_of_one_model_make_no_difference_surer():
    """The second model's rewards fail on the 20 prompts that the first gets wrong."""
    before, after = np.repeat([[1.0], [0.0]], 20, axis=0), np.repeat([[1.0], [np.nan]], 20, axis=0)
    other = np.repeat([[0.0], [1.0]], 20, axis=0)
    for values, scale in ((after, 1.0), (0.7 * after, 0.7)):
        scales = read_scale([values, scale * before, scale * other])
        suites = [reward_suite("rm", each, [[None]] * 40, [None] * 40, [1], scales)
                  for each in (values, scale * before, scale * other)]  # fmt: skip
        for first in suites[1:]:
            found = suites[0].differences(first)["reward/rm"]
            assert found.verdict() is None, (found, scale)
    assert suites[0].summary()["reward/rm"].n == 20
    comparisons = arrange({"after": {"rm": suites[0]}, "before": {"rm": suites[1]}})["comparisons"]
    (warned,) = warn_of_lacking(comparisons)
    assert "20 items have no value of it alone, 0 of `before` alone and 0 of both, in reward/rm" in warned.text
    rewards = {
        name: {"reward/rm": each.means["reward/rm"].groups[0]} for name, each in zip("ab", suites, strict=False)
    }
    assert [each.mcnemar_p for each in pair_answers(rewards, list(map(str, range(40))))] == [None]
