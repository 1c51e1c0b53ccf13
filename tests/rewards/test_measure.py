"""Error rates of rewards: writings that are surely right or wrong, their intervals, and what is said where none is."""

import json
import math
import time

import numpy as np
import pytest
from scipy.stats import binomtest
from typer.testing import CliRunner

from align.assets import shipped_recipes
from align.cli.app import app
from rewards.attacks.paying import Unusable
from rewards.error_rates import WRITINGS, Labelled, Rate, corrected, measure, measure_apart, rate_of, read_rates
from rewards.error_rates.golds import may_be_same, read_golds
from rewards.reading.numbers import read_number
from rewards.running.contract import Limits, LocalSubject, RewardSpec, Settings
from rewards.scoring.accuracy import accuracy
from rewards.scoring.number_accuracy import number_accuracy
from rewards.scoring.text_accuracy import text_accuracy

FRACTIONS = [{"prompt": f"How much of {i}?", "answer": f"{i}/{i + 3}"} for i in range(1, 25)]
SUMS = [{"prompt": f"What is {i} * 37?", "answer": str(37 * i)} for i in range(3, 27)]
CAPITALS = [{"prompt": f"Capital of {i}?", "answer": name} for i, name in enumerate(
    ("Paris", "London", "Oslo", "Rome", "Madrid", "Berlin", "Vienna", "Prague", "Lisbon", "Warsaw", "Dublin", "Athens")
)]  # fmt: skip
QUESTIONS = [
    {"prompt": f"Which is {i}?", "options": [f"metal {i}{c}" for c in "abcd"], "answer": i % 4} for i in range(12)
]
OWN = """
import time

def exact(completions, highlights, **kwargs):
    return [float(text.strip() == gold) for text, gold in zip(completions, highlights)]

def length(completions, **kwargs):
    return [float(len(text)) for text in completions]

def hangs(completions, highlights, **kwargs):
    while any("**" in text for text in completions):
        time.sleep(1)
    return exact(completions, highlights)
"""
ODD = (  # apart by |
    "|0|-0|00|1/0|0/5|-1/2|\u22123|+4|.5|5.|1e400|1,23|$|%|50%|½|1½|٣|NaN|inf|[|[]|{}|[1, 2|a,b|a,,b|(1, 2)|yes|No"
    "|\x00|\ud83d|a\nb|\\frac{1}{2}|\\boxed{3}|%s|not 3|The The|A|日本|İstanbul|1.2.3|3 km"
    "|5kg|$-3|€5|12 €|02139|1 000 000"
    '|2001|100%|0.10|3 x 10^3|#### 5|C++|{"a":{"b":[1]}}'
)


def exact(completions, answer, **kwargs):
    return [float(text.strip() == str(gold)) for text, gold in zip(completions, answer, strict=True)]


def measured(reward, rows, gold="", **how):
    return measure(LocalSubject(reward), Settings(rows, "text", max_seconds=600.0, gold=gold), **how)


def shares(errors):
    return {kind.example.kind: kind.rate.share for kind in errors.kinds}


def written(text, prompt="?", **row):
    rows = [{"prompt": prompt, "answer": text, **row}, {"prompt": "!", "answer": "777"}]
    gold = read_golds(rows, [text, "777"], "same")[0]
    found = [(each.name, each.is_right, each.write(gold)) for each in WRITINGS]
    right, wrong = ({n: t for n, is_right, t in found if is_right is side and t is not None} for side in (True, False))
    return right, wrong


@pytest.mark.parametrize(
    ("gold", "right", "wrong"),
    [
        ("1/2", {"decimal": "0.5", "latex_fraction": r"\frac{1}{2}", "percent": "50%"}, {"turned_over": "2/1"}),
        ("-0.25", {"fraction": "-1/4", "unicode_minus": "\u22120.25"}, {"sign_turned": "0.25", "ten_times": "-2.5"}),
        ("12,345 km", {"thousands": "12345 km", "spaces": "12,345km"}, {"other_unit": "12,345 candela"}),
        ("120", {"trailing_zeros": "120.00"}, {"one_more": "121", "one_less": "119", "digits_swapped": "210"}),
        ("The dog", {"article": "dog", "capitals": "THE DOG"}, {"denied": "not The dog", "another": "777"}),
        ('{"a": 1, "b": 2}', {"json_order": '{"b": 2, "a": 1}'}, {"json_missing": '{"a": 1}'}),
        ("[1, 2]", {"list_spaces": "[1,2]"}, {"item_missing": "[1]"}),
        ("yes", {}, {"yes_or_no": "no"}),
        ("München", {"capitals": "MÜNCHEN", "full_stop": "München."}, {"denied": "not München"}),
    ],
)
def test_an_answer_is_written_in_other_ways(gold, right, wrong):
    for expected, found in zip((right, wrong), written(gold), strict=True):
        assert expected.items() <= found.items(), found


