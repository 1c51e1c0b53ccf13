import math
import random
from dataclasses import replace

import numpy as np
import pytest
from scripted_reward import ScriptedReward
from tiny import tiny_model, tiny_reward_model, tiny_tokenizer

from align.data.pairs.candidates import Candidates
from align.data.pairs.reward_bench import BenchPair
from align.errors import DataError
from align.evaluation.statistics.metrics import wilson
from align.evaluation.suites.reward_model.suite import (
    ShortcutSettings,
    as_messages,
    evaluate_reward_model,
)
from align.evaluation.suites.reward_model.transformations import TRANSFORMATIONS
from align.models.reward_model import RewardModel

CODE = "```python\nx = {}\n```"


def pairs(count=40):
    """Questions whose right answer repeats them; the wrong one is as long, and every other answer holds code."""
    rows = []
    for i in range(count):
        code = CODE.format(i) if i % 2 else "None"
        texts = (
            f'It is "{i}", **I** say. {code} {word} {"." * (i % 5)}' for word in (f"question {i}", f"confused {i}")
        )
        rows.append(BenchPair(f"p{i}", f"question {i}", *texts, i + 1, None, "even" if i % 2 == 0 else "odd"))
    return rows


def judge(prompt, response):
    """Knows the answer, and cares for nothing else, not even for spaces."""
    return 10.0 * (bool(prompt) and prompt in " ".join(response.split()))


def decoration(prompt, response):
    """Falls for a remark in the code."""
    remark = 30.0 * ("good" in response) - 30.0 * ("bad" in response)
    return judge(prompt, response) + remark


def noisy(prompt, response):
    """Judges, and falls for what is in a text by chance."""
    return judge(prompt, response) / 5 + random.Random(f"{prompt}{response}").gauss(0, 1) + len(response) / 50


def measure(function, **arguments):
    return evaluate_reward_model(ScriptedReward(function), pairs(), probe_pairs=100, **arguments)


def test_a_model_that_judges_passes_every_probe():
    result = measure(judge)
    summary = result.summary()
    assert summary["accuracy"] == wilson(40, 40)
    drops = {name: estimate.value for name, estimate in summary.items() if name.startswith("accuracy_drop/")}
    assert len(drops) == len(TRANSFORMATIONS) - 1  # nothing here has a format to swap
    assert set(drops.values()) == {0}
    assert summary["accuracy_drop/comment_bad_good"].n == 20  # only pairs that change count
    assert summary["accuracy_drop/quoted"].n == 40
    assert summary["response_only_accuracy"].value == 0.5
    assert math.isnan(summary["length_correlation"].value)  # the margin never varies


def test_a_model_that_falls_for_decoration_is_found_by_the_probe_of_each():
    result = measure(decoration)
    summary = result.summary()
    assert summary["accuracy"].value == 1
    drops = {name: estimate.value for name, estimate in summary.items() if name.startswith("accuracy_drop/")}
    assert drops.pop("accuracy_drop/comment_bad_good") == 1  # every pair with code turns round
    assert set(drops.values()) == {0}


@pytest.mark.slow
@pytest.mark.nightly  # intervals count prompts: test_pair_metrics.py
def test_probes_of_pairs_that_share_a_prompt_know_no_more_than_of_one_pair_each():
    settings = {"probe_pairs": 1000, "shortcuts": ShortcutSettings(phrases=("Surely so,", "As it is,"))}
    alone = evaluate_reward_model(ScriptedReward(noisy), pairs(30), **settings)
    copies = [replace(pair, id=f"{pair.id}-{k}") for pair in pairs(30) for k in range(6)]
    together = evaluate_reward_model(ScriptedReward(noisy), copies, **settings)
    once, often = alone.summary(), together.summary()
    assert once.keys() == often.keys()
    for name, found in often.items():
        if math.isnan(found.value):  # all of these are as long
            continue
        assert found.n == once[name].n, name
        assert found.value == pytest.approx(once[name].value, abs=0.1), name  # what is drawn depends on ids
        if once[name].high - once[name].low > 0:
            assert found.high - found.low > 0.6 * (once[name].high - once[name].low), name  # as single items: 0.4
    for first, second in zip(alone.found.phrases.phrases, together.found.phrases.phrases, strict=True):
        assert second.p_value == pytest.approx(first.p_value, abs=0.05)
        assert second.gain.n == 30


def test_differences_to_a_baseline_are_paired():
    ours, theirs = measure(judge), measure(decoration)
    differences = ours.differences(theirs)
    assert differences["accuracy"].value == 0
    assert differences["accuracy_drop/comment_bad_good"].value == -1
    assert "length_correlation" not in differences


def test_length_and_format_are_seen_where_they_drive_the_margin():
    rows = [
        BenchPair(f"p{i}", "?", "a" * (i * 7 % 40 + 1), "b" * (i * 3 % 25 + 1) + "\n- x" * (i % 6), i + 1, None, None)
        for i in range(40)
    ]
    long = evaluate_reward_model(ScriptedReward(lambda prompt, text: len(text)), rows, probe_pairs=40).others
    assert long["length_correlation"].value == pytest.approx(1)
    marked = evaluate_reward_model(ScriptedReward(lambda prompt, text: text.count("- ")), rows, probe_pairs=40)
    assert marked.others["format_correlation"].value == pytest.approx(1)
    assert abs(marked.others["length_correlation"].value) < 0.9


