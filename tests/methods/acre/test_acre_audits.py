"""Audits that depend on second answers have them, as rewards do."""

import pytest
from rollouts_of_acre import of_letters, of_texts

from align.training.guarded_rewards import RewardRules
from rewards import AnswerConsistency
from rewards.running.guard import GuardSettings, guard_rewards


def right_letter(first_choice, answer, **kwargs):
    return [float(first == gold) for first, gold in zip(first_choice, answer, strict=True)]


LETTERS = of_letters.scripted(*(f"<think>x</think><answer>{letter}</answer>" for letter in "ABCD"))
TEXTS = of_texts.scripted(
    *(f"<think>x</think><answer>{name}</answer>" for name in ("Ann", "Eve")), base=of_texts.Copying
)


@pytest.mark.by_day("test_acre-ScriptedTrainer-right_letter")
@pytest.mark.parametrize(
    ("form", "cls", "right"), [(of_letters, LETTERS, right_letter), (of_texts, TEXTS, of_texts.RIGHT)]
)
def test_an_audit_is_what_the_reward_would_be_and_changes_no_loss(tmp_path, form, cls, right):
    consistent = guard_rewards([AnswerConsistency()], GuardSettings())

    def log_of(rewards, audits=(), **settings):
        trainer = form.make_trainer(tmp_path, rewards, trainer=cls, max_steps=2, **settings)
        trainer.reward_rules = RewardRules(audits=audits)
        trainer.train()
        return trainer.state.log_history[:2]

    plain = log_of([right])
    rewarded = log_of([right, *consistent], reward_weights=[1.0, 0.0])
    audited = log_of([right], consistent)
    assert [entry["loss"] for entry in audited] == [entry["loss"] for entry in plain]
    assert [entry["acre/asked_again"] for entry in plain] == [0.0, 0.0]
    for entry, expected in zip(audited, rewarded, strict=True):
        assert entry["acre/asked_again"] == expected["acre/asked_again"] == 1.0
        assert entry["audit/answer_consistency/mean"] == expected["rewards/answer_consistency/mean"]
