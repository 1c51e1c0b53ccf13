import pytest

from align.errors import UserError
from align.methods.rrpo.augmentation.sources import ModelInput, Source, check_source
from align.methods.rrpo.augmentation.verdicts import ContainsReference, RewardCheck, contains

JUDGE = """\
import asyncio

turns = asyncio.Semaphore(1)

def exact(completions, gold, **kwargs):
    texts = [each if isinstance(each, str) else each[0]["content"] for each in completions]
    return [None if not g else float("nan") if g == "?" else float(t == g) for t, g in zip(texts, gold)]

async def patient(completions, prompts, **kwargs):
    async def judge(prompt):
        async with turns:
            await asyncio.sleep(0)
            return 0.5 if prompt == "a?" else 0.49

    return await asyncio.gather(*map(judge, prompts))

def needs(completions, colour, **kwargs):
    return [1.0] * len(completions)
"""


def source(reference="Paris", prompt="a?", **columns):
    columns = {"prompt": prompt, "reference": reference, **columns}
    return Source("1", ModelInput(prompt), reference, (), columns, row=1)


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("It is PARIS!", "Paris"),
        ("The pacific ocean.", "the Pacific Ocean"),
        ("about 12,500 people", "12500"),
        ("new\nyork", "New York"),
        ("它在巴黎附近", "巴黎"),
        ("The grade is A.", "A"),
        ("x = +", "+"),
        ("It is \u22125.0.", "-5"),
        ("It is minus .50", "-0.5"),
        ("From 3-5 on, of 2020-01-05.", "5"),
        ("\u7d045\u500b", "5"),
    ],
)
def test_a_phrase_is_found_as_whole_words(text, phrase):
    assert contains(text, phrase)


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("It is -5.", "5"),
        ("It is 5.", "-5"),
        ("1.5 km", "5"),
        ("0.5", "0"),
        ("A Parisian", "Paris"),
        ("125000", "12,500"),
        ("York New", "New York"),
        ("", "Paris"),
        ("eight", "8"),
    ],
)
def test_other_words_are_no_match(text, phrase):
    assert not contains(text, phrase)


def test_the_default_check_looks_for_each_rows_own_reference():
    assert ContainsReference().are_right([source("Paris"), source("Rome")], ["Rome", "Rome"]) == [False, True]


@pytest.mark.parametrize(
    ("response", "verdict"),
    [
        ("C", True),
        ("c)", True),
        ("**C**", True),
        ("The answer is C.", True),
        ("Answer: C", True),
        (r"Thus $\boxed{\text{C}}$.", True),
        ("<think>Rust needs oxygen.</think><answer>c</answer>", True),
        ("C. Iron, as gold never rusts.", True),
        ("A metal such as iron.", True),
        ("A", False),
        ("The answer is a.", False),
        ("Option (B), tin.", False),
        ("A or B: the answer is B.", False),
        ("A metal such as gold.", False),
        ("I said it is gold.", False),
        ("The answer is E.", False),
        ("A or C", None),
        ("C, not A", None),
        ("It isn't option C.", None),
        ("Option C is wrong.", None),
        ("Vitamin C", None),
        ("The answer is (A) iron.", None),
        ("It is A: Iron.", None),
        ("iron, A", None),
        ("The answer is C, gold.", None),
        ("<think>Gold rusts.</think><answer>C</answer>", None),
    ],
)
def test_where_a_row_has_options_the_letter_counts_and_a_contradiction_gets_no_verdict(response, verdict):
    row = {"prompt": "Which metal rusts?", "reference": "iron", "options": ["gold", "tin", "iron", "zinc"]}
    assert ContainsReference().are_right([check_source(row, 1, "q")], [response]) == [verdict]


@pytest.mark.parametrize(
    ("options", "reference", "response", "verdict"),
    [
        (["G", "C", "T"], "C", "B", True),
        (["G", "C", "T"], "C", "T", False),
        (["G", "C", "T"], "C", "C", None),
        (["iron", "gold", "Both A and B"], "Both A and B", "Both A and B.", True),
        (["iron", "gold", "Both A and B"], "Both A and B", "C. both A and B", True),
        (["iron", "gold", "Both A and B"], "iron", "C. Both A and B", False),
    ],
)
def test_letters_in_the_texts_of_options_are_told_apart(options, reference, response, verdict):
    row = {"prompt": "Which?", "reference": reference, "options": options}
    assert ContainsReference().are_right([check_source(row, 1, "q")], [response]) == [verdict]


def test_a_reward_judges_with_the_columns_of_the_rows(tmp_path):
    (tmp_path / "judge.py").write_text(JUDGE)
    check = RewardCheck(f"{tmp_path}/judge.py:exact", conversational=True)
    rows = [source(gold=gold) for gold in ("Paris", "Rome", "", "?")]
    check.try_out(rows[:3])
    assert check.are_right(rows, ["Paris"] * 4) == [True, False, None, None]


def test_a_reward_may_be_a_coroutine_and_half_a_point_is_right(tmp_path):
    (tmp_path / "judge.py").write_text(JUDGE)
    check = RewardCheck(f"{tmp_path}/judge.py:patient", conversational=False)
    rows = [source(), source(prompt="b?")]
    check.try_out(rows)
    for _ in range(2):
        assert check.are_right(rows, ["x", "y"]) == [True, False]


def test_a_reward_that_cannot_judge_the_rows_is_refused_before_anything_is_sampled(tmp_path):
    (tmp_path / "judge.py").write_text(JUDGE)
    with pytest.raises(UserError, match="needs a column `colour`"):
        RewardCheck(f"{tmp_path}/judge.py:needs", conversational=False).try_out([source()])
    with pytest.raises(UserError, match="Unknown reward 'accurracy'"):
        RewardCheck("accurracy", conversational=False)
