"""Pairs that share a prompt are no independent items: of 60 prompts with 8 pairs, and in the record."""

import numpy as np
import pytest

from align.data.pairs.preferences import PreferencePair
from align.evaluation.record.record import About, HelperModel, Items
from align.evaluation.suites.pairs.evaluation import (
    ACCURACY,
    Judgement,
    judged_suite,
    pairs_record,
    pairs_suite,
    prompt_of,
)
from align.models.pair_terms import PairTerms, SideTerms
from align.report.evaluation.items import list_changes

PROMPTS, EACH = 60, 8
OF_PAIRS = [f"{i % PROMPTS}?" for i in range(PROMPTS * EACH)]
NOT_COMPARED = SideTerms(4, -10.0, -10.0, 0.0, 0, 0.0, 0.0)


def terms_of(right, kl=None):
    """Makes terms of pairs that are right or wrong, with a KL per token."""
    kl = np.zeros(len(right)) if kl is None else kl
    changes = np.where(right, 1.0, -1.0)
    return [
        PairTerms(SideTerms(4, -10 + change, -10.0, 4 * each, 0, 0.0, 0.0), NOT_COMPARED)
        for change, each in zip(changes.tolist(), kl.tolist(), strict=True)
    ]


def test_intervals_and_differences_count_prompts():
    rng = np.random.default_rng(0)
    worlds, truth = 25, {ACCURACY: 0.625, "logp_change/chosen": 0.25, "kl_per_token/chosen": 1.0}
    covered, told = (dict.fromkeys(truth, 0) for _ in range(2))
    for _ in range(worlds):
        suites = []
        for _ in range(2):  # models that are as good, each at prompts of its own
            right = rng.random((EACH, PROMPTS)) < rng.beta(1.0, 0.6, size=PROMPTS)
            kl = rng.exponential(0.5, size=(EACH, PROMPTS)) + rng.exponential(0.5, size=PROMPTS)
            suites.append(pairs_suite(terms_of(right.ravel(), kl.ravel()), (), OF_PAIRS))
        ours, theirs = (suite.means for suite in suites)
        for name, value in truth.items():
            found, difference = ours[name].estimate(), ours[name].difference(theirs[name])
            assert found.n == difference.n == PROMPTS
            covered[name] += found.low <= value <= found.high
            told[name] += not difference.low <= 0 <= difference.high
    assert min(covered.values()) >= 0.88 * worlds  # as independent items: 0.6 to 0.7
    assert max(told.values()) <= 0.12 * worlds  # and 0.26 to 0.33


def test_pairs_of_a_group_count_its_prompts():
    terms, groups = terms_of(np.tile([True, False], 8)), ["a"] * 8 + ["b"] * 8
    alone, together = (pairs_suite(terms, groups, prompts).summary() for prompts in ((), ["?"] * 8 + ["!"] * 8))
    assert alone[f"{ACCURACY}_by_group/a"].n == 8
    assert together[f"{ACCURACY}_by_group/a"].n == 1
    worst = f"worst_group/{ACCURACY}"
    assert together[worst].value == alone[worst].value == 0.5
    assert together[worst].n == 2
    assert together[worst].low < alone[worst].low < alone[worst].high < together[worst].high


def test_answers_to_one_prompt_are_judged_as_one_item():
    judgements = [Judgement(0, 0)] * 8 + [Judgement(1, 1)] * 8
    found = judged_suite({"b": judgements}, ["?"] * 8 + ["!"] * 8).summary()["judged_win_rate/b"]
    assert found[:3] == pytest.approx((0.5, 0.0945, 0.9055), abs=1e-4)  # Wilson's of 1 of 2
    assert found.n == 2


def about(questions):
    source, data = HelperModel(path="x", fingerprint="x"), Items(
        path=None, split=None, left_out={}, fingerprint="x", questions=questions, groups={}
    )  # fmt: skip
    model = {
        "name": "ours", "path": "x", "role": "model", "kind": "full", "base": None, "fingerprint": "x",
        "dtype": "float32", "backend": "transformers", "seconds": 1.0, "cached_items": 0,
    }  # fmt: skip
    return About(
        created="", command=[], suites=["pairs"], models=[model, model | {"name": "theirs"}], data=data, versions={},
        seconds=1.0, reference=source, judge=None, profile=None, with_marks=0,
    )  # fmt: skip


def test_mcnemars_test_is_of_pairs_that_stand_alone():
    right = np.arange(16) < 12
    terms, ids = {"ours": terms_of(right), "theirs": terms_of(~right)}, [f"p{i}" for i in range(16)]
    alone = pairs_record(about(16), terms, {}, ids, (), ids)
    assert alone.paired[0].mcnemar_p == pytest.approx(0.0768, abs=1e-4)
    assert not any("McNemar" in warned.text for warned in alone.warnings)
    together = pairs_record(about(16), terms, {}, ids, (), [name[:2] for name in ids])
    assert together.paired[0].mcnemar_p is None
    assert together.paired[0].wins == ids[:12]
    (warned,) = [each for each in together.warnings if "McNemar" in each.text]
    assert warned.model == "ours, theirs"
    assert warned.text.startswith("16 pairs are of 10 prompts. Pairs of one prompt are one item in intervals")
    assert [each.title for each in list_changes(together.paired)] == [
        "ours is right where theirs is wrong: 12 items",
        "ours is wrong where theirs is right: 4 items",
    ]


def test_a_prompt_with_another_image_is_another_prompt():
    pairs = [
        PreferencePair(name, "What is shown?", "good", "bad", 1, None, "diff", ({"bytes": name.encode()},))
        for name in ("red", "blue")
    ]
    assert prompt_of(pairs[0]) != prompt_of(pairs[1])
