import json
import random
from collections import Counter
from pathlib import Path

import pytest
from loaded_script import load_script

ROOT = Path(__file__).resolve().parents[2]
LAB = ROOT / "recipes/crome/assets/lab"
FACTS = ROOT / "recipes/crome/assets/facts"
FILES = ("train.jsonl", "augmented.jsonl", "eval.jsonl")
QUESTION = "Describe a lamp: mainly light, also price, perhaps cord."


world = load_script("labs.crome.world")
pairs = load_script("labs.crome.pairs")


def read(file):
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def answers_of(row):
    return row["prompt"].strip(), *(world.Answer.parse(row[side]) for side in ("chosen", "rejected"))


def gain(row):
    question, chosen, rejected = answers_of(row)
    return world.quality(question, chosen) - world.quality(question, rejected)


def decorated(row):
    return tuple(answer.style != world.PLAIN for answer in answers_of(row)[1:])


def test_an_answer_is_read_back_from_its_text():
    rng = random.Random(0)
    for _ in range(500):
        answer = world.draw_answer(world.draw_question(rng), rng)
        for shown in (answer, answer._replace(style=world.draw_style(rng))):
            assert world.Answer.parse(shown.text) == shown


@pytest.mark.parametrize(
    ("text", "quality"),
    [
        ("The light is 40. Its price: 12. The cord is 85.", 3.0),
        ("The light is fine.", 0.6),
        ("Its cord: 60! The shade is 12!", 0.81),
        ("Sure thing! The shade is 12. Hope this helps you a lot.", 0.0),
    ],
)
def test_quality_counts_what_is_asked_for_and_no_decoration(text, quality):
    assert world.quality(QUESTION, world.Answer.parse(text)) == pytest.approx(quality)


def test_an_edit_by_the_rules_changes_the_asked_attribute_and_nothing_else():
    rules, rng, edits = world.Rules(), random.Random(0), Counter()
    for row in pairs.preference_rows("test", 200):
        question, _, before = answers_of(row)
        for attribute, _ in rules.rubric(question):
            direction = rng.choice(("upgrade", "degrade"))
            text = rules.edit(question, before.text, attribute, direction)
            after = world.Answer.parse(text)
            levels = [world.levels(question, answer) for answer in (before, after)]
            assert after.style == before.style
            assert after.without(attribute) == before.without(attribute)
            assert {name for name in levels[0] if levels[0][name] != levels[1][name]} <= {attribute}
            change = levels[1][attribute] - levels[0][attribute]
            assert change >= 0 if direction == "upgrade" else change <= 0, (direction, before.text, text)
            assert rules.verify(question, before.text, text, attribute, direction) == (change != 0)
            assert text == rules.edit(question, before.text, attribute, direction)
            edits[direction, change != 0] += 1
    assert min(edits[direction, True] for direction in ("upgrade", "degrade")) > 100


@pytest.mark.parametrize(
    "edited",
    [
        "Sure thing! The light is 40. The cord is fine.",  # decorates too
        "The light is 40. The cord is 12.",  # changes another attribute too
        "The light is fine. The cord is fine.",  # as good as before
        "The cord is fine.",  # worse
    ],
)
def test_the_rules_refuse_an_upgrade_that_leaks_or_fails(edited):
    before, light = "The light is okay. The cord is fine.", ("light", "upgrade")
    assert world.Rules().verify(QUESTION, before, "Its light: 40. The cord is fine.", *light)
    assert not world.Rules().verify(QUESTION, before, edited, *light)


def test_leaky_edits_touch_decoration_and_fail_at_the_rates_they_say():
    rows = pairs.causal_rows(pairs.preference_rows("test", 400), world.LeakyRules())
    failed = [gain(row) == 0 for row in rows]
    assert sum(failed) / len(failed) == pytest.approx(world.LeakyRules.fail_rate, abs=0.03)
    plain = [row for row in rows if not decorated(row)[row["source"] == "upgrade"]]
    added = [decorated(row)[0] for row in plain if row["source"] == "upgrade"]
    assert sum(added) / len(added) == pytest.approx(world.LeakyRules.leak_rate, abs=0.04)
    assert all(decorated(row) in ((False, False), (True, True), (True, False)) for row in rows)
    assert not any(gain(row) <= 0 for row in pairs.causal_rows(pairs.preference_rows("test", 100), world.Rules()))


def test_decoration_agrees_with_the_label_of_most_preferences():
    rows = pairs.preference_rows("test", 2000)
    assert all(gain(row) > 0 for row in rows)
    shown = Counter(decorated(row) for row in rows)
    assert set(shown) == {(True, False), (False, True)}
    assert shown[True, False] / 2000 == pytest.approx(pairs.AGREEMENT, abs=0.03)


