import hashlib

import pytest
from pair_recipe import drop_case, fact_pairs, write_pair_recipe, write_rows

from align.checks.launch import Launch
from align.methods import METHODS
from align.methods.rrpo.data import check as check_data
from align.methods.rrpo.data import load
from align.recipe.recipe import load_recipe
from align.services.prepared import prepare

SAME_WORDS = {"id": "same", "prompt": "q?", "chosen": "a b", "rejected": "a  b"}


@pytest.fixture
def recipe(tmp_path, tiny_model_folder):
    def write(rows=None, **changes):
        return load_recipe(write_pair_recipe(tmp_path, tiny_model_folder, rows, **changes))

    return write


def findings_of(recipe, check, level=None):
    findings = check_data(recipe, load(recipe), [])
    return [f for f in findings if f.check == check and (level is None or f.level == level)]


def test_a_good_recipe_has_no_errors_and_hands_on_what_it_read(recipe, tmp_path):
    checked = prepare(recipe(), Launch())
    assert [finding.level for finding in checked.findings] == ["ok"] * len(checked.findings)
    assert {finding.check for finding in checked.findings} == {
        "versions", "data", "spans", "lengths", "rows", "batch", "memory", "room",
    }  # fmt: skip
    assert checked.rewards == []
    assert len(checked.data.rows) == len(checked.data.items) == 12
    digest = hashlib.sha256((tmp_path / "train.jsonl").read_bytes()).hexdigest()
    assert checked.data.fingerprints == {"train.jsonl": digest}


def test_rows_left_out_are_counted_with_the_first_in_full(recipe):
    rows = [*fact_pairs(), {"prompt": "q?", "chosen": "a", "rejected": "a"}, {"prompt": "q?", "chosen": "a"}]
    counts, warning = findings_of(recipe(rows, dataset={"on_bad_rows": "skip"}), "data")
    assert counts.numbers == {"read": 14, "kept": 12, "left_out": 2}
    assert "2 rows are left out" in warning.text
    assert "row 13, column `rejected`: chosen and rejected are equal" in warning.text


def test_evaluation_pairs_are_read_and_counted(recipe, tmp_path):
    write_rows(tmp_path / "eval.jsonl", fact_pairs(5))
    found = recipe(dataset={"eval_path": "./eval.jsonl"})
    assert len(load(found).eval_rows) == 5
    assert any("eval.jsonl: 5 for evaluation." in finding.text for finding in findings_of(found, "data"))


@pytest.mark.parametrize("messages", [False, True])
def test_the_marked_share_is_counted_by_hand(recipe, messages):
    # "It is 12, yes." in characters: 14 and the end of the text or turn, of which 2 are marked.
    (finding,) = findings_of(recipe(fact_pairs(messages=messages)), "spans")
    assert finding.numbers["unit"] == "tokens"
    assert finding.numbers["marked_share_chosen"] == pytest.approx(2 / 15)
    assert finding.numbers["marked_share_rejected"] == pytest.approx(2 / 15)
    assert finding.numbers["spans_from"] == {"diff": 12}


def test_without_a_tokenizer_the_share_is_of_characters(recipe):
    found = recipe(model_name_or_path="owner/not-on-this-machine-7B")
    (finding,) = findings_of(found, "spans")
    assert finding.numbers["unit"] == "characters"
    assert finding.numbers["marked_share_chosen"] == pytest.approx(2 / 14)
    (warning,) = findings_of(found, "lengths")
    assert (warning.level, "owner/not-on-this-machine-7B" in warning.text) == ("warning", True)


def test_samples_are_spread_and_their_spans_are_the_marked_words(recipe):
    (finding,) = findings_of(recipe(), "spans")
    samples = finding.numbers["samples"]
    assert [sample["row"] for sample in samples] == [1, 4, 7, 10]
    for sample in samples:
        ((start, end),) = sample["chosen_spans"]
        assert sample["chosen"] == f"It is {sample['chosen'][start:end]}, yes."


def test_samples_of_messages_hold_texts(recipe):
    (finding,) = findings_of(recipe(fact_pairs(messages=True)), "spans")
    assert finding.numbers["samples"][0]["chosen"].startswith("It is ")


def test_spans_of_the_data_and_of_tags_are_counted_apart(recipe):
    rows = fact_pairs(3)
    rows[0] |= {"chosen_spans": [[0, 2]], "rejected_spans": []}
    rows[1] |= {"chosen": "It is <MASK>1</MASK>", "rejected": "It is <MASK>2</MASK>"}
    (finding,) = findings_of(recipe(rows), "spans")
    assert finding.numbers["spans_from"] == {"offsets": 1, "tags": 1, "diff": 1}
    assert finding.numbers["samples"][0]["chosen_spans"] == [[0, 2]]
    assert finding.numbers["samples"][0]["rejected_spans"] == []


def test_whole_responses_are_marked_when_asked_for(recipe):
    (finding,) = findings_of(recipe([*fact_pairs(3), SAME_WORDS], spans="whole"), "spans")
    assert finding.numbers["marked_share_chosen"] == finding.numbers["marked_share_rejected"] == 1
    assert finding.numbers["samples"][3]["chosen_spans"] == [[0, 3]]


@pytest.mark.parametrize("unit", ["word", "token"])
def test_a_token_diff_marks_what_tokens_differ(recipe, unit):
    rows = [{"prompt": "q?", "chosen": "It is 13.", "rejected": "It is 14."}]
    (finding,) = findings_of(recipe(rows, diff_unit=unit), "spans")
    expected = {"word": [[6, 8]], "token": [[7, 8]]}[unit]
    assert finding.numbers["samples"][0]["chosen_spans"] == expected
    assert finding.numbers["samples"][0]["rejected_spans"] == expected