@pytest.mark.parametrize(
    ("gold", "never"),
    [
        ("02139", {"trailing_zeros", "thousands", "one_more", "full_stop"}),  # a code
        ("1999", {"trailing_zeros", "thousands"}),  # a year
        ("NaCl", {"lower_case", "capitals"}),  # its case tells
        ("1/3", {"decimal", "percent"}),  # has no end
        ("3.10", {"trailing_zeros"}),
        ("yes", {"denied"}),
        ("def f(x):\n    return 2", {"full_stop", "lower_case", "denied"}),
    ],
)
def test_what_somebody_could_doubt_is_not_written(gold, never):
    right, wrong = written(gold)
    assert not never & {*right, *wrong}


def test_a_prompt_that_asks_for_a_form_gets_no_other():
    assert "decimal" not in written("1/2", "Give it as a fraction.")[0]
    assert "capitals" not in written("Paris", "Mind upper-case letters.")[0]
    assert "capitals" in written("Paris", "What is the capital of France?")[0]
    right, wrong = written("Paris", same=["City of Light", "777"])
    assert right["synonym"] == "City of Light"
    assert "another" not in wrong  # the other row's answer is a synonym here
    assert "another" not in written("Paris", answer=["Paris", "777"])[1]  # or stands in a list with the right one


def test_numbers_stay_equal_in_right_writings_and_in_no_wrong_one():
    drawn = np.random.default_rng(0)
    for _ in range(300):
        a, b = (int(drawn.integers(1, 4000)) for _ in range(2))
        gold = str(drawn.choice([f"{a}/{b}", f"-{a}.{b}", f"{a},{b:03}"[-9:], f"{a} km", f"{a}%", str(-a)]))
        if read_number(gold) is None:
            continue
        right, wrong = written(gold)
        read = {name: read_number(text) for name, text in right.items() if name != "boxed"}
        values = {each.value / (100 if each.unit == "%" and "%" not in gold else 1) for each in read.values()}
        assert values == {read_number(gold).value}, (gold, right)
        assert not [text for name, text in wrong.items() if name != "other_unit" and may_be_same(gold, text)
                    and name not in ("denied", "one_or_other", "other_or_one", "nothing")], (gold, wrong)  # fmt: skip


@pytest.mark.parametrize(
    "gold",
    [*ODD.split("|"), "x" * 5000, "9" * 400, None, ["a", "b"], [], {"a": 1}, 3, 2.5, True, float("nan"), 10**400],
)
def test_odd_answers_raise_nothing_and_are_measured_or_refused_in_words(gold):
    if isinstance(gold, str):
        right, wrong = written(gold)
        assert not {*right.values()} & {*wrong.values()}
    rows = [{"prompt": f"{i}?", "answer": gold if i % 3 else f"word{i}"} for i in range(9)]
    found = measured(exact, rows)
    assert found.unclear or found.made.fnr.of, found


def test_an_exact_match_refuses_what_means_the_same():
    found = measured(exact, FRACTIONS).made
    assert (found.fpr.share, shares(found)["plain"], shares(found)["decimal"]) == (0.0, 0.0, 1.0)
    worst = found.kinds[0]
    assert (worst.example.is_right, worst.rate.share, worst.example.pay) == (True, 1.0, 0.0)
    assert found.fnr.low < found.fnr.share < found.fnr.high
    lenient = shares(measured(number_accuracy, FRACTIONS).made)
    assert [lenient[name] for name in ("decimal", "percent", "spaces", "latex_fraction")] == [0.0] * 4


