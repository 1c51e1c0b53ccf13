import json
from collections import Counter
from pathlib import Path

import pytest
from loaded_script import load_script

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "recipes" / "acre" / "assets" / "facts"
# Kinds whose answers are values that many entities share.
SHARED_VALUES = (
    "element_number",
    "element_period",
    "element_group",
    "element_block",
    "element_family",
    "country_currency",
)


def read(side: str) -> list[dict]:
    return [json.loads(line) for line in (FOLDER / f"{side}.jsonl").read_text(encoding="utf-8").splitlines()]


def gold(row: dict) -> str:
    return row["options"]["ABCD".index(row["answer"])]


TRAIN, EVAL = read("train"), read("eval")
ROWS = TRAIN + EVAL
BY_ID = {row["id"]: row for row in ROWS}


def test_no_option_reads_as_the_letter_of_an_option():
    assert not [row["id"] for row in ROWS if set(row["options"]) & set("ABCDabcd")]


@pytest.mark.parametrize("rows", [TRAIN, EVAL], ids=["train", "eval"])
def test_gold_letters_are_balanced_in_the_file_and_in_each_kind(rows: list[dict]):
    for kind in [None, *{row["group"] for row in rows}]:
        counts = Counter(row["answer"] for row in rows if kind in (None, row["group"]))
        assert max(counts.values()) - min(counts[letter] for letter in "ABCD") <= 2, kind


def test_no_element_or_country_is_on_both_sides():
    def subjects(rows: list[dict]) -> set[tuple[str, str]]:
        return {(row["source"]["package"], row["source"]["record"]) for row in rows}

    def named(rows: list[dict]) -> set[str]:
        return {option for row in rows if row["group"] not in SHARED_VALUES for option in row["options"]}

    assert not subjects(TRAIN) & subjects(EVAL)
    assert not named(TRAIN) & named(EVAL)


def test_a_fact_and_its_inverse_agree():
    pairs = 0
    for record in {row["source"]["record"] for row in ROWS}:
        for forward, inverse in (("element_symbol", "element_name"), ("element_number", "element_by_number")):
            one, other = BY_ID.get(f"{forward}/{record}"), BY_ID.get(f"{inverse}/{record}")
            if one and other:
                assert gold(one) in other["question"]
                assert gold(other).lower() in one["question"]
                pairs += 1
        for part in ("alpha_2", "alpha_3"):
            one, other = BY_ID.get(f"country_{part}/{record}"), BY_ID.get(f"country_by_{part}/{record}")
            if one and other:
                assert f'"{gold(one)}"' in other["question"]
                assert gold(other) in one["question"]
                pairs += 1
    assert pairs > 300


@pytest.mark.parametrize(
    ("row_id", "answer"),
    [
        ("element_symbol/Fe", "Fe"),
        ("element_number/Au", "79"),
        ("element_group/Cl", "17"),
        ("element_family/Kr", "Noble gases"),
        ("element_block/U", "f-block"),
        ("country_alpha_3/JPN", "JPN"),
        ("country_by_alpha_2/DEU", "Germany"),
        ("country_currency/FR", "Euro"),
    ],
)
def test_facts_that_everybody_knows_are_right(row_id: str, answer: str):
    assert gold(BY_ID[row_id]) == answer


@pytest.mark.nightly
def test_the_script_rebuilds_the_committed_files():
    for package in ("mendeleev", "pycountry", "babel"):
        pytest.importorskip(package, reason="needs the extra `facts`")
    assert load_script("labs.facts.make").build(seed=0) == {"train": TRAIN, "eval": EVAL}
