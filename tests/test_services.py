"""What the commands do, called from Python: typed results, tables for notebooks, and the same errors as exceptions."""

import json

import pytest

import align
from align.errors import UserError


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
    assert "finished" in run._repr_html_()
    found = align.evaluate(
        "questions", model=run.folder, data=tmp_path / "train.jsonl", suite="accuracy", max_rows=4, out=run.folder
    )
    assert (run.folder / "evaluation" / "report.html").is_file(), "the page of the run would be written over"
    table = found.to_pandas()
    assert table.loc[table["metric"] == "accuracy", "n"].tolist() == [4]
    assert "accuracy" in found._repr_html_()


def test_what_is_wrong_is_an_exception_with_the_words_of_the_command(tiny_recipe, tmp_path):
    with pytest.raises(UserError, match="`learning_rate` must be at least 0"):
        align.check(tiny_recipe(), learning_rate=-1)
    with pytest.raises(UserError, match="`suite` must be one of questions, prompts"):
        align.evaluate("pears", model="m", out=str(tmp_path))
    with pytest.raises(TypeError, match="There is no option `colour`"):
        align.evaluate("pairs", model="m", out=str(tmp_path), colour=1)
    with pytest.raises(TypeError, match="The suite pairs needs `out`"):
        align.evaluate("pairs", model="m")
    with pytest.raises(UserError, match="`merge` divides the command"):
        align.evaluate("pairs", model="m", out=str(tmp_path), merge=["a"])


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
    assert str(found).endswith("audit.html.")
    with pytest.raises(TypeError, match="There is no option `colour`"):
        align.audit("pairs.jsonl", out=tmp_path, colour=1)