def test_a_substring_reward_pays_two_answers_and_a_denial():
    found = shares(
        measured(
            lambda completions, answer, **_: [float(a in c) for c, a in zip(completions, answer, strict=True)], SUMS
        ).made
    )
    assert [found[name] for name in ("one_or_other", "other_or_one", "denied", "sign_turned")] == [1.0] * 4
    assert found["nothing"] == found["one_more"] == 0.0


def test_options_are_written_by_letter_and_by_text():
    found = shares(measured(accuracy, QUESTIONS).made)
    assert [found[name] for name in ("option_text", "option_brackets", "option_both", "another", "denied")] == [
        0.0
    ] * 5
    assert shares(measured(text_accuracy, CAPITALS).made)["capitals"] == 0.0


def test_a_text_is_accepted_from_halfway_between_right_and_wrong():
    def graded(completions, answer, **kwargs):
        same = exact(completions, answer)
        return [3.0 if s else 2.2 if c.endswith(".") else 0.5 for s, c in zip(same, completions, strict=True)]

    found = measured(graded, SUMS)
    assert (found.made.right_from, shares(found.made)["full_stop"], shares(found.made)["bold"]) == (1.75, 0.0, 1.0)
    assert shares(measured(graded, SUMS, right_from=2.5).made)["full_stop"] == 1.0


def test_a_reward_that_refuses_most_plain_answers_is_measured_and_one_of_length_is_not():
    def picky(completions, answer, **kwargs):
        return [same * (int(a) % 3 == 0) for same, a in zip(exact(completions, answer), answer, strict=True)]

    assert shares(measured(picky, SUMS).made)["plain"] == pytest.approx(2 / 3)
    assert "--form" in measured(lambda completions, **_: [float(len(c)) for c in completions], SUMS).unclear
    assert "--gold" in measured(lambda completions, **_: [1.0] * len(completions), [{"prompt": "?"}] * 9).unclear
    assert "--form" in measured(exact, SUMS[:4]).unclear  # too few to tell


def test_a_gold_of_another_name_and_a_form_of_ones_own_are_given():
    rows = [{"prompt": row["prompt"], "key": row["answer"]} for row in SUMS]

    def own(completions, key, **kwargs):
        return [float(c == f"<<{k}>> so") for c, k in zip(completions, key, strict=True)]

    assert "--gold" in measured(own, rows).unclear
    assert "--form" in measured(own, rows, gold="key").unclear
    assert shares(measured(own, rows, gold="key", form="<<{}>> so").made)["plain"] == 0.0


def test_what_gets_no_number_is_counted_and_said():
    def strict(completions, answer, **kwargs):
        return [None if a == "111" else float(float(c.strip(" $")) == float(a)) if "o" not in c else None
                for c, a in zip(completions, answer, strict=True)]  # fmt: skip

    found = measured(strict, SUMS)
    assert "1 of 24 rows were left out" in " ".join(found.problems)
    assert found.made.no_number >= 23 * 3  # two with "or", "I do not know", and those that raise
    assert (shares(found.made)["one_or_other"], shares(found.made)["bold"]) == (0.0, 1.0)


def test_what_is_compared_within_a_batch_meets_plain_answers_there():
    def best_of_batch(completions, answer, **kwargs):
        same = exact(completions, answer)
        return [value if sum(same) else 0.9 for value in same]

    best_of_batch.whole_batch = True
    found = measured(best_of_batch, SUMS).made
    assert (found.right_from, shares(found)["nothing"]) == (0.5, 0.0)


def test_rows_are_cut_by_seconds_and_copies_of_a_row_are_one():
    def slow(completions, answer, **kwargs):
        time.sleep(0.01)
        return exact(completions, answer)

    found = measure(LocalSubject(slow), Settings(SUMS, "text", max_seconds=0.01))
    assert found.problems == ["16 of 24 rows were used: raise `--max_seconds`."]
    once, often = measured(exact, SUMS).made.fpr, measured(exact, SUMS * 4).made.fpr
    assert (once.rows, often.rows, often.high) == (24, 24, once.high)


