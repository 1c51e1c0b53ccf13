"""A method that is not ours: with one folder and one name in the list it is checked, trained, reported, described."""

import json
import os

import pytest
from pair_recipe import write_pair_recipe
from started import ROOT, start

pytestmark = pytest.mark.slow

ADD = "import simpo; from align.methods import METHODS; METHODS['simpo'] = simpo.SIMPO; "


@pytest.fixture
def recipe(tmp_path, tiny_model_folder):
    return write_pair_recipe(tmp_path, tiny_model_folder, method="simpo", max_steps=2, beta=2.0, gamma=0.3)


def align(*words, code=ADD):
    code += f"import sys; sys.argv = ['align', *{list(map(str, words))!r}]; from align.cli import main; main()"
    return start("-c", code, PYTHONPATH=os.pathsep.join([str(ROOT), str(ROOT / "tests")]))


def test_it_is_checked_in_its_own_words(recipe):
    done = align("check", recipe, "--json")
    findings = json.loads(done.stdout)
    assert [finding["text"] for finding in findings if finding["level"] == "error"] == []
    (memory,) = [finding for finding in findings if finding["check"] == "memory"]
    assert "reference" not in memory["numbers"]["bytes"]
    wrong = align("check", recipe, "--gama", "1")
    assert "Unknown key `gama`" in wrong.stderr + wrong.stdout
    assert "Did you mean 'gamma'?" in wrong.stderr + wrong.stdout
    assert "`gamma` must be at least 0, got -1" in align("check", recipe, "--gamma", "-1").stderr


def test_without_its_line_in_the_list_it_is_not_known(recipe):
    assert "`method` must be one of" in align("check", recipe, code="").stderr


def test_it_trains_and_its_page_and_card_speak_its_words(recipe):
    run = recipe.parent / "run"
    done = align("train", recipe, "--output_dir", run)
    assert done.returncode == 0, done.stderr
    assert "margin" in done.stderr  # beside the steps
    logged = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in logged if "simpo/margin" in line] == [1, 2]
    page, card = ((run / name).read_text() for name in ("report.html", "README.md"))
    for words in ("SIMPO", "Margin of means", "SimPO has its own finding", "<dt>gamma</dt><dd>0.3</dd>"):
        assert words in page
    for words in ("marked", "0.69", "reference"):
        assert words not in page.partition("<h2>Recipe")[0]
    assert "trained with **SimPO**" in card
    assert "| gamma | 0.3 |" in card
