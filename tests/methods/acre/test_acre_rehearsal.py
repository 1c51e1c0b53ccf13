import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import align
from align.errors import UserError
from align.methods.acre.rehearsal import _say_second
from align.rehearsal.record import Rehearsed


def of(found, name):
    return next(each.estimate for each in found.measures if each.name == name)


def table(found, title):
    return next(each for each in found.tables if each.title == title)


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory):
    return align.rehearse("acre/quickstart", out=tmp_path_factory.mktemp("out"), num_prompts=6)


def test_second_answers_are_those_of_the_trainer_and_cases_are_paid_as_the_recipe_says(rehearsed):
    found = rehearsed.record.found
    assert of(found, "asked_again").value == 1
    assert 0 < of(found, "second_differs").value < 1
    rows = {row[0]: row[1:] for row in table(found, "Both answers").rows}
    assert rows["both"][1] == "1"
    assert rows["neither"][1] in ("0", "nan")
    assert rows["second_only"][1] in ("0.2", "nan")
    assert sum(int(share.rstrip("%")) for share, _ in rows.values()) in range(98, 103)
    assert not [each for each in rehearsed.findings if each.check == "second pass"]


def test_nothing_is_written_beside_the_rehearsal(rehearsed):
    names = sorted(path.name for path in rehearsed.page.parent.iterdir())
    assert names == ["cache", "rehearsal.html", "rehearsal.json"]
    record = json.loads((rehearsed.page.parent / "rehearsal.json").read_text())
    assert not Path(record["recipe"]).exists()
    assert record["seconds"]["second pass"] > 0


def test_a_model_without_traces_cannot_be_asked_again(tiny_recipe, tmp_path):
    result = align.rehearse(tiny_recipe(), out=tmp_path / "out", num_prompts=2)
    (finding,) = [each for each in result.findings if each.check == "second pass"]
    assert finding.level == "error"
    assert finding.text.startswith("A second answer can be asked of 0% of the completions")


def test_an_endpoint_gives_no_second_answer(tmp_path):
    with pytest.raises(UserError, match="letter by letter"):
        align.rehearse("acre/quickstart", out=tmp_path, endpoint="http://127.0.0.1:1/v1")


def twice(second, permutation="BA"):
    """Makes what a trainer hands over: first answer A, second ones as given."""
    cases = {0: "both", 1: "first_only"}
    return SimpleNamespace(
        table=[{"outcome": cases[each], "permutation": permutation} for each in second],
        columns=[{"first_choice": 0, "second_choices": [each]} for each in second],
    )


@pytest.mark.parametrize(("permutation", "words"), [("BA", "take that away"), ("AB", "miss most of that")])
def test_answers_that_keep_their_letter_are_told_from_others(permutation, words):
    found = Rehearsed()
    _say_second(found, twice([1] * 32, permutation), np.ones((4, 8)))
    (finding,) = found.findings
    assert words in finding.text  # in `BA` the other option stands where the first answer stood
    assert of(found, "second_differs").value == 1


def test_answers_that_agree_say_that_grpo_would_do():
    found = Rehearsed()
    _say_second(found, twice([0] * 320), np.ones((40, 8)))
    (finding,) = found.findings
    assert finding.fix == "--second_pass off"