def test_labelled_completions_have_rates_of_their_own():
    rows = [{"prompt": f"{i}?", "answer": "4"} for i in range(40)]
    labelled = [Labelled(row, "4" if i % 4 else "four", is_right=True) for i, row in enumerate(rows)]
    labelled += [Labelled(row, "5" if i % 10 else "4", is_right=False) for i, row in enumerate(rows)]
    found = measured(exact, rows, labelled=labelled).labelled
    assert (found.fnr.share, found.fpr.share, found.right_from) == (0.25, 0.1, 0.5)
    assert (
        "--right_from" in measured(lambda completions, **_: [1.0] * len(completions), rows, labelled=labelled).unclear
    )


@pytest.mark.parametrize(("hits", "of"), [(0, 20), (3, 20), (20, 20), (1, 1), (50, 100)])
def test_texts_that_stand_alone_have_the_exact_interval_or_a_wider_one(hits, of):
    exact_one = binomtest(hits, of).proportion_ci(method="exact")
    found = rate_of([True] * hits + [False] * (of - hits))
    assert found.low <= exact_one.low + 1e-9
    assert found.high >= exact_one.high - 1e-9
    if hits in (0, of):
        assert (found.low, found.high) == pytest.approx((exact_one.low, exact_one.high))


@pytest.mark.parametrize(
    ("rows", "share", "alike"), [(12, 0.1, 0.9), (30, 0.03, 0.5), (100, 0.3, 1.0), (60, 0.5, 0.0)]
)
def test_intervals_of_clustered_texts_cover_the_truth(rows, share, alike):
    drawn, covered = np.random.default_rng(1), 0
    for _ in range(400):
        sizes = drawn.integers(2, 12, rows)
        codes = np.repeat(np.arange(rows), sizes)
        own = drawn.random(len(codes)) < share
        hits = np.where(drawn.random(len(codes)) < alike, (drawn.random(rows) < share)[codes], own)
        found = rate_of(hits, codes)
        covered += found.low <= share <= found.high
    assert covered >= 0.93 * 400


def test_a_corrected_pass_rate_covers_the_true_one():
    drawn, covered = np.random.default_rng(2), 0
    for _ in range(300):
        passed, fpr, fnr = (rate_of(drawn.random(200) < p) for p in (0.3 * 0.8 + 0.7 * 0.1, 0.1, 0.2))
        found = corrected(passed, fpr, fnr)
        covered += found.low <= 0.3 <= found.high
    assert covered >= 0.93 * 300
    assert corrected(rate_of([True] * 9), Rate(0.1, 0, 0.2), Rate(0, 0, 0.1)).share == 1.0
    wide = corrected(rate_of([True, False]), Rate(0.4, 0.1, 0.8), Rate(0.4, 0.1, 0.8))
    assert (wide.low, wide.high) == (0.0, 1.0)
    with pytest.raises(ValueError, match=r"`fpr` \+ `fnr` is below 1, got 0.5 \+ 0.5"):
        corrected(wide, Rate(0.5, 0.4, 0.6), Rate(0.5, 0.4, 0.6))
    with pytest.raises(ValueError, match="right texts and wrong ones"):
        corrected(wide, Rate(math.nan, 0, 1), Rate(0.5, 0.4, 0.6))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(OWN)
    rows = [
        {"prompt": row["prompt"], "highlights": row["answer"], "completion": [row["answer"], "7"], "ok": [1, "false"]}
        | {"also": [f"the {row['answer']}th"]}
        for row in SUMS
    ]
    (tmp_path / "judged.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for row in rows:
        del row["completion"]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "bare.jsonl").write_text("".join(json.dumps({"prompt": row["prompt"]}) + "\n" for row in rows))
    return tmp_path


