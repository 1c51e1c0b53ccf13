"""The forms of prompt and responses are tested with preference pairs, which share their rules."""

import pytest

from align.data import reward_pair_to_row
from align.data.pairs.reward_pairs import CAUSAL, NEUTRAL, check_reward_pair
from align.data.problems import BadRow

TEXT = {"prompt": "Capital of France?", "chosen": "It is Paris.", "rejected": "It is Rome."}
USER = {"role": "user", "content": "Capital of France?"}
TALK = {
    "prompt": [USER],
    "chosen": [{"role": "assistant", "content": "It is Paris."}],
    "rejected": [{"role": "assistant", "content": "It is Rome."}],
}
IMPLICIT = {side: [USER, *TALK[side]] for side in ("chosen", "rejected")}


@pytest.mark.parametrize(("row", "prompt"), [(TEXT, "Capital of France?"), (TALK, [USER]), (IMPLICIT, [USER])])
def test_every_form_gives_the_prompt_and_the_texts(row, prompt):
    pair = check_reward_pair(row)
    assert (pair.prompt, pair.chosen, pair.rejected) == (prompt, "It is Paris.", "It is Rome.")
    assert (pair.id, pair.tie, pair.source, pair.attribute) == ("", False, "preference", None)


@pytest.mark.parametrize(
    ("columns", "tie", "source"),
    [
        ({"tie": None, "source": None}, False, "preference"),
        ({"tie": True}, True, "preference"),  # a person may find no answer better
        ({"source": "degrade"}, False, "degrade"),
        ({"tie": True, "source": "paraphrase"}, True, "paraphrase"),
        ({"tie": True, "source": "length_twins"}, True, "length_twins"),
        ({"source": 7}, False, "7"),
    ],
)
def test_a_row_says_whether_it_is_a_tie_and_where_it_is_from(columns, tie, source):
    pair = check_reward_pair(TEXT | columns)
    assert (pair.tie, pair.source) == (tie, source)


@pytest.mark.parametrize(("cell", "tie"), [("true", True), ("True", True), ("false", False), ("FALSE ", False)])
def test_a_tie_is_a_word_where_everything_is_text(cell, tie):
    assert check_reward_pair(TEXT | {"tie": cell}, untyped=True).tie is tie


def test_tags_and_other_columns_mean_nothing_here():
    pair = check_reward_pair(TEXT | {"chosen": "<MASK>Paris</MASK>", "chosen_spans": "odd", "origin": 3})
    assert pair.chosen == "<MASK>Paris</MASK>"


@pytest.mark.parametrize(("value", "attribute"), [("tone", "tone"), ("", None), (3, None)])
def test_an_attribute_is_only_shown_and_stops_nothing(value, attribute):
    assert check_reward_pair(TEXT | {"attribute": value}).attribute == attribute


@pytest.mark.parametrize("row", [TEXT, TALK, IMPLICIT | {"id": 7, "tie": True}, TEXT | {"source": "upgrade"}])
def test_a_row_made_from_a_pair_gives_the_pair_again(row):
    pair = check_reward_pair(row)
    again = reward_pair_to_row(pair)
    assert check_reward_pair(again) == pair
    assert isinstance(again["chosen"], str) == isinstance(pair.prompt, str)


BAD = {
    "equal in a tie": (TEXT | {"rejected": "It is Paris.", "tie": True}, "rejected", "chosen and rejected are equal"),
    "blank answer of a tie": (TEXT | {"rejected": " ", "tie": True}, "rejected", "the response is missing or empty"),
    "tie as number": (TEXT | {"tie": 1}, "tie", "`tie` is neither true nor false"),
    "tie as share": (TEXT | {"tie": 0.5}, "tie", "`tie` is neither true nor false"),
    "tie as word": (TEXT | {"tie": "true"}, "tie", "`tie` is neither true nor false"),
    "blank source": (TEXT | {"source": ""}, "source", "the source is neither a text nor a number"),
    "list as source": (TEXT | {"source": ["upgrade"]}, "source", "the source is neither a text nor a number"),
    "margin as text": (TEXT | {"margin": "0.5"}, "margin", "the margin is not a finite number"),
    "margin of a tie": (TEXT | {"margin": 0.5, "tie": True}, "margin", "a tie has a margin"),
    "videos": (TALK | {"videos": ["a.mp4"]}, "videos", "`videos` is not read with preference pairs"),
} | {
    f"{name} with an order": (TEXT | {"source": name}, "tie", f"a pair of the source {name} has no order")
    for name in NEUTRAL
} | {
    f"{name} as a tie": (TEXT | {"source": name, "tie": True}, "tie", f"a pair of the source {name} has an order")
    for name in CAUSAL
}  # fmt: skip


@pytest.mark.parametrize(("row", "column", "rule"), BAD.values(), ids=BAD.keys())
def test_a_bad_row_is_reported_with_its_column_and_a_remedy(row, column, rule):
    with pytest.raises(BadRow) as bad:
        check_reward_pair(row)
    assert (bad.value.column, bad.value.rule) == (column, rule)
    assert bad.value.remedy.endswith(".")


def test_a_word_that_is_no_truth_is_refused_in_a_table_of_texts_too():
    with pytest.raises(BadRow, match="neither true nor false"):
        check_reward_pair(TEXT | {"tie": "yes"}, untyped=True)
