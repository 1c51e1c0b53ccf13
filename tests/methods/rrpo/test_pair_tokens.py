"""The check tokenises as the trainer does, without importing it."""

import pytest
from pair_recipe import as_messages, fact_pairs, write_pair_recipe

from align.checks.launch import Launch
from align.data.texts import count_shared
from align.methods.pairs.checks import marked_rows, tokenize_here
from align.recipe.recipe import load_recipe
from align.services.prepared import prepare

ROWS = [
    *fact_pairs(4),
    {"prompt": "q?", "chosen": "a b c", "rejected": "a b"},
    {"prompt": "Why?", "chosen": "It <MASK>rains</MASK> a lot.", "rejected": "It <MASK>snows</MASK>"},
    {"prompt": "Why?", "chosen": "one two", "rejected": "two three", "chosen_spans": [[0, 3]], "rejected_spans": []},
    {"prompt": "q?", "chosen": "a b", "rejected": "a  b"},
]
SETTINGS = {
    "words": {},
    "tokens": {"diff_unit": "token"},
    "whole": {"spans": "whole"},
    "missing ones whole": {"on_missing_spans": "whole"},
}


@pytest.mark.by_day("True-tokens", "False-words", "False-whole", "True-missing ones whole")
@pytest.mark.parametrize("case", SETTINGS)
@pytest.mark.parametrize("messages", [False, True])
def test_tokens_and_marks_are_those_of_the_trainer(tmp_path, tiny_model_folder, case, messages):
    from datasets import Dataset
    from transformers import AutoTokenizer

    from align.methods.rrpo.config import RRPOConfig
    from align.methods.rrpo.trainer import RRPOTrainer

    rows = [as_messages(row) for row in ROWS] if messages else ROWS
    recipe = load_recipe(write_pair_recipe(tmp_path, tiny_model_folder, rows, **SETTINGS[case]))
    checked = prepare(recipe, Launch())
    trainer = RRPOTrainer(
        str(tiny_model_folder),
        args=RRPOConfig(**recipe.training),
        train_dataset=Dataset.from_list(checked.data.rows),
        processing_class=AutoTokenizer.from_pretrained(tiny_model_folder),
    )
    kept = {row["id"] for row in checked.data.rows}
    tokens, problems = tokenize_here(recipe, [pair for pair in checked.data.items if pair.id in kept])
    assert problems == []
    ours = [token for _, token in tokens if any(token.marks.chosen) or any(token.marks.rejected)]
    assert [token.prompt for token in ours] == [len(row["prompt_ids"]) for row in trainer.train_dataset]
    for side in ("chosen", "rejected"):
        assert [getattr(token.marks, side) for token in ours] == list(trainer.train_dataset[f"{side}_span_mask"])
    (missing,) = [f for f in checked.findings if "nothing to mark" in f.text] or [None]
    if case in ("words", "tokens"):
        assert missing.numbers["missing"] == len(ROWS) - len(trainer.train_dataset)


def test_rows_for_the_report_have_the_spans_that_training_marks(tmp_path, tiny_model_folder):
    recipe = load_recipe(write_pair_recipe(tmp_path, tiny_model_folder, fact_pairs(50), spans="whole"))
    pairs = prepare(recipe, Launch()).data.items
    rows = marked_rows(recipe, pairs)
    assert len(rows) == 40
    assert {tuple(row["chosen_spans"][0]) for row in rows} == {(0, 14)}
    assert {row["marked_share"] for row in rows} == {1.0}


def test_rows_for_the_report_need_no_tokenizer(tmp_path, tiny_model_folder):
    path = write_pair_recipe(tmp_path, tiny_model_folder, model_name_or_path="owner/elsewhere")
    recipe = load_recipe(path)
    rows = marked_rows(recipe, prepare(recipe, Launch()).data.items, limit=2)
    assert [row["id"] for row in rows] == ["p0", "p6"]
    assert all(row["chosen"][slice(*row["chosen_spans"][0])].isdigit() for row in rows)


def test_what_is_shared_ends_where_one_text_departs():
    assert count_shared([1, 2, 3], [1, 2, 4], [1, 2, 3, 5]) == 2
    assert count_shared([1, 2, 3], [1, 2], [1, 2, 3]) == 2
