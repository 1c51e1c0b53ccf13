"""The tutorials: notebooks that run, with what they showed saved in them."""

import json
import re

import pytest
from started import ROOT

TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.ipynb"))
OF_A_MACHINE = re.compile(r"/(tmp|home|root|work|private|Users)/|\x1b\[")
SHOWN = {  # what a reader is to see in each
    "first-run": ("Ready to train", "75% [73%, 76%]", "<figure", "acre - grpo"),
    "is-it-better": ("new - misreader", "many#new - many#misreader"),
    "own-reward": ("it is gamed by", "none game it", "non-zero-advantage completions", "<figure"),
}


def outputs(notebook):
    return [each for cell in notebook["cells"] if cell["cell_type"] == "code" for each in cell["outputs"]]


def text_of(shown):
    return json.dumps([output.get("data", output.get("text")) for output in shown], ensure_ascii=False)


def test_there_is_a_tutorial_for_each_of_three_questions():
    assert [path.stem for path in TUTORIALS] == sorted(SHOWN)


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_has_its_outputs_and_nothing_of_a_machine(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    shown = outputs(notebook)
    assert path.stat().st_size < 150_000
    assert not any(output["output_type"] == "error" for output in shown)
    text = text_of(shown)
    assert [words for words in SHOWN[path.stem] if words not in text] == []
    assert OF_A_MACHINE.findall(text) == []
    links = re.findall(r"\]\((?!https?:)([^)#]+)", json.dumps([cell["source"] for cell in notebook["cells"]]))
    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.slow
@pytest.mark.by_day("first-run")
@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_runs_offline_and_shows_what_it_says(path, tmp_path):
    pytest.importorskip("nbformat")
    pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    from scripts.notebooks import run

    text = text_of(outputs(run(path, tmp_path)))
    assert [words for words in SHOWN[path.stem] if words not in text] == []
