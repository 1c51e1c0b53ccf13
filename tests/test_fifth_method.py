"""A method that is not ours: with one folder and one name in the list it is checked, trained, reported, described."""

import json

import pytest
from pair_recipe import write_pair_recipe
from started import with_tests

pytestmark = pytest.mark.slow

RUN = """
import json, sys
from in_one_process import run
recipe, out = sys.argv[1:]
unknown = run(["check", recipe])
import simpo
from align.methods import METHODS
METHODS["simpo"] = simpo.SIMPO
found = [run(["check", recipe, *words]) for words in (["--json"], ["--gama", "1"], ["--gamma", "-1"])]
print(json.dumps([unknown, *found, run(["train", recipe, "--output_dir", out])]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("simpo")


@pytest.fixture(scope="module")
def done(folder, tiny_model_folder):
    """Runs commands in a process of their own, whose list of methods has one more from the second on."""
    recipe = write_pair_recipe(folder, tiny_model_folder, method="simpo", max_steps=2, beta=2.0, gamma=0.3)
    found = with_tests("-c", RUN, recipe, folder / "run")
    assert found.returncode == 0, found.stderr[-3000:]
    results = json.loads(found.stdout.splitlines()[-1])
    assert {result["crash"] for result in results} == {"NoneType: None\n"}
    return results


def test_it_is_checked_in_its_own_words(done):
    _, good, wrong, low, _ = (each["output"] for each in done)
    findings = json.loads(good)
    assert [finding["text"] for finding in findings if finding["level"] == "error"] == []
    (memory,) = [finding for finding in findings if finding["check"] == "memory"]
    assert "reference" not in memory["numbers"]["bytes"]
    assert "Unknown key `gama`" in wrong
    assert "Did you mean 'gamma'?" in wrong
    assert "`gamma` must be at least 0, got -1" in low


def test_without_its_line_in_the_list_it_is_not_known(done):
    assert done[0]["code"] == 1
    assert "`method` must be one of" in done[0]["output"]


def test_it_trains_and_its_page_and_card_speak_its_words(done, folder):
    run = folder / "run"
    assert done[-1]["code"] == 0, done[-1]["output"]
    assert "margin" in done[-1]["output"]  # beside the steps
    logged = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in logged if "simpo/margin" in line] == [1, 2]
    page, card = ((run / name).read_text() for name in ("report.html", "README.md"))
    for words in ("SIMPO", "Margin of means", "SimPO has its own finding", "<dt>gamma</dt><dd>0.3</dd>"):
        assert words in page
    for words in ("marked", "0.69", "reference"):
        assert words not in page.partition("<h2>Recipe")[0]
    assert "trained with **SimPO**" in card
    assert "| gamma | 0.3 |" in card
