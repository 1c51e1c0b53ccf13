import json
import subprocess

import pytest
from loaded_script import load_script
from started import ROOT, start

TREE = {
    "pytest.ini": "[pytest]\naddopts = --doctest-modules\n",
    "align/__init__.py": "",
    "rewards/__init__.py": "",
    "rewards/sums.py": """
def double(x):
    '''Doubles.

    >>> double(3)
    6
    '''
    return x + x


def spin(times):
    while times > 0:
        times = times - 1


def rounded(x):
    return round(x, 3)
""",
    "tests/test_sums.py": """
from rewards.sums import double, spin


def test_sums():
    assert spin(double(1)) is None
""",
}
LIST = """
[sums."rewards/former.py"]
tests = ["tests/test_sums.py"]
mutants = [
  ["double", "x + x", "x - x"],
  ["former_name", "times - 1", "times - 0"],
  ["rounded", "round(x, 3)", "round(x, 4)"],
  ["rounded", "(x, 3)", "(x, 3.0)", "only to show"],
  ["double", "Doubles.", "Halves."],
  ["double", "x * 2", "x * 3"],
]
"""


@pytest.mark.nightly
@pytest.mark.slow
def test_breaks_are_killed_survive_or_are_gone_and_a_second_run_repeats_nothing(tmp_path):
    for name, text in TREE.items():
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).write_text(text)
    subprocess.run(["git", "init", "--quiet", str(tmp_path / "tree")], check=True)
    (tmp_path / "list.toml").write_text(LIST)
    words = ["-m", "scripts.checks.mutants", "--tree", tmp_path / "tree", "--list", tmp_path / "list.toml"]
    words += ["--kept", tmp_path / "kept.jsonl", "--json", tmp_path / "found.json", "--check_bars"]
    done = start(*map(str, words), PYTHONPATH=str(ROOT))
    assert done.returncode == 1, done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert list(found["outcomes"].values()) == ["killed", "killed", "survived", "equivalent", "gone", "gone"]
    assert found["share_killed"] == {"sums": 2 / 3, "all": 2 / 3}
    kept = (tmp_path / "kept.jsonl").read_text()
    assert len(kept.splitlines()) == 4  # one of them without a break
    assert start(*map(str, words), PYTHONPATH=str(ROOT)).returncode == 1
    assert (tmp_path / "kept.jsonl").read_text() == kept
    assert (tmp_path / "tree" / "rewards" / "sums.py").read_text() == TREE["rewards/sums.py"]


def test_each_break_of_the_list_still_applies():
    script = load_script("checks.mutants")
    mutants, functions = script.read_list(), script.functions_of(ROOT)
    places = {each: script.place(each, functions) for each in mutants}
    assert [each.key for each, found in places.items() if found is None] == []
    texts = {found.file: (ROOT / found.file).read_text() for found in places.values()}
    assert all(script.broken(texts[found.file], found, each) is not None for each, found in places.items())
    assert [test for each in mutants for test in each.tests if not (ROOT / test).exists()] == []
    assert len({each.key for each in mutants}) == len(mutants) >= 120
    assert {each.region for each in mutants} == {"losses", "scoring", "correction", "statistics", "runs", "pairs"}
