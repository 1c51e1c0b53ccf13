import random

import numpy as np
import pytest
from planted import clean_pairs, with_cue
from scripted_reward import ScriptedReward

from align.auditing.cues import describe
from align.data.pairs.reward_bench import BenchPair
from align.evaluation.record.details import SliceOfPairs
from align.evaluation.statistics.metrics import Estimate
from align.evaluation.suites.reward_model.phrases import (
    as_written,
    find_candidates,
    longest_run,
    mine_phrases,
    split_prompts,
)

PHRASE = "to be sure"


def pairs(num=300):
    rows = with_cue(clean_pairs(num, 3), 0.3, 0.3, 3, PHRASE)
    return [
        BenchPair(row["id"], row["prompt"], row["chosen"], row["rejected"], i, None, None)
        for i, row in enumerate(rows)
    ]


def taste(prompt, response):
    """Scores by what no word decides: a number drawn for the words of the response without the phrase."""
    words = response.replace(PHRASE, "").split()
    return random.Random(f"{prompt} {sorted(words)}").gauss(0, 1)


def mine(function, rows, position="front"):
    model = ScriptedReward(function)
    margins = model.margins(*([getattr(each, name) for each in rows] for name in ("prompt", "chosen", "rejected")))
    return mine_phrases(model, rows, margins, position=position, scale=1.0, most_pairs=100)


@pytest.mark.by_day("-1.5-end")
@pytest.mark.parametrize(("pays", "position"), [(1.5, "front"), (-1.5, "end")])
def test_a_planted_phrase_is_mined_whole(pays, position):
    mined = mine(lambda prompt, response: taste(prompt, response) + pays * (PHRASE in response), pairs(), position)
    assert PHRASE in mined.kept
    found = next(each for each in mined.phrases if each.first.phrase == PHRASE)
    assert found.first.gain.value * pays > 0
    assert found.second.gain.value == pytest.approx(0.7 * pays, abs=0.3)  # three of ten have it already
    assert mined.num_pairs == [100, 100]


def test_a_clean_model_gives_none():
    assert mine(taste, pairs()).kept == []


def test_a_phrase_that_goes_with_the_score_without_making_it_is_not_kept():
    """Whoever writes "to be sure" writes better; the words themselves are worth nothing."""
    rows = pairs()
    better = {text for each in rows for text in (each.chosen, each.rejected) if PHRASE in text}

    def judge(prompt, response):
        own = min((text for text in texts if text in response), key=len, default=response)
        return taste(prompt, own) + 1.5 * (own in better)

    texts = {text for each in rows for text in (each.chosen, each.rejected)}
    mined = mine(judge, rows[:120])
    assert mined.num_slices > 0
    assert mined.phrases
    assert mined.kept == []


def test_what_moves_only_the_first_half_is_not_kept():
    rows = pairs(200)
    margins = np.zeros(len(rows))
    first = {rows[i].prompt for i in split_prompts(rows, margins, 0)[0]}

    def half(prompt, response):
        return taste(prompt, response) + 2.0 * (PHRASE in response and prompt in first)

    mined = mine(half, rows)
    found = next(each for each in mined.phrases if each.first.phrase == PHRASE)
    assert found.first.moves
    assert found.second is not None
    assert not found.is_kept
    assert PHRASE not in mined.kept


def test_halves_share_no_prompt_and_leave_out_pairs_without_a_margin():
    rows = [BenchPair(f"p{i}", f"q{i // 3}", "a", "b", i, None, None) for i in range(30)]
    margins = np.ones(30)
    margins[:3] = np.nan
    first, second = split_prompts(rows, margins, 0)
    assert sorted([*first, *second]) == list(range(3, 30))
    assert not {rows[i].prompt for i in first} & {rows[i].prompt for i in second}
    assert (len(first), len(second)) == (15, 12)
    assert split_prompts(rows, margins, 1) != (first, second)


def a_slice(name, kind, also=()):
    cell = Estimate(0.0, 0.0, 0.0, 1)
    return SliceOfPairs(
        feature=describe(name, kind), favour=cell, only_chosen=cell, only_rejected=cell, adjusted_p_value=0.0,
        also=[], names=[(name, kind), *also],
    )  # fmt: skip


def test_candidates_are_the_longest_run_of_words_and_the_surest_feature_as_they_are_written():
    slices = [
        a_slice(
            "be",
            "word",
            [("to be", "word pair"), ("sure", "word"), ("be sure", "word pair"), ("more digits", "count")],
        ),
        a_slice("more characters", "count"),
        a_slice("of course", "begins with", [("of", "begins with")]),
    ]
    found = find_candidates(slices, ["To be sure, it is.", "Of course it is to be sure", "to be sure"])
    assert list(found) == ["to be sure", "be", "Of course"]
    assert list(found.values()) == ['"be"', '"be"', 'begins with "of course"']


def test_a_circle_of_words_ends():
    assert longest_run(["a b", "b a"]) == "a b a"
    assert longest_run(["word"]) == "word"


@pytest.mark.parametrize(
    ("name", "text", "written"),
    [
        ("sure , i", "Sure, I can", "Sure, I"),
        ("in", "begin again", "in"),  # not within a word: as it was given
        ("i ' m", "I'm here", "I'm"),
        ("你 好", "说你好吗", "你 好"),  # between letters of words without spaces there is no edge
        ("。", "好。", "。"),
        ("( a", "see (A) twice", "(A"),
        ("to be", "to\n  be", "to be"),
    ],
)
def test_words_are_looked_up_as_they_are_written(name, text, written):
    assert as_written(name, [text]) == written
