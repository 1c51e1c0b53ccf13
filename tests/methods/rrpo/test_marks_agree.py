"""What the check says of odd pairs is what training does with them."""

import json
import shutil

import pytest
from datasets import Dataset
from pair_recipe import as_messages, write_pair_recipe
from transformers import AutoTokenizer

from align.checks.launch import Launch
from align.errors import DataError
from align.methods.pairs.checks import marked_rows
from align.methods.rrpo.config import RRPOConfig
from align.methods.rrpo.trainer import RRPOTrainer
from align.recipe.recipe import load_recipe
from align.services.prepared import prepare

ODD = {
    "one word": {"chosen": "it is red", "rejected": "it is blue"},
    "no word differs": {"chosen": "it is", "rejected": "it  is"},
    "no token differs": {"chosen": "it is ~", "rejected": "it is"},
    "all differs": {"chosen": "red", "rejected": "blue"},
    "only longer": {"chosen": "it is red", "rejected": "it is"},
    "tags": {"chosen": "it <MASK>is</MASK> red", "rejected": "it <MASK>was</MASK> blue"},
    "within a word": {"chosen": "mauve", "rejected": "blue", "chosen_spans": [[2, 4]], "rejected_spans": []},
    "between tokens": {"chosen": "it ~ is", "rejected": "it was", "chosen_spans": [[3, 4]], "rejected_spans": []},
    "no spans": {"chosen": "it is red", "rejected": "it is blue", "chosen_spans": [], "rejected_spans": []},
    "emoji": {"chosen": "it is \N{THUMBS UP SIGN}\N{EMOJI MODIFIER FITZPATRICK TYPE-4} red", "rejected": "it is red"},
    "unknown emoji": {"chosen": "it is \N{PARTY POPPER}", "rejected": "it is \N{THUMBS UP SIGN}"},
    "late": {"chosen": "it is as it was and is green", "rejected": "it is as it was and is grey"},
    "long prompt": {"prompt": "why, " * 12, "chosen": "red", "rejected": "blue"},
}
NO_OFFSETS = {"chosen_spans": None, "rejected_spans": None}
NOTHING = {"no word differs", "no token differs", "between tokens", "no spans"}
SETTINGS = {
    "words": ({}, NOTHING),
    "tokens": ({"diff_unit": "token"}, {*NOTHING, "only longer", "emoji", "unknown emoji"}),
    "whole": ({"spans": "whole"}, set()),
    "missing ones whole": ({"on_missing_spans": "whole"}, NOTHING),
    "cut": ({"max_length": 32}, NOTHING),
    "cut, missing ones whole": ({"max_length": 32, "on_missing_spans": "whole"}, NOTHING),
}
EMPTY = {"id": "empty", "prompt": "q?", "chosen": "", "rejected": "it is"}


@pytest.fixture(scope="module")
def model(tiny_model_folder, tmp_path_factory):
    """A model whose tokenizer makes no token of a tilde."""
    folder = shutil.copytree(tiny_model_folder, tmp_path_factory.mktemp("odd") / "model")
    file = folder / "tokenizer.json"
    normalizer = {"type": "Replace", "pattern": {"String": "~"}, "content": ""}
    file.write_text(json.dumps(json.loads(file.read_text()) | {"normalizer": normalizer}))
    return folder


def train(recipe, model, rows):
    return RRPOTrainer(
        str(model),
        args=RRPOConfig(**recipe.training),
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(model),
    )


@pytest.mark.by_day("words-False", "tokens-False", "cut-True", "cut, missing ones whole-False")
@pytest.mark.parametrize(("case", "messages"), [*((case, False) for case in SETTINGS), ("words", True), ("cut", True)])
def test_what_the_check_says_of_odd_pairs_is_what_training_does(tmp_path, model, case, messages):
    settings, nothing = SETTINGS[case]
    rows = [{"id": name, "prompt": "q?"} | NO_OFFSETS | row for name, row in ODD.items()]
    rows = [as_messages(row) for row in rows] if messages else rows
    recipe = load_recipe(
        write_pair_recipe(
            tmp_path, model, [*rows, EMPTY], dataset={"on_bad_rows": "skip"}, **{"max_length": None} | settings
        )
    )
    checked = prepare(recipe, Launch())
    assert [pair.id for pair in checked.data.items] == list(ODD)

    def told(words):
        found = [finding.numbers["rows"] for finding in checked.findings if words in finding.text]
        return {rows[row - 1]["id"] for numbers in found for row in numbers}

    trainer = train(recipe, model, rows)
    trained = {row["id"]: row for row in trainer.train_dataset}
    lost = told("They are left out;") | told("are cut off whole") | told("so that no preference is left to learn")
    assert set(trained) == set(ODD) - lost
    assert trainer.num_left_out == {"train": len(lost)}
    assert told("have nothing to mark") == nothing
    equal = {name for name, row in trained.items() if row["chosen_ids"] == row["rejected_ids"]}
    assert told("so they teach nothing") & set(trained) == equal
    whole = told("kept as plain DPO") | (set(ODD) if case == "whole" else set())
    for name in set(trained) & whole:
        assert all(trained[name]["chosen_span_mask"] + trained[name]["rejected_span_mask"]), name
    for row in marked_rows(recipe, checked.data.items):
        if row["id"] in trained:
            masks = trained[row["id"]]["chosen_span_mask"] + trained[row["id"]]["rejected_span_mask"]
            assert row["marked_share"] == sum(masks) / len(masks), row["id"]


def test_a_response_without_text_is_refused_by_both_with_one_reason(tmp_path, model):
    recipe = load_recipe(write_pair_recipe(tmp_path, model, [EMPTY | {"id": None}]))
    (error,) = [finding for finding in prepare(recipe, Launch()).findings if finding.level == "error"]
    with pytest.raises(DataError, match="row 1, column `chosen`: ") as refused:
        train(recipe, model, [EMPTY])
    assert str(refused.value).partition("row 1, ")[2] in error.text
