import pytest
from pair_recipe import fact_pairs, write_pair_recipe

from align.methods.rrpo.data import check as check_data
from align.methods.rrpo.data import load
from align.recipe.recipe import load_recipe

# "q0?" and "It is 12, yes." with the end: 3 + 15 tokens, of which the marked ones are the 10th and 11th.
PROMPT, RESPONSE, MARKED = 3, 15, (9, 11)


@pytest.fixture
def findings(tmp_path, tiny_model_folder):
    def check(rows=None, **changes):
        recipe = load_recipe(write_pair_recipe(tmp_path, tiny_model_folder, rows or fact_pairs(3), **changes))
        return [finding for finding in check_data(recipe, load(recipe), []) if finding.check == "lengths"]

    return check


def test_a_limit_that_fits_exactly_cuts_nothing(findings):
    (finding,) = findings(max_length=PROMPT + RESPONSE)
    assert finding.level == "ok"
    assert finding.numbers == {"audited": 3, "mean": 18, "max": 18}


def test_without_a_limit_nothing_is_cut(findings):
    (finding,) = findings(max_length=None)
    assert finding.level == "ok"


CUTS = {
    "the end": (PROMPT + RESPONSE - 1, "warning", "have an end without marks cut off"),
    "all but the marks": (MARKED[1], "warning", "have an end without marks cut off"),
    "half of the marks": (MARKED[1] - 1, "warning", "have some of their marked tokens cut off"),
    "all marks": (MARKED[0], "error", "have all their marked tokens cut off"),
    "all but one token": (PROMPT + 1, "error", "have all their marked tokens cut off"),
    "everything": (PROMPT, "error", "are cut off whole, because the prompt alone fills `max_length`"),
}


@pytest.mark.parametrize("case", CUTS)
def test_what_is_cut_off_is_said_with_the_rows(findings, case):
    limit, level, words = CUTS[case]
    (finding,) = findings(max_length=limit)
    assert finding.level == level
    assert f"3 of 3 pairs {words}" in finding.text
    assert "row 1 (p0), row 2 (p1), row 3 (p2)" in finding.text
    assert f"raise `max_length` from {limit}" in finding.text
    assert finding.numbers == {"rows": [1, 2, 3]}


@pytest.mark.parametrize("case", CUTS)
def test_where_bad_rows_are_skipped_it_stops_a_run_if_no_pair_is_left(findings, case):
    (finding,) = findings(max_length=CUTS[case][0], dataset={"on_bad_rows": "skip"})
    assert finding.level == CUTS[case][1]  # which training would refuse, since all three are lost
    assert "accept" not in finding.text


def test_marks_that_are_cut_off_matter_less_where_such_pairs_are_kept_whole(findings):
    (finding,) = findings(max_length=MARKED[0], on_missing_spans="whole")
    assert finding.level == "warning"


def test_one_long_row_among_many_is_found(findings):
    rows = fact_pairs(30)
    rows[20]["prompt"] = "why " * 20
    (finding,) = findings(rows, max_length=64)
    assert "1 of 30 pairs are cut off whole" in finding.text
    assert "row 21 (p20)" in finding.text


def test_only_the_first_rows_are_named(findings):
    (finding,) = findings(fact_pairs(9), max_length=PROMPT)
    assert "row 5 (p4) and 4 more" in finding.text


def test_a_limit_beyond_the_window_is_an_error_where_a_pair_needs_it(findings):
    rows = fact_pairs(3)
    rows[1]["prompt"] = "x" * 600
    assert {f.level for f in findings(rows, max_length=None)} == {"error"}
    (error,) = [f for f in findings(rows, max_length=1024) if f.level == "error"]
    assert "Set `max_length: 512` or less" in error.text
    assert [f.level for f in findings(max_length=1024)] == ["ok"]


@pytest.mark.parametrize("limit", [PROMPT, MARKED[0], MARKED[1] - 1, 18])
@pytest.mark.parametrize("messages", [False, True])
def test_plain_dpo_is_cut_at_the_end_it_asks_for(findings, limit, messages):
    settings = {"spans": "whole", "kl_coef": 0.0, "truncation_mode": "keep_end"}
    found = findings(fact_pairs(3, messages=messages), max_length=limit, **settings)
    assert "error" not in {finding.level for finding in found}
