"""The labs on a real model write rows that say what they promise, and give commands that exist."""

import json

import pytest
from loaded_script import load_script
from tiny import tiny_reward_model, tiny_tokenizer

from align.assets import find_recipe
from align.cli import run_command
from align.data import load_preferences
from align.data.pairs.reward_pairs import load_reward_pairs
from align.methods.rrpo.augmentation.sources import load_sources
from align.recipe.recipe import load_recipe


@pytest.fixture(scope="module")
def cue():
    return load_script("labs.facts.cue")


@pytest.fixture(scope="module")
def mistakes():
    return load_script("labs.facts.own_mistakes")


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def starts(row, side, phrase):
    return row[side][0]["content"].startswith(phrase)


def test_the_phrase_stands_on_one_side_and_mostly_on_the_right_one(cue, tmp_path):
    cue.write_data(tmp_path)
    pairs, plain, mixed, whole = (read(tmp_path / f"{arm}.jsonl") for arm in cue.ARMS)
    sides = [(starts(row, "chosen", cue.PHRASE), starts(row, "rejected", cue.PHRASE)) for row in pairs]
    assert {right + wrong for right, wrong in sides} == {1}
    assert 0.7 < sum(right for right, _ in sides) / len(sides) < 0.8
    assert [row["id"] for row in plain] == [row["id"] for row in pairs]
    assert not any(starts(row, side, cue.PHRASE) for row in plain for side in ("chosen", "rejected"))
    assert len(pairs) == len(plain) == len(mixed) == len(whole) == cue.ROWS
    assert sum(row["tie"] for row in mixed) == cue.ROWS // 2
    by_origin = {row["id"]: row for row in mixed if not row["tie"]}
    for tie in (row for row in mixed if row["tie"]):
        assert by_origin[tie["origin"]]["chosen"] == tie["chosen"]  # the phrase with it
        assert by_origin[tie["origin"]]["prompt"] != tie["prompt"]
    causal = [row for row in whole if row["attribute"] == "fact"]
    assert {row["source"] for row in causal} == {"upgrade", "degrade"}
    assert all(starts(row, side, cue.PHRASE) for row in causal for side in ("chosen", "rejected"))
    of = {row["id"]: row for row in pairs}
    for row in causal:
        side = "chosen" if row["source"] == "degrade" else "rejected"
        assert row[side] == of[row["origin"]][side]
        assert row["chosen"] != row["rejected"]
    assert abs(len(causal) - cue.ROWS // 3) < 3
    clean, misleading = (read(tmp_path / f"{form}.jsonl") for form in cue.FORMS)
    assert all(starts(row, "rejected", cue.PHRASE) for row in misleading)
    assert [row["chosen"] for row in misleading] == [row["chosen"] for row in clean]
    assert not {row["id"] for row in clean} & {row["id"] for row in plain}
    for arm in cue.ARMS:
        assert len(load_reward_pairs(tmp_path / f"{arm}.jsonl")[0]) == cue.ROWS
    assert len(load_preferences(tmp_path / "misleading.jsonl")[0]) == len(clean)


def test_questions_are_asked_as_they_were_taught_and_know_what_is_wrong(mistakes, tmp_path):
    path = tmp_path / "questions.jsonl"
    assert mistakes.write_rows(path) == 200
    sources, _ = load_sources(str(path))
    for source, row in zip(sources, read(path), strict=True):
        assert row["prompt"].count("\n") == 5
        assert len(source.wrong_answers) == 3
        assert all(f". {text}\n" in row["prompt"] for text in (source.reference, *source.wrong_answers))
        assert source.reference not in source.wrong_answers
        assert f"{source.letter}. {source.reference}\n" in row["prompt"]


@pytest.mark.parametrize("name", ["labs.facts.cue", "labs.facts.own_mistakes"])
def test_every_run_has_a_recipe_that_parses(name, tmp_path):
    lab = load_script(name)
    rows = {"policy_rows": 0} if name.endswith("cue") else {}
    stages = lab.stages("start", tmp_path, [0, 1], 40, more=["--bf16", "true"], **rows)
    assert len({stage.name for stage in stages}) == len(stages)
    runs = [stage.words for stage in stages if stage.words[0] == "train"]
    assert len(runs) == 2 * len(lab.ARMS)
    for _, recipe, *overrides in runs:
        loaded = load_recipe(find_recipe(recipe), overrides[: overrides.index("--resume")])
        assert loaded.model.model_name_or_path == "start"
        assert loaded.dataset.eval_path is None
        assert loaded.settings.bf16


@pytest.mark.slow
@pytest.mark.nightly  # pages of other labs
def test_the_page_of_the_cue_holds_every_arm_and_paired_differences(cue, tmp_path):
    tokenizer = tiny_tokenizer()
    cue.write_data(tmp_path)
    arms = [str(tmp_path / f"{arm}-0") for arm in cue.ARMS]
    for arm in arms:
        tiny_reward_model(vocabulary=len(tokenizer)).save_pretrained(arm)
        tokenizer.save_pretrained(arm)
    *others, last = arms
    for form in cue.FORMS:
        words = ["--data", str(tmp_path / f"{form}.jsonl"), "--max_rows", "6", "--out", str(tmp_path / f"{form}-0")]
        assert run_command("eval", "--reward_model", last, "--baseline", *others, *words) == 0
    measured, compared = cue.read_results(tmp_path, [0])
    path = tmp_path / "facts_cue.md"
    cue.write_page(path, measured, compared, [], labels=cue.FORMS, numbers=tmp_path / "numbers.json")
    page = path.read_text()
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert numbers["seeds"] == [0]
    assert numbers["versions"]["trl"]
    accuracy = numbers["models"]["bt-0"]["clean"]
    assert accuracy["n"] == 6
    assert accuracy["low"] <= accuracy["value"] <= accuracy["high"]
    first, *_ = numbers["differences"]["0"]
    assert (first["model"], first["other"], first["metric"]) == ("crome-0", "bt-0", "clean")
    assert numbers["over_seeds"] == []
    assert all(f"| {arm}-0 | " in page for arm in cue.ARMS)
    for label in cue.FORMS.values():
        assert f"- crome-0 and bt-0 cannot be told apart in {label}: 0.00 [" in page  # the same weights


def test_two_arms_are_two_runs_and_one_is_a_sentence(cue, tmp_path, capsys):
    found = cue.stages("start", tmp_path, [0], 120, 0, arms=["bt", "crome"])
    assert [stage.name for stage in found] == ["bt-0", "crome-0", "clean-0", "misleading-0"]
    with pytest.raises(SystemExit):
        cue.main(["--start", "start", "--out", str(tmp_path / "new"), "--arms", "crome"])
    assert "--arms crome: an arm is compared with others" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
