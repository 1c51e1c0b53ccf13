"""What the commands do, called from Python: typed results, tables for notebooks, and the same errors as exceptions."""

import inspect
import json

import pytest

import align
from align.errors import UserError
from align.report.audit import headline


@pytest.mark.slow
def test_a_recipe_is_checked_trained_and_its_model_evaluated(tiny_recipe, tmp_path):
    recipe = tiny_recipe()
    checked = align.check(recipe, max_steps=2)
    assert checked.is_ready, str(checked)
    assert {"level", "check", "text", "fix"} == set(checked.to_pandas())
    assert "Ready to train." in checked._repr_html_()
    run = align.train(recipe, max_steps=2, output_dir=tmp_path / "out")
    assert (run.folder, run.is_finished) == (tmp_path / "out", True)
    assert run.to_pandas()["step"].max() == 2
    assert repr(run) == f"{run.folder}: finished"
    assert "finished" in run._repr_html_()
    assert run._repr_html_().count("<figure") == 1
    found = align.evaluate.questions(
        model=run.folder, data=tmp_path / "train.jsonl", suite="accuracy", max_rows=4, out=run.folder
    )
    assert (run.folder / "evaluation" / "report.html").is_file(), "the page of the run would be written over"
    table = found.to_pandas()
    assert table.loc[table["metric"] == "accuracy", "n"].tolist() == [4]
    assert "accuracy" in found._repr_html_()


def test_what_is_wrong_is_an_exception_with_the_words_of_the_command(tiny_recipe, tmp_path):
    with pytest.raises(UserError, match="`learning_rate` must be at least 0"):
        align.check(tiny_recipe(), learning_rate=-1)
    with pytest.raises(AttributeError, match="There is no suite `pears`"):
        align.evaluate.pears(model="m", out=str(tmp_path))
    with pytest.raises(TypeError, match="The suite pairs needs `out`"):
        align.evaluate.pairs(model="m")


def test_rows_are_audited(tmp_path):
    rows = [{"prompt": "q?", "chosen": "yes", "rejected": "no"}] * 3
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = align.audit(tmp_path / "pairs.jsonl", out=tmp_path / "audit", near=False, write=True)
    assert found.record.kind == "pairs"
    assert found.written is not None
    assert found.written[:2] == (1, 2)
    table = found.to_pandas().set_index("name")
    assert table.loc["duplicates", "count"] == 2
    assert "duplicates" in found._repr_html_()
    assert f"<p>{headline(found.record)[0]}</p>" in found._repr_html_()
    assert str(found).endswith("audit.html.")


def test_samples_and_pairs_are_filtered(answering_model_folder, tmp_path):
    rows = [{"id": f"p{i}", "prompt": f"q{i}?\nA. {i}\nB. 1\nC. 22\nD. 33\n", "answer": i} for i in range(4)]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = align.filter(
        tmp_path / "prompts.jsonl", out=tmp_path / "kept.jsonl", model=answering_model_folder, verifier="format",
        audit="number_accuracy", num_samples=2, max_new_tokens=8,
    )  # fmt: skip
    counted = found.to_pandas().set_index("")["number"]
    assert (counted["prompts"], counted["rows"]) == (4, found.num_kept)
    assert found.card["decoding"]["max_new_tokens"] == 8
    assert "false positive rate: " in str(found)
    assert "kept.filter.json" in found._repr_html_()
    with pytest.raises(UserError, match="that exists"):
        align.filter(tmp_path / "prompts.jsonl", out=tmp_path / "kept.jsonl", model="m", verifier="format")
    with pytest.raises(UserError, match="`--tau` does not go with samples"):
        align.filter("prompts.jsonl", out=tmp_path / "b.jsonl", model="m", verifier="format", tau=0.1)
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        align.filter("pairs.jsonl", out=tmp_path / "b.jsonl", colour=1)


def test_the_options_of_a_service_are_in_its_signature():
    found = inspect.signature(align.filter).parameters
    assert (next(iter(found)), {"out", "base"} < set(found)) == ("data", True)
    assert (found["tau"].default, found["tau"].annotation) == (0.2, float)
