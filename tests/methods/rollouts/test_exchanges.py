"""What completions state is read by the reward itself, beside other rows' right answers."""

import re

import numpy as np
import pytest

from align.data.prompt_rows import PromptRow
from align.evaluation.asked_models import Engine
from align.evaluation.suites.prompts.measured_rewards import CalledRewards, NamedReward, Rewarded
from align.methods.rollouts.exchanges import Asking, golds_of, say_cut, say_missing
from align.models.policies.asking import Completion
from align.rehearsal.record import Rehearsed
from rewards.reading.responses import DEFAULT_FORMAT
from rewards.running.guard import GuardSettings, guard_rewards
from rewards.running.protocol import HIGHER
from rewards.running.scores import Score


def last_number(completions, total, **columns):
    return [
        float(re.findall(r"\d+", f"0 {text}")[-1] == str(gold)) for text, gold in zip(completions, total, strict=True)
    ]


def blame(completions, total, **columns):
    return [right - 1 for right in last_number(completions, total)]


def nearness(completions, total, **columns):
    return [
        1 - abs(int(re.findall(r"\d+", text)[-1]) - gold) / 100 for text, gold in zip(completions, total, strict=True)
    ]


def lenient(completions, **columns):
    return [float("red" in text or not text.endswith("}")) for text in completions]


def strict(completions, **columns):
    return [float("red" in text and text.endswith("}")) for text in completions]


def brief(completions, **columns):
    return [float(len(text) < 12) for text in completions]


def asking(func, golds, texts):
    name, (guarded,) = func.__name__, guard_rewards([func], GuardSettings())
    rows = [PromptRow(str(i), f"q{i}", {"total": gold, "id": i}, (), i) for i, gold in enumerate(golds)]
    called = CalledRewards([NamedReward(name, name, "", guarded, HIGHER)], DEFAULT_FORMAT)
    return Asking(called, rows, [[Completion(each) for each in group] for group in texts], Engine())


def paid(asked, seconds=0.0):
    (values,) = asked.beside([row.columns for row in asked.rows]).values()
    return Rewarded(values, [Score(None, seconds=seconds)])


@pytest.mark.parametrize("func", [last_number, blame, nearness])
def test_answers_in_any_form_are_read_by_the_reward_that_tells_them_apart(func):
    golds, texts = [17, 40, 63], [["It is 17, no: 40", "63 das"], ["40!", "I have 41"], ["17", "40 or 63"]]
    asked = asking(func, golds, texts)
    rights = golds_of(asked.rows, ["total"])
    assert rights == ["17", "40", "63"]
    stated = asked.read(func.__name__, rights, ["total"], paid(asked))
    assert stated == ["40", "63", "40", None, "17", "63"]


def test_of_a_slow_reward_right_answers_are_read_and_wrong_ones_are_not():
    asked = asking(last_number, [17, 40, None], [["17", "40"], ["17", "40"], ["17", "3"]])
    golds = golds_of(asked.rows, ["total"])
    assert asked.read("last_number", golds, ["total"], paid(asked, 99.0)) == ["17", None, None, "40", None, None]


def test_nothing_is_read_beside_one_right_answer_or_by_a_reward_that_pays_all():
    alike = asking(last_number, [17, 17], [["17"], ["18"]])
    assert alike.read("last_number", golds_of(alike.rows, ["total"]), ["total"], paid(alike)) == [None, None]
    brief_ones = asking(brief, [17, 18], [["17"], ["18"]])
    assert brief_ones.read("brief", ["17", "18"], ["total"], paid(brief_ones)) == [None, None]


def test_rows_without_a_right_answer_that_are_paid_nothing_are_told_of_unless_another_reward_pays_there():
    golds, texts = [17, None, 40, ""], [["17", "18"], ["19", "20"], ["40", "17"], ["4", "5"]]
    asked = asking(last_number, golds * 8, texts * 8)
    values, rights = paid(asked).values, golds_of(asked.rows, ["total"])
    assert rights[:4] == ["17", None, "40", None]
    for totals, count in ((values, 1), (values + np.array([0.0, 0.5]), 0)):
        found = Rehearsed()
        say_missing(found, "last_number", ["total"], rights, values, totals)
        assert [each.check for each in found.findings] == ["answer key"] * count
    assert (
        "pays all completions alike on 50% of the prompts: their rows have nothing in `total`" in str(found.findings)
        or count == 0
    )
    none = np.where(np.array([right is None for right in rights])[:, None], np.nan, values)  # left out, as it should
    found = Rehearsed()
    say_missing(found, "last_number", ["total"], rights, none, none)
    assert found.findings == []


@pytest.mark.parametrize(("func", "weight", "is_told"), [
    (lenient, 1.0, True), (lenient, -1.0, False), (lenient, 0.0, False), (strict, 1.0, False), (brief, 1.0, False),
])  # fmt: skip
def test_pay_for_what_cannot_be_parsed_is_found_by_cutting_the_last_sign(func, weight, is_told):
    asked = asking(func, range(8), [['{"color": "red"}', '{"color": "blue"}', "It is red.", '{"name": "pen"}']] * 8)
    found = Rehearsed()
    say_cut(found, asked.cut(), {func.__name__: paid(asked).values}, np.array([weight]))
    assert [each.check for each in found.findings] == ["overpaid"] * is_told