def test_neutral_pairs_and_foreign_answers_are_worth_nothing_under_their_question():
    rows = pairs.preference_rows("test", 100)
    ties = pairs.neutral_rows(rows, rows, 100, random.Random(0))
    assert all(row["tie"] and row["source"] == "irrelevant_query" for row in ties)
    made = pairs.rrm_rows(rows, random.Random(0))
    assert len(made) == pytest.approx(100 * 14 / 2, rel=0.1)
    for row in ties + made:
        question, chosen, rejected = answers_of(row)
        assert world.quality(question, rejected) == 0
        assert (world.quality(question, chosen) == 0) or not row["tie"]


def test_the_committed_data_is_what_the_script_makes(tmp_path):
    load_script("labs.crome.make").main(["--out", str(tmp_path), "--data_only"])
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (LAB / name).read_bytes()
    load_script("labs.facts.reward_pairs").main(
        ["--pairs", str(ROOT / "recipes/rrpo/assets/facts/train.jsonl"), "--out", str(tmp_path)]
    )
    assert (tmp_path / "train.jsonl").read_bytes() == (FACTS / "train.jsonl").read_bytes()


def test_the_augmented_pairs_lead_back_to_those_they_were_made_of():
    train = {row["id"]: row for row in read(LAB / "train.jsonl")}
    sources = Counter()
    for row in read(LAB / "augmented.jsonl"):
        sources[row["source"]] += 1
        origin = train[row["origin"]]
        if row["source"] == "preference":
            assert {name: row[name] for name in origin} == origin
        elif not row["tie"]:
            kept = "rejected" if row["source"] == "upgrade" else "chosen"
            assert (row["prompt"], row["attribute"] in row["prompt"]) == (origin["prompt"], True)
            assert origin[kept] in (row["chosen"], row["rejected"])
            assert gain(row) > 0
    assert sources["preference"] == sources["irrelevant_query"] == len(train)
    assert min(sources["upgrade"], sources["degrade"]) > len(train)


def test_evaluation_pairs_are_as_their_source_says_and_new():
    asked = {(row["prompt"], row[side]) for row in read(LAB / "train.jsonl") for side in ("chosen", "rejected")}
    rows = read(LAB / "eval.jsonl")
    where = {"disagree": (False, True), "agree": (True, False), "clean": (False, False), "decoration": (True, False)}
    assert Counter(row["source"] for row in rows) == dict.fromkeys(where, len(rows) // len(where))
    for row in rows:
        assert decorated(row) == where[row["source"]]
        assert row["tie"] == (gain(row) == 0) == (row["source"] == "decoration")
    seen = [(row["prompt"], row[side]) in asked for row in rows for side in ("chosen", "rejected")]
    assert sum(seen) / len(seen) < 0.01  # short answers occur twice


@pytest.mark.slow
def test_an_arm_is_trained_measured_and_held_against_a_bar(monkeypatch, capsys):
    lab, measures = load_script("labs.crome.lab"), load_script("labs.crome.measure")
    for module, name, value in (
        (lab, "NUM_PAIRS", 24), (measures, "NUM_PAIRS", 20), (measures, "NUM_QUESTIONS", 5), (measures, "BEST_OF", 4),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, value)
    runs = lab.run_arms(("bt", "crome+filter"), range(100, 102), {"max_steps": 3, "use_cpu": True})
    assert [len(of) for of in runs.values()] == [2, 2]
    for metrics in (run for of in runs.values() for run in of):
        assert all(0 <= metrics[name] <= 1 for name in ("disagree", "clean", "agree"))
        assert 0 <= metrics["best_of"] <= metrics["best_possible"] <= world.BEST
    assert runs["bt"][0]["pairs"] == 24 < runs["crome+filter"][0]["pairs"]
    lab.report(runs)
    assert "crome+filter" in capsys.readouterr().out


def test_a_bar_is_held_or_missed_by_the_mean_over_seeds():
    measures = load_script("labs.crome.measure")
    runs = {arm: [{"clean": value, "decoration": value} for value in values] for arm, values in
            {"bt": (0.5, 0.7), "crome": (0.7, 0.7)}.items()}  # fmt: skip
    held, text = measures.Bar("crome", "bt", "clean", 0.05).check(runs)
    assert held
    assert "+0.100" in text
    assert not measures.Bar("crome", "bt", "clean", 0.15).check(runs)[0]
    assert not measures.Bar("crome", "bt", "decoration", 1.1, of_ratio=True).check(runs)[0]
    assert measures.Bar("crome", "bt", "decoration", 1.2, of_ratio=True).check(runs)[0]
