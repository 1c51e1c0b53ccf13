"""Recipes whose rows are read while training."""

import pytest
from pair_recipe import fact_pairs, sourced_pairs, write_pair_recipe, write_reward_recipe

from align.checks.launch import Launch
from align.errors import DataError, RecipeError
from align.methods import METHODS
from align.recipe.recipe import load_recipe
from align.services.prepared import prepare
from align.training.build import build_trainer

STREAM = {"streaming": True}


def loaded(path):
    recipe = load_recipe(path)
    return recipe, METHODS[recipe.method].part("load")(recipe)


@pytest.mark.by_day("write_pair_recipe-fact_pairs")
@pytest.mark.parametrize(("write", "make"), [(write_pair_recipe, fact_pairs), (write_reward_recipe, sourced_pairs)])
def test_a_streamed_recipe_tells_bad_rows_by_their_line_and_counts_them(
    tmp_path, tiny_model_folder, capsys, write, make
):
    rows = make(8)
    rows[0], rows[5] = rows[0] | {"rejected": rows[0]["chosen"]}, rows[5] | {"chosen": 3}
    path = write(tmp_path, tiny_model_folder, rows, dataset=STREAM | {"on_bad_rows": "skip"}, max_steps=2)
    recipe, data = loaded(path)
    assert len(data.rows) == 6
    trainer = build_trainer(recipe, data, [])
    trainer.train()
    said = capsys.readouterr().err
    assert "train.jsonl, row 1, column `rejected`: chosen and rejected are equal" in said
    assert "train.jsonl, row 6, column `chosen`: the response is missing or empty" in said
    assert "Of 8 rows of the train dataset that were read, 2 cannot be used: left out." in said
    assert trainer.num_left_out["train"] == 2


def test_a_bad_row_behind_the_first_thousand_ends_the_stream_where_it_should_not_be_skipped(
    tmp_path, tiny_model_folder
):
    rows = [{**row, "id": str(i)} for i, row in enumerate(fact_pairs(4) * 251)]
    rows[1001] |= {"rejected": rows[1001]["chosen"]}
    _, data = loaded(write_pair_recipe(tmp_path, tiny_model_folder, rows, dataset=STREAM))
    assert len(data.rows) == 1_000
    with pytest.raises(
        DataError, match=r"row 1002, column `rejected`: chosen and rejected are equal.*`on_bad_rows: skip`"
    ):
        list(data.stream())
    path = write_pair_recipe(tmp_path, tiny_model_folder, rows, dataset=STREAM | {"max_rows": 1_001})
    assert len(list(loaded(path)[1].stream())) == 1_001


def test_the_check_says_what_is_streamed_and_that_training_needs_an_end(tmp_path, tiny_model_folder):
    checked = prepare(load_recipe(write_pair_recipe(tmp_path, tiny_model_folder, dataset=STREAM)), Launch())
    texts = [finding.text for finding in checked.findings]
    assert any("is a stream: these are its first rows" in text for text in texts)
    assert not any("One pass over" in text for text in texts)
    endless = load_recipe(write_pair_recipe(tmp_path, tiny_model_folder, dataset=STREAM, max_steps=-1))
    errors = [finding.text for finding in prepare(endless, Launch()).findings if finding.level == "error"]
    assert errors == ["`dataset.streaming: true` reads a stream, whose length is not known. Set `max_steps`."]


@pytest.mark.parametrize("name", ["logging_strategy", "save_strategy", "eval_strategy"])
def test_what_is_done_after_a_pass_is_refused(tmp_path, tiny_model_folder, name):
    stream = STREAM | {"eval_path": "./train.jsonl"}
    recipe = load_recipe(write_pair_recipe(tmp_path, tiny_model_folder, dataset=stream, **{name: "epoch"}))
    errors = [finding.text for finding in prepare(recipe, Launch()).findings if finding.level == "error"]
    of_steps = f"Set `{name}: steps` and `{name.partition('_')[0]}_steps`."
    assert errors == [f"`{name}: epoch` waits for the end of a pass, and a stream has no end. {of_steps}"]


def test_the_check_says_that_none_of_the_first_rows_has_a_mark(tmp_path, tiny_model_folder):
    rows = [row | {"chosen_spans": [], "rejected_spans": []} for row in fact_pairs(2)]
    checked = prepare(load_recipe(write_pair_recipe(tmp_path, tiny_model_folder, rows, dataset=STREAM)), Launch())
    errors = [finding.text for finding in checked.findings if finding.level == "error"]
    assert [text.partition(":")[0] for text in errors] == ["2 of 2 pairs have nothing to mark"]


def test_a_mixture_is_not_streamed(tmp_path, tiny_model_folder):
    path = write_pair_recipe(tmp_path, tiny_model_folder)
    mixed = "dataset:\n  streaming: true\n  mix:\n  - path: ./train.jsonl\n  - path: ./train.jsonl\n"
    path.write_text(
        path.read_text(encoding="utf-8").replace("dataset:\n  path: ./train.jsonl\n", mixed), encoding="utf-8"
    )
    with pytest.raises(RecipeError, match="`streaming` reads one set as it goes"):
        load_recipe(path)


def test_prompts_that_were_split_off_texts_are_shown(tmp_path, tiny_model_folder):
    rows = [{"chosen": f"Say {word}: it is 17.", "rejected": f"Say {word}: it is 25."} for word in ("a", "bb")]
    checked = prepare(load_recipe(write_pair_recipe(tmp_path, tiny_model_folder, rows)), Launch())
    text = next(finding.text for finding in checked.findings if "have no `prompt`" in finding.text)
    assert "2 of 2 pairs have no `prompt`: it is what both texts begin with, as in TRL." in text
    assert "The shortest is 'Say a: it is', of row 1." in text
