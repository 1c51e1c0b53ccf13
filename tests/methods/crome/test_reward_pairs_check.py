from dataclasses import replace

import pytest
import torch
from pair_recipe import SOURCES, fact_pairs, sourced_pairs, write_reward_recipe, write_rows

from align.checks.launch import Launch
from align.errors import DataError, RecipeError
from align.methods.crome.data import sample_rows
from align.recipe.recipe import load_recipe
from align.services.prepared import prepare
from align.training.build import build_trainer


def load(recipe):
    return recipe.record.part("load")(recipe)


@pytest.fixture
def recipe(tmp_path, tiny_model_folder):
    def write(rows=None, **changes):
        return load_recipe(write_reward_recipe(tmp_path, tiny_model_folder, rows, **changes))

    return write


def findings_of(recipe, check, level=None):
    findings = recipe.record.part("check")(recipe, load(recipe), [])
    return [f for f in findings if f.check == check and (level is None or f.level == level)]


def of_source(source, count, **columns):
    """Makes pairs of one source whose ids do not clash with those of others."""
    return [row | {"id": f"{source}-{i}", "source": source} | columns for i, row in enumerate(fact_pairs(count))]


def test_a_good_recipe_has_no_errors_and_hands_on_what_it_read(recipe, tmp_path):
    write_rows(tmp_path / "eval.jsonl", sourced_pairs(5))
    checked = prepare(recipe(dataset={"eval_path": "./eval.jsonl"}), Launch())
    warned = {finding.check: finding.text for finding in checked.findings if finding.level != "ok"}
    assert list(warned) == ["rows"]
    assert "5 of 5 rows for evaluation are rows for training" in warned["rows"]
    assert {finding.check for finding in checked.findings} == {
        "versions", "data", "sources", "lengths", "rows", "batch", "memory", "room",
    }  # fmt: skip
    assert len(checked.data.rows) == len(checked.data.items) == 12
    assert [row["tie"] for row in checked.data.eval_rows] == [False, False, False, True, False]
    assert list(checked.data.fingerprints) == ["train.jsonl", "eval.jsonl"]


def test_pairs_are_counted_by_source_and_the_ties_among_them(recipe):
    (finding,) = findings_of(recipe(), "sources")
    assert finding.numbers["sources"] == dict.fromkeys(SOURCES, 3)
    assert finding.numbers["ties"] == 3
    assert "3 preference, 3 upgrade, 3 degrade, 3 irrelevant_query. Ties: 3 of 12 (25%)" in finding.text
    assert "plain" not in finding.text


@pytest.mark.parametrize(
    ("rows", "plain"),
    [
        (fact_pairs(), True),
        (of_source("upgrade", 12), False),
        ([*fact_pairs(), *of_source("preference", 1, tie=True)], False),
    ],
)
def test_without_edits_and_ties_it_is_called_a_plain_preference_model(recipe, rows, plain):
    (finding,) = findings_of(recipe(rows), "sources", "ok")
    assert ("plain preference model, by Bradley-Terry" in finding.text) == plain


def test_ties_that_weigh_nothing_are_warned_about(recipe):
    (warning,) = findings_of(recipe(tie_coef=0), "sources", "warning")
    assert "`tie_coef: 0` ignores the 3 ties" in warning.text
    assert findings_of(recipe(fact_pairs(), tie_coef=0), "sources", "warning") == []


def test_a_weight_of_ties_without_ties_is_warned_about_with_the_column_that_is_meant(recipe):
    for rows in ([row | {"tie": False} for row in fact_pairs()], fact_pairs()):
        (warning,) = findings_of(recipe(rows, tie_coef=0.5), "data", "warning")
        assert "`tie_coef: 0.5` does nothing: no row of" in warning.text
    rows = [row | {"is_tie": True} for row in fact_pairs()]
    assert not findings_of(recipe(tie_coef=0.5), "data", "warning")
    (warning,) = findings_of(recipe(rows), "data", "warning")
    assert "`columns: {tie: is_tie}`" in warning.text


def test_margins_that_a_pairwise_model_does_not_read_are_warned_about(recipe):
    rows = [row | {"margin": 0.5} for row in fact_pairs()]
    assert findings_of(recipe(rows), "data", "warning") == []
    (warning,) = findings_of(recipe(rows, model_type="pairwise"), "data", "warning")
    assert "12 of 12 pairs have a `margin`" in warning.text


