"""The check counts tokens, and pairs that are dropped, as the trainer does, without importing it."""

import pytest
from pair_recipe import as_messages, drop_case, fact_pairs, sourced_pairs, write_reward_recipe

from align.checks.launch import Launch
from align.methods.crome.data import check as check_data
from align.methods.crome.data import load, read_pairs
from align.recipe.recipe import load_recipe
from align.services.prepared import prepare

LENGTH = 3 + 14 + 1  # "q0?", "It is 12, yes." and the end


@pytest.fixture
def recipe(tmp_path, tiny_model_folder):
    def write(rows=None, **changes):
        return load_recipe(write_reward_recipe(tmp_path, tiny_model_folder, rows or sourced_pairs(4), **changes))

    return write


def findings_of(recipe):
    found = check_data(recipe, load(recipe), [])
    return [f for f in found if f.check == "lengths" and "length_ratios" not in f.numbers]


def test_a_limit_that_fits_exactly_drops_nothing(recipe):
    (finding,) = findings_of(recipe(max_length=LENGTH))
    assert (finding.level, finding.numbers) == ("ok", {"audited": 4, "mean": LENGTH, "max": LENGTH})


def test_pairs_that_are_dropped_are_counted_by_source_and_named(recipe):
    rows = sourced_pairs(8)
    rows[1]["rejected"] += " Indeed."
    rows[4]["chosen"] += " Indeed."
    (error,) = findings_of(recipe(rows, max_length=LENGTH))
    assert error.level == "error"
    assert "2 of 8 pairs (1 upgrade, 1 preference) are longer than `max_length`, and TRL drops them" in error.text
    assert (
        "row 2 (p1), row 5 (p4). Shorten them or raise `max_length` from 18: set `max_length: 26`, or accept this"
        in error.text
    )
    assert error.numbers == {"rows": [2, 5], "sources": {"upgrade": 1, "preference": 1}}
    (warning,) = findings_of(recipe(rows, max_length=LENGTH, dataset={"on_bad_rows": "skip"}))
    assert (warning.level, "accept" in warning.text) == ("warning", False)


def test_when_nothing_is_left_that_is_an_error_in_any_case(recipe):
    (error,) = findings_of(recipe(max_length=LENGTH - 1, dataset={"on_bad_rows": "skip"}))
    assert (error.level, "4 of 4 pairs" in error.text) == ("error", True)


@pytest.mark.by_day("messages-scalar", "text-pairwise")
@pytest.mark.parametrize("model_type", ["scalar", "pairwise"])
@pytest.mark.parametrize("messages", [False, True], ids=["text", "messages"])
def test_lengths_and_what_is_dropped_are_those_of_the_trainer(recipe, messages, model_type):
    from align.training.build import build_trainer

    rows = sourced_pairs(12)
    for i, side in ((3, "chosen"), (7, "rejected"), (8, "chosen")):
        rows[i][side] += "!" * i
    rows = [as_messages(row) for row in rows] if messages else rows
    settings = {"dataset": {"on_bad_rows": "skip"}, "model_type": model_type}
    found = recipe(rows, max_length=None, **settings)
    checked = prepare(found, Launch())
    trained = build_trainer(found, checked.data, checked.rewards).train_dataset
    lengths = read_pairs(found, checked.data.items)[0]
    assert lengths == [max(len(row["chosen_ids"]), len(row["rejected_ids"])) for row in trained]

    found = recipe(rows, max_length=sorted(lengths)[-2] - 1, **settings)
    checked = prepare(found, Launch())
    trained = build_trainer(found, checked.data, checked.rewards).train_dataset
    (dropped,) = [f for f in findings_of(found) if "drops" in f.text]
    assert len(dropped.numbers["rows"]) == len(rows) - len(trained) == 2


def test_one_long_row_among_many_is_found_although_not_all_are_tokenised(recipe, monkeypatch):
    monkeypatch.setattr("align.methods.pairs.checks.AUDITED", 5)
    rows = fact_pairs(30)
    rows[20]["prompt"] = "why " * 20
    (error,) = findings_of(recipe(rows))
    assert "At least 1 of 30 pairs (1 preference)" in error.text
    assert "row 21 (p20)" in error.text


def test_nobody_is_told_to_raise_a_limit_beyond_the_window(recipe):
    rows = fact_pairs(12)
    rows[3]["prompt"] = "why " * 600
    (error,) = [each for each in findings_of(recipe(rows, max_length=512)) if each.level == "error"]
    assert "Shorten them: the model's window has 512 tokens, or accept this" in error.text


def test_the_template_that_training_is_given_is_the_one_that_counts(recipe, tmp_path):
    template = tmp_path / "short.jinja"
    template.write_text("{% for m in messages %}{{ m['content'] }}{% endfor %}")
    found = recipe(sourced_pairs(4, messages=True), chat_template_path=str(template))
    (tmp_path / "model" / "chat_template.jinja").unlink()
    (finding,) = findings_of(found)
    assert finding.numbers["max"] == LENGTH - 1  # no end of text


def test_messages_need_a_chat_template(recipe, tmp_path):
    found = recipe(sourced_pairs(4, messages=True))
    (tmp_path / "model" / "chat_template.jinja").unlink()
    (error,) = findings_of(found)
    assert (error.level, "no chat template" in error.text) == ("error", True)


@pytest.mark.parametrize("model", ["owner/elsewhere-7B", "./model"])
def test_without_a_tokenizer_that_can_be_read_here_lengths_are_unknown(recipe, tmp_path, model):
    found = recipe(model_name_or_path=model)
    (tmp_path / "model" / "tokenizer.json").unlink()
    (warning,) = findings_of(found)
    assert (warning.level, "lengths are unknown" in warning.text) == ("warning", True)


@pytest.mark.parametrize("model_type", ["scalar", "pairwise"])
def test_pairs_that_are_equal_in_tokens_are_named(recipe, tmp_path, model_type):
    rows = sourced_pairs(4)
    rows[2] |= {"chosen": "It is A.", "rejected": "It is a."}
    found = recipe(rows, model_type=model_type)
    drop_case(tmp_path / "model")
    (warning,) = [f for f in check_data(found, load(found), []) if "same tokens" in f.text]
    assert (warning.level, warning.numbers) == ("warning", {"rows": [3]})