@pytest.mark.parametrize(("fate", "num_rows"), [("drop", 3), ("whole", 4)])
def test_pairs_with_nothing_to_mark_are_named_and_counted(recipe, fate, num_rows):
    found = recipe([*fact_pairs(3), SAME_WORDS], on_missing_spans=fate)
    assert len(load(found).rows) == num_rows
    (warning,) = findings_of(found, "spans", "warning")
    assert "1 of 4 pairs have nothing to mark: row 4 (same)" in warning.text
    assert {"drop": "They are left out", "whole": "They are kept as plain DPO"}[fate] in warning.text
    assert warning.numbers == {"missing": 1, "rows": [4]}


def test_pairs_that_only_a_token_diff_cannot_mark_are_counted_too(recipe):
    longer = {"id": "longer", "prompt": "q?", "chosen": "a b c", "rejected": "a b"}
    (warning,) = findings_of(recipe([*fact_pairs(3), longer], diff_unit="token"), "spans", "warning")
    assert "row 4 (longer)" in warning.text
    assert findings_of(recipe([*fact_pairs(3), longer]), "spans", "warning") == []


def test_nothing_to_mark_anywhere_is_an_error(recipe):
    (error,) = findings_of(recipe([SAME_WORDS]), "spans", "error")
    assert "1 of 1 pairs" in error.text
    assert findings_of(recipe([SAME_WORDS], on_missing_spans="whole"), "spans", "error") == []


def test_longer_chosen_responses_are_warned_about(recipe):
    rows = [row | {"chosen": row["chosen"] + " Indeed."} for row in fact_pairs()]
    (warning,) = findings_of(recipe(rows), "lengths", "warning")
    assert warning.numbers["length_ratio"] == pytest.approx(22 / 14)
    assert "1.57 [12 pairs] times" in warning.text


def test_a_model_folder_without_a_fast_tokenizer_is_an_error_unless_responses_are_whole(recipe, tmp_path):
    found = recipe()
    (tmp_path / "model" / "tokenizer.json").unlink()
    (error,) = findings_of(found, "spans", "error")
    assert "tokenizer.json" in error.text
    assert "save_pretrained" in error.text
    assert findings_of(recipe(spans="whole"), "spans", "error") == []


def test_messages_need_a_chat_template(recipe, tmp_path):
    found = recipe(fact_pairs(messages=True))
    (tmp_path / "model" / "chat_template.jinja").unlink()
    (error,) = findings_of(found, "lengths", "error")
    assert "no chat template" in error.text
    assert findings_of(recipe(fact_pairs()), "lengths", "error") == []


def test_a_template_that_changes_responses_is_an_error_with_the_row(recipe, tmp_path):
    found = recipe(fact_pairs(messages=True))
    template = "{% for m in messages %}{{ m['content'] | upper }}{% endfor %}"
    (tmp_path / "model" / "chat_template.jinja").write_text(template)
    (error,) = findings_of(found, "spans", "error")
    assert "Row 1 (p0): The chat template changes the response" in error.text


def test_a_template_that_cannot_be_rendered_gives_a_warning(recipe, tmp_path):
    found = recipe(fact_pairs(messages=True))
    (tmp_path / "model" / "chat_template.jinja").write_text("{{ raise_exception('no system role') }}")
    (warning,) = findings_of(found, "lengths", "warning")
    assert "no system role" in warning.text


def test_texts_and_messages_are_not_mixed(recipe):
    (error,) = findings_of(recipe(fact_pairs(2) + fact_pairs(4, messages=True)[2:]), "data", "error")
    assert "Write all of them one way" in error.text


def test_pairs_that_are_equal_in_tokens_are_named(recipe, tmp_path):
    same = {"id": "same", "prompt": "q?", "chosen": "It is A.", "rejected": "It is a."}
    assert findings_of(recipe([*fact_pairs(3), same]), "data", "warning") == []
    drop_case(tmp_path / "model")
    (warning,) = findings_of(recipe([*fact_pairs(3), same]), "data", "warning")
    assert "1 of 4 pairs have the same tokens on both sides, so they teach nothing: row 4 (same)." in warning.text
    (error,) = findings_of(recipe([same]), "data", "error")
    assert error.numbers == {"rows": [1]}


@pytest.mark.parametrize("method", ["rrpo", "crome"])
def test_a_recipe_names_columns_of_training_and_evaluation(recipe, tmp_path, method):
    rows = [
        {"id": row["id"], "Q": row["prompt"], "good": row["chosen"], "bad": row["rejected"]} for row in fact_pairs(4)
    ]
    write_rows(tmp_path / "eval.jsonl", rows[:2])
    columns = {"prompt": "Q", "chosen": "good", "rejected": "bad"}
    found = recipe(rows, method=method, dataset={"columns": columns, "eval_path": "./eval.jsonl"})
    data = METHODS[method].part("load")(found)
    assert [row["chosen"] for row in data.rows] == [row["good"] for row in rows]
    assert len(data.eval_rows) == 2
    (error,) = [f for f in prepare(recipe(rows, method=method), Launch()).findings if f.check == "data"]
    assert "Say so with `columns: {chosen: good, rejected: bad, prompt: NAME}` under `dataset`" in error.text