def run(*words):
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["rewards", "measure", *words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, " ".join(result.output.split())


GIVEN = ("--data", "rows.jsonl", "--gold", "highlights")


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("mine.py:exact", *GIVEN), 0, "wrong answers paid: 0 % [0, 14] (false positives;"),
        (("mine.py:exact", *GIVEN, "--fail_on", "fnr > 0.05"), 1, "which is fnr > 0.05."),
        (("mine.py:exact", *GIVEN, "--fail_on", "fpr > 0.05"), 0, "right answers refused"),
        (("mine.py:exact", *GIVEN, "--pass_rate", "31/512"), 0, "So the true pass rate is"),
        (
            ("mine.py:exact", "--data", "rows.jsonl"),
            0,
            "wrong answers paid: 0 % [0, 14] (false positives;",
        ),  # by exchanges
        (("mine.py:exact", *GIVEN, "--synonyms", "also"), 0, "a synonym that the row names"),
        (("mine.py:exact", *GIVEN, "--synonyms", "nowhere"), 1, "`--synonyms` names the column 'nowhere'"),
        (("mine.py:length", "--data", "bare.jsonl"), 2, "name it with `--gold COLUMN` (the rows have"),
        (("mine.py:length", *GIVEN), 2, "--labelled COMPLETION:LABEL"),
        (
            ("mine.py:exact", "--data", "judged.jsonl", "--labelled", "completion:ok"),
            0,
            "labelled",
        ),
        (("mine.py:exact", *GIVEN, "--labelled", "nowhere:ok"), 1, "names the column 'nowhere'"),
        (("mine.py:exact", *GIVEN, "--fail_on", "acc > 1"), 1, "as `fnr > 0.05`, got 'acc'"),
        (("mine.py:exact", *GIVEN, "--pass_rate", "5/2"), 1, "such as 310/512; got '5/2'"),
        (("mine.py:exact", *GIVEN, "--form", "no place"), 1, "`--form` must hold {}"),
        (("mine.py:none", *GIVEN), 1, "cannot be measured"),
        ((next(iter(shipped_recipes())), *GIVEN), 1, "is a recipe"),
        (("mine.py:exact",), 1, "`--data` is needed"),
    ],
)
def test_the_command_measures_in_a_process_of_its_own(folder, words, code, sentence):
    found, output = run(*words)
    assert (found, sentence in output) == (code, True), output


def test_rates_are_read_as_they_were_measured_and_correct_what_passes():
    one, other = ({"share": share, "low": 0.0, "high": 0.4, "hits": 1, "of": 9, "rows": 9} for share in (0.1, 0.2))
    made, labelled = ({"fpr": each, "fnr": one, "right_from": start} for each, start in ((one, 0.5), (other, 2.0)))
    found = read_rates({"found": {"made": made, "labelled": labelled}})
    assert (found.fpr.share, found.fnr.share, found.right_from) == (0.2, 0.1, 2.0)
    pays, rows = np.array([3.0, 1.0, np.nan, 3.0] * 10), np.arange(40)
    passed, right = found.right_share(pays, rows)
    assert (passed.share, passed.of) == (pytest.approx(2 / 3), 30)
    assert right.share == pytest.approx((2 / 3 - 0.2) / 0.7)
    assert found.right_share(np.full(3, np.nan), np.arange(3))[1].of == 0
    for wrong in ({}, {"found": None}, {"found": {"made": None}}, {"found": {"made": made | {"fpr": {"share": 1}}}}):
        with pytest.raises(ValueError, match="holds no error rates"):
            read_rates(wrong)
    with pytest.raises(ValueError, match="one of the two rates only"):
        read_rates({"found": {"made": made | {"fpr": one | {"share": None}}, "labelled": None}})


def test_json_has_all_and_a_hang_is_named(folder):
    code, output = run("mine.py:exact", *GIVEN, "--json")
    found = json.loads(output)["found"]
    assert (code, found["made"]["fpr"]["share"], found["made"]["fnr"]["rows"]) == (0, 0.0, 24)
    read = read_rates(json.loads(output))
    assert (read.fpr.share, read.fnr.high) == (0.0, found["made"]["fnr"]["high"])
    rows = [{"prompt": row["prompt"], "highlights": row["answer"]} for row in SUMS]
    spec = RewardSpec("mine.py:hangs", base_dir=folder)
    hung = measure_apart(spec, Settings(rows, "text", gold="highlights"), Limits(0.5))
    assert shares(hung.made)["bold"] == 1.0
    assert any("bold" in problem for problem in hung.problems)
    with pytest.raises(Unusable):
        measure_apart(RewardSpec("mine.py:none", base_dir=folder), Settings(rows, "text"), Limits(1.0))