def test_nothing_but_ties_is_an_error(recipe):
    (error,) = findings_of(recipe(of_source("paraphrase", 4, tie=True)), "sources", "error")
    assert "All pairs are ties" in error.text


@pytest.mark.parametrize(
    ("up", "down", "warned"), [(15, 5, False), (16, 4, False), (19, 1, True), (1, 19, True), (9, 1, False)]
)
def test_edits_that_nearly_all_go_one_way_are_warned_about(recipe, up, down, warned):
    warnings = findings_of(recipe([*of_source("upgrade", up), *of_source("degrade", down)]), "sources", "warning")
    assert [warning.numbers for warning in warnings] == ([{"upgrade": up, "degrade": down}] if warned else [])
    if warned:
        assert (
            f"the {'better' if up > down else 'worse'} one in 95 % [76, 99; 20 items] of the edits" in warnings[0].text
        )


def test_more_sources_than_one_can_look_at_are_warned_about(recipe):
    rows = [row | {"source": f"https://site/{i}"} for i, row in enumerate(fact_pairs(30))]
    (warning,) = findings_of(recipe(rows), "sources", "warning")
    assert "There are 30 sources" in warning.text
    (finding,) = findings_of(recipe(rows), "sources", "ok")
    assert len(finding.numbers["samples"]) == 20


def length_finding(recipe):
    return next(f for f in findings_of(recipe, "lengths") if "length_ratios" in f.numbers)


def longer(row, side):
    return row | {side: row[side] + " Indeed."}  # 22 characters in place of 14


def test_a_source_whose_better_answers_are_longer_is_warned_about(recipe):
    finding = length_finding(recipe([*of_source("a", 40), *(longer(row, "chosen") for row in of_source("b", 20))]))
    assert finding.level == "warning"
    assert finding.numbers["length_ratios"] == pytest.approx({"all": 1000 / 840, "a": 1.0, "b": 22 / 14})
    assert "1.19 [1.12, 1.26; 60 pairs] in all, 1.00 [40 pairs] in a, 1.57 [20 pairs] in b." in finding.text


def test_shorter_better_answers_are_a_shortcut_too(recipe):
    rows = [longer(row, "rejected") for row in fact_pairs(20)]
    finding = length_finding(recipe(rows))
    assert (finding.level, finding.numbers["length_ratios"]) == ("warning", {"all": pytest.approx(14 / 22)})


def test_a_source_of_a_few_pairs_is_not_judged_by_its_lengths(recipe):
    finding = length_finding(recipe([*of_source("a", 60), *(longer(row, "chosen") for row in of_source("b", 19))]))
    assert (finding.level, list(finding.numbers["length_ratios"])) == ("ok", ["all", "a"])


def test_ties_of_unequal_length_are_counted_and_have_no_part_in_the_ratio(recipe):
    ties = of_source("irrelevant_query", 8, tie=True)
    ties[:3] = [longer(row, "chosen") for row in ties[:3]]
    ties[3] = longer(ties[3], "rejected")
    finding = length_finding(recipe([*fact_pairs(20), *ties]))
    assert finding.numbers == {"length_ratios": {"all": 1.0}, "uneven_ties": 4}
    assert (
        "In 4 of 8 ties one answer is more than 1.2 times as long as the other (the first answer in 3 of them)"
        in finding.text
    )


def test_samples_are_of_every_source_and_only_edits_have_marks(recipe):
    (finding,) = findings_of(recipe(), "sources")
    samples = finding.numbers["samples"]
    assert [(s["row"], s["source"], s["tie"]) for s in samples] == [
        (i + 1, source, source == "irrelevant_query") for i, source in enumerate(SOURCES)
    ]
    for sample in samples:
        assert ("chosen_spans" in sample) == (sample["source"] in ("upgrade", "degrade"))
    ((start, end),) = samples[1]["chosen_spans"]
    assert samples[1]["chosen"] == f"It is {samples[1]['chosen'][start:end]}, yes."


