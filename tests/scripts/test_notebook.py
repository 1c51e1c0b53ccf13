"""The quickstart in a notebook: trained for a few steps, evaluated, and shown."""

import pytest
from started import ROOT

EVAL = ROOT / "recipes" / "acre" / "assets" / "lab" / "eval.jsonl"
CELLS = (
    "import align\n\nchecked = align.check('acre/quickstart', output_dir='run')\nchecked",
    "run = align.train('acre/quickstart', max_steps=2, logging_steps=1, output_dir='run')\nrun",
    f"found = align.evaluate('questions', model=run.folder, data='{EVAL}', max_rows=8, out='evaluated')\nfound",
    "found.to_pandas()",
)
SHOWN = ("Ready to train.", "<figure", "accuracy", "<table")


@pytest.mark.slow
@pytest.mark.nightly  # tests/test_services.py calls the same, and shows the same tables, without a kernel
def test_the_quickstart_is_trained_evaluated_and_shown(tmp_path):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    place = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=500, kernel_name="python3", resources=place).execute()
    assert (tmp_path / "evaluated" / "report.html").is_file()
    for cell, word in zip(notebook.cells, SHOWN, strict=True):
        (result,) = (each for each in cell.outputs if each.output_type == "execute_result")
        assert word in result.data["text/html"]
        assert result.data["text/plain"]