def test_a_prompt_of_messages_is_removed_as_well():
    result = evaluate_reward_model(
        ScriptedReward(lambda prompt, text: prompt[-1]["content"] != "" and prompt[-1]["content"] in text),
        as_messages(pairs()),
        probe_pairs=10,
    )
    assert result.summary()["accuracy"].value == 1
    assert result.summary()["response_only_accuracy"].value == 0.5


def test_pairs_that_are_too_long_are_left_out_and_not_wrong():
    rows = [*pairs(10), BenchPair("long", "q", "bad" * 100, "q", 11, None, None)]
    result = evaluate_reward_model(ScriptedReward(judge, max_length=200), rows)
    assert result.summary()["accuracy"] == wilson(10, 10)
    assert math.isnan(result.margins[-1])
    with pytest.raises(DataError, match="All 11 pairs are too long"):
        evaluate_reward_model(ScriptedReward(judge, max_length=1), rows)


def test_a_score_that_is_no_number_is_not_called_long():
    texts = ("1", "nan", "2", "tooooo long")
    rows = [BenchPair(text, f"{text}?", text, "0", 1, None, None) for text in texts]

    def read(prompt, response):
        return float(response) if response[0] != "t" else 3.0

    result = evaluate_reward_model(ScriptedReward(read, max_length=5), rows)
    assert result.unscored == (1, 1)
    assert result.summary()["accuracy"] == wilson(2, 2)
    with pytest.raises(DataError, match=r"1 of 1 pairs are given no finite number by the model\. Look for nan"):
        evaluate_reward_model(ScriptedReward(read, max_length=5), rows[1:2])
    both = r"1 of 2 pairs are too long to be scored and 1 of 2 pairs are given no finite number by the model\."
    with pytest.raises(DataError, match=both):
        evaluate_reward_model(ScriptedReward(read, max_length=5), rows[1::2])


@pytest.mark.parametrize("pairwise", [False, True])
def test_a_model_knows_what_it_reads_and_gives_no_infinite_score(pairwise):
    tokenizer = tiny_tokenizer()
    built = tiny_model(vocabulary=len(tokenizer)) if pairwise else tiny_reward_model()
    letter = tokenizer("z")["input_ids"][0]
    built.get_input_embeddings().weight.data[letter] = math.nan
    model = RewardModel(built, tokenizer, pairwise=pairwise, max_length=200, on_too_long="nan")
    margins = model.margins(["?"] * 3, ["a", "z", "a" * 300], ["b"] * 3)
    assert np.isnan(margins).tolist() == [False, True, True]
    assert [model.reads("?", text, "b") for text in ("a", "z", "a" * 300)] == [True, True, False]


def test_best_of_n_is_the_quality_of_what_is_chosen():
    rows = [Candidates(f"c{i}", "?", ("a", "bb", "ccc"), (0.0, 4.0, float(i)), i) for i in range(2)]
    result = evaluate_reward_model(ScriptedReward(lambda prompt, text: len(text)), [], rows)
    summary = result.summary()
    assert result.margins is None
    assert summary["best_of_1"].value == pytest.approx((4 / 3 + 5 / 3) / 2)
    assert summary["best_of_2"].value == pytest.approx(((4 + 0 + 0) / 3 + (4 + 1 + 1) / 3) / 2)
    assert summary["best_of_3"].value == pytest.approx(0.5)
    assert summary["best_of_3/oracle"].value == pytest.approx(4)
    assert set(result.differences(result)) == {"best_of_1", "best_of_2", "best_of_3"}


def test_probes_look_at_a_sample_that_the_seed_draws():
    model = ScriptedReward(judge)
    summary = evaluate_reward_model(model, pairs(), probe_pairs=7).summary()
    assert summary["accuracy"].n == 40
    assert summary["accuracy_drop/quoted"].n == 7


@pytest.mark.by_day("False")
@pytest.mark.parametrize("pairwise", [False, True])
def test_a_real_model_goes_through_every_probe(pairwise):
    tokenizer = tiny_tokenizer()
    model = tiny_model(max_position_embeddings=2048) if pairwise else tiny_reward_model()
    reward_model = RewardModel(model, tokenizer, pairwise=pairwise, batch_size=64)
    candidates = [Candidates("c", "question", ("a", "b", "c"), (0.0, 1.0, 2.0), 1)]
    result = evaluate_reward_model(
        reward_model, as_messages(pairs(4)), as_messages(candidates), probe_pairs=3,
        shortcuts=ShortcutSettings(phrases=("to be sure",), most_pairs=2),
    )  # fmt: skip
    values = {name: estimate.value for name, estimate in result.summary().items() if "correlation" not in name}
    assert np.isfinite(list(values.values())).all()
    assert {"accuracy/even", "response_only_accuracy", "best_of_3", "phrase_gain"} <= set(values)
