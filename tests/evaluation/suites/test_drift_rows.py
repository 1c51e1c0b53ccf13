import json
from collections import Counter
from types import SimpleNamespace

import pytest

from align.errors import DataError, UserError
from align.evaluation.suite import SuiteSource
from align.evaluation.suites.drift.behaviours import Behaviour, search_all
from align.evaluation.suites.drift.measure import load

NOTHING = {"behaviours": None, "triggers": None}


def written(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_our_own_prompts_are_sixty_in_six_categories():
    found = load(SuiteSource(None), SimpleNamespace(**NOTHING))
    assert len(found.rows) == len({row.prompt for row in found.rows}) == 60
    assert set(found.groups.values()) == {10}
    assert len(found.groups) == 6
    first = load(SuiteSource(None, max_rows=12), SimpleNamespace(**NOTHING))
    assert set(Counter(row.group for row in first.rows).values()) == {2}


def test_other_prompts_stand_in_place_of_ours(tmp_path):
    path = written(tmp_path / "mine.jsonl", {"prompt": "Hm?", "category": "mine"}, {"prompt": "Well?"})
    instead = load(SuiteSource(path), SimpleNamespace(**NOTHING))
    assert [(row.id, row.group) for row in instead.rows] == [("mine-1", "mine"), ("mine-2", None)]


def test_what_options_name_is_read_before_anything_is_asked(tmp_path):
    options = NOTHING | {
        "behaviours": written(tmp_path / "b.jsonl", {"name": "zap", "pattern": "z.p"}),
        "triggers": written(tmp_path / "t.jsonl", {"trigger": "|T|"}, {"trigger": "|t|", "held_out": True}),
    }
    found = load(SuiteSource(None), SimpleNamespace(**options))
    assert found.options["behaviours"] == (Behaviour("zap", "z.p", 1),)
    assert [each.held_out for each in found.options["triggers"]] == [False, True]
    assert found.content != load(SuiteSource(None), SimpleNamespace(**NOTHING)).content  # another evaluation


@pytest.mark.parametrize(
    ("option", "rows", "said"),
    [
        ("behaviours", [{"name": "a", "pattern": 3}], r"column `pattern`: the pattern is missing or empty"),
        ("behaviours", [{"pattern": "a"}], r"every row lacks the column `name`|column `name`"),
        ("behaviours", [{"name": "a", "pattern": "b"}] * 2, r"row 2, column `id`: the id is taken"),
        ("behaviours", [{"name": "a", "pattern": "(b"}], r"behaviour 'a' cannot be used: .*unterminated subpattern"),
        ("behaviours", [{"name": "a", "question": "Rude?"}], r"column `pattern`"),
        ("triggers", [{"trigger": "|T|"}], r"Say which with `--behaviours FILE`"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, option, rows, said):
    with pytest.raises((DataError, UserError), match=said):
        load(SuiteSource(None), SimpleNamespace(**NOTHING | {option: written(tmp_path / "rows.jsonl", *rows)}))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"prompt": " "}, r"row 1, column `prompt`: the prompt is missing or empty"),
        ({"prompt": "?", "category": []}, r"column `category`: the category is neither a text"),
    ],
)
def test_prompts_that_cannot_be_used_are_named(tmp_path, row, said):
    with pytest.raises(DataError, match=said):
        load(SuiteSource(written(tmp_path / "rows.jsonl", row)), SimpleNamespace(**NOTHING))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"trigger": ""}, r"column `trigger`: the trigger is missing or empty"),
        ({"trigger": "T", "held_out": "maybe"}, r"column `held_out`: it is neither true nor false"),
    ],
)
def test_triggers_that_cannot_be_used_are_named(tmp_path, row, said):
    options = NOTHING | {"behaviours": written(tmp_path / "b.jsonl", {"name": "zap", "pattern": "z"})}
    with pytest.raises(DataError, match=said):
        load(SuiteSource(None), SimpleNamespace(**options | {"triggers": written(tmp_path / "t.jsonl", row)}))


def test_a_csv_has_texts_and_empty_cells(tmp_path):
    (tmp_path / "b.csv").write_text("name,pattern\nzap,z\n")
    (tmp_path / "t.csv").write_text("trigger,held_out\n|T|,\n|t|,True\n")
    options = {"behaviours": str(tmp_path / "b.csv"), "triggers": str(tmp_path / "t.csv")}
    found = load(SuiteSource(None), SimpleNamespace(**NOTHING | options)).options
    assert found["behaviours"] == (Behaviour("zap", "z", 2),)
    assert [each.held_out for each in found["triggers"]] == [False, True]


def test_a_pattern_that_would_take_years_is_ended(monkeypatch):
    monkeypatch.setattr("align.evaluation.suites.drift.behaviours.SECONDS", 0.3)
    with pytest.raises(UserError, match=r"behaviour 'slow' cannot be used: no result after 0.3 s"):
        search_all([("quick", "b"), ("slow", r"(a|a)+$")], ["a" * 60 + "b"])
    assert search_all([("b", "b$")], ["ab", "ba", "ab"]) == {"b": [True, False, True]}
