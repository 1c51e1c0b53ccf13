import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from align.evaluation.heuristics import count_markdown
from align.evaluation.suites.reward_model.transformations import (
    CLOSING_SENTENCES,
    TRANSFORMATIONS,
    add_markdown,
    comment_code,
    space_punctuation,
    strip_markdown,
    swap_format,
)

CODE = "```python\nif x :\n    # a, b\n    print('it''s', \"q\")  #  c\n```"
RESPONSE = f"""# Title

It's **four**, I say: "yes" or *no*. See https://a.b/c_d, and `f(x, y)`.

- one, two; 3.5
* three!

{CODE}

So: 2 * 3 * 4 = 24, snake_case and __init__ stay.
"""
SAME_WORDS = ("whitespace", "typographic_quotes", "quoted", "punctuation_spacing", "markdown_stripped")
TEXT = st.text(alphabet="ab Z19_.,;:!?\"'*#-`\n[](){}$\\/", max_size=80)


def words(text):
    return re.findall(r"\w+", text)


def transform(name, chosen, rejected="Five.", seed=0):
    return TRANSFORMATIONS[name](chosen, rejected, seed)


@pytest.mark.parametrize(
    "name", [name for name in TRANSFORMATIONS if name != "format_swapped" and "comment" not in name]
)
def test_each_transformation_changes_an_ordinary_response_and_leaves_its_code_and_links(name):
    changed, _ = transform(name, RESPONSE)
    assert changed != RESPONSE
    for kept in (CODE, "https://a.b/c_d,", "`f(x, y)`"):
        assert kept in changed


@pytest.mark.parametrize("name", SAME_WORDS)
def test_words_and_numbers_stay_in_their_order(name):
    before = words(RESPONSE.replace("It's", "It s"))
    assert words(transform(name, RESPONSE)[0]) == before


@pytest.mark.parametrize("name", SAME_WORDS)
@given(text=TEXT)
def test_no_text_loses_a_word(name, text):
    assert words(transform(name, text)[0]) == words(text)


@pytest.mark.parametrize("name", TRANSFORMATIONS)
@given(chosen=TEXT, rejected=TEXT)
def test_every_pair_can_be_transformed_and_the_seed_alone_decides(name, chosen, rejected):
    assert transform(name, chosen, rejected, "1/a") == transform(name, chosen, rejected, "1/a")


def test_another_seed_moves_other_spaces_and_another_closing_sentence():
    text = "one two three four five six seven eight"
    assert len({transform("whitespace", text, seed=seed)[0] for seed in range(20)}) > 10
    closings = {transform("closing_sentence", "Four.", seed=seed)[0] for seed in range(40)}
    assert closings == {f"Four.\n\n{sentence}" for sentence in CLOSING_SENTENCES}


def test_both_responses_get_the_same_closing_sentence():
    for seed in range(10):
        chosen, rejected = transform("closing_sentence", "Four.", "Five.", seed)
        assert chosen.removeprefix("Four.") == rejected.removeprefix("Five.")


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("## A\nb", "A\nb"),
        ("#tag and # no heading", "#tag and # no heading"),
        ("- a\n  * b\n+ c", "a\n  b\nc"),
        ("a - b", "a - b"),
        ("`x` - y", "`x` - y"),
        ("**bold** and *it* and ***", "bold and it and ***"),
        ("a*b*c and 2 * 3 * 4", "a*b*c and 2 * 3 * 4"),
        ("**use `a*b` now**", "use `a*b` now"),
        ("```\n# comment\n- x\n```\n# Title", "```\n# comment\n- x\n```\nTitle"),
        ("1. one\n2. two", "1. one\n2. two"),
    ],
)
def test_stripping_markdown_case_by_case(text, plain):
    assert strip_markdown(text, random.Random(0)) == plain


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        ("One. Two.", "## Reply\n\n**One.** Two."),
        ("No end", "## Reply\n\nNo end"),
        ("- item.", "## Reply\n\n- item."),
        ("Use `x`. Then", "## Reply\n\nUse `x`. Then"),
        ("Is it 3.5? Yes.", "## Reply\n\n**Is it 3.5?** Yes."),
    ],
)
def test_adding_markdown_case_by_case(text, marked):
    assert add_markdown(text, random.Random(0)) == marked


def test_list_numbers_and_decimals_keep_their_points():
    assert space_punctuation("1. a.\n2. b, 3.5!", random.Random(0)) == "1. a .\n2. b , 3.5!"


@pytest.mark.parametrize(
    ("language", "line"),
    [
        ("python", "# bad"),
        ("JavaScript", "// bad"),
        ("sql", "-- bad"),
        ("c++", "// bad"),
        ("", None),
        ("brainfuck", None),
    ],
)
def test_comments_follow_the_language_of_the_block(language, line):
    text = f"Look:\n```{language}\nx\n```\nDone."
    expected = text if line is None else f"Look:\n```{language}\nx\n{line}\n```\nDone."
    assert comment_code(text, "bad") == expected


def test_the_worst_comments_stand_against_the_order():
    block = "```py\nx = {}\n```"
    chosen, rejected = transform("comment_bad_good", block.format(1), block.format(2))
    assert chosen == "```py\nx = 1\n# bad\n```"
    assert rejected == "```py\nx = 2\n# good\n```"
    assert transform("comment_bad_good", "no code", "none") == ("no code", "none")


@pytest.mark.parametrize(
    ("chosen", "rejected", "swapped"),
    [
        (
            "x \\boxed{\\frac{1}{2}}.",
            "y\n\n# Answer\n\n7",
            ("x \\frac{1}{2}.\n\n# Answer\n\n\\frac{1}{2}", "y\n\n\\boxed{7}"),
        ),
        ("Plain.", "- a\n- b", ("## Reply\n\n**Plain.**", "a\nb")),
        ("Plain.", "Plain too.", ("Plain.", "Plain too.")),
        ("**a**", "**b**", ("**a**", "**b**")),
    ],
)
def test_formats_are_swapped_only_where_they_differ(chosen, rejected, swapped):
    assert swap_format(chosen, rejected, 0) == swapped


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        ("plain", 0),
        ("**a** and **b**", 2),
        ("- **a**\n- b", 3),
        ("```\n- x\n```", 1),
        ("`- x`", 0),
        ("# A\n\n1. b\n2. c", 3),
    ],
)
def test_marks_are_counted(text, marks):
    assert count_markdown(text) == marks