def test_rows_for_the_report_are_even_over_sources_whatever_their_size(recipe):
    rows = [*of_source("preference", 90), *of_source("upgrade", 30), *of_source("paraphrase", 2, tie=True)]
    kept = sample_rows(load(recipe(rows)).items)
    assert [row["source"] for row in kept] == ["preference"] * 13 + ["upgrade"] * 13 + ["paraphrase"] * 2
    assert [row["id"] for row in kept[:3]] == ["preference-0", "preference-6", "preference-13"]
    assert kept[0]["chosen"].startswith("It is ")


def test_texts_and_messages_are_not_mixed(recipe):
    (error,) = findings_of(recipe(sourced_pairs(2) + sourced_pairs(4, messages=True)[2:]), "data", "error")
    assert "Write all of them one way" in error.text


def candidates(count=3, **columns):
    return [{"prompt": f"u{i}?", "responses": ["It is 1.", "It is 2.", "No."]} | columns for i in range(count)]


def test_unlabelled_rows_are_read_for_two_heads(recipe, tmp_path):
    write_rows(tmp_path / "sampled.jsonl", candidates())
    two = recipe(num_heads=2, dataset={"unlabelled_path": "./sampled.jsonl"})
    assert [(row["chosen"], row["rejected"]) for row in load(two).extra] == [("It is 1.", "It is 2.")] * 3
    (finding,) = findings_of(two, "unlabelled")
    assert (finding.level, finding.numbers) == ("ok", {"pairs": 3})


@pytest.mark.parametrize("more", [{}, {"streaming": True}])
def test_unlabelled_rows_are_noted_as_the_other_files_of_a_run_are(recipe, tmp_path, more):
    def noted(rows):
        write_rows(tmp_path / "sampled.jsonl", rows)
        two = recipe(num_heads=2, max_steps=2, dataset={"unlabelled_path": "./sampled.jsonl"} | more)
        return load(two).fingerprints

    before, after = noted(candidates()), noted(candidates(4))
    assert [*before] == [*after] == ["train.jsonl", "sampled.jsonl"]
    assert [name for name in before if before[name] != after[name]] == ["sampled.jsonl"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_heads": 2}, "`num_heads: 2` needs pairs.*`dataset.unlabelled_path`"),
        ({"dataset": {"unlabelled_path": "./sampled.jsonl"}}, "read by two heads only"),
        ({"num_heads": 2, "use_peft": True, "dataset": {"unlabelled_path": "./sampled.jsonl"}}, "`use_peft: false`"),
        ({"odin_coef": 0.1, "use_peft": True}, "`odin_coef` adds a term to the score head"),
    ],
)
def test_heads_without_their_rows_rows_without_heads_and_adapters_are_refused(recipe, tmp_path, changes, message):
    write_rows(tmp_path / "sampled.jsonl", candidates())
    with pytest.raises(DataError, match=message):
        load(recipe(**changes))


def test_unlabelled_messages_beside_texts_are_an_error(recipe, tmp_path):
    write_rows(tmp_path / "sampled.jsonl", candidates(prompt=[{"role": "user", "content": "u?"}]))
    two = recipe(num_heads=2, dataset={"unlabelled_path": "./sampled.jsonl"})
    (finding,) = findings_of(two, "unlabelled", "error")
    assert "Write all of them one way" in finding.text


def test_a_head_of_another_type_than_its_model_is_an_error_only_where_it_is_known(recipe, tmp_path, monkeypatch):
    def found(**changes):
        return [(f.level, "TRL keeps the score head in bf16" in f.text) for f in findings_of(
            recipe(load_in_4bit=True, use_peft=True, **changes), "model")]  # fmt: skip

    monkeypatch.setenv("PATH", str(tmp_path))  # as on a machine without a driver
    assert found(use_cpu=True) == [("error", True)]
    assert found(use_cpu=False, bf16=False) == [("error", True)]
    assert found(use_cpu=False, bf16=None) == [("warning", True)], "the run may be on another machine"
    if not torch.accelerator.is_available():  # the run is here, and sets `bf16` to false
        odd = recipe(load_in_4bit=True, use_peft=True)
        silent = {name: value for name, value in odd.training.items() if name not in ("bf16", "use_cpu")}
        odd = replace(odd, settings=type(odd.settings)(**silent))
        with pytest.raises(RecipeError, match=r"TRL keeps the score head in bf16.* Set `bf16: true`"):
            build_trainer(odd, load(odd), [])
    assert found(use_cpu=False, dtype="bfloat16") == found(use_cpu=True, bf16=True) == []
