"""A suite of one's own is one folder and an entry point: it has its command, its options and its page."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from fake_distribution import install
from started import ROOT

HERE = Path(__file__).parent


@pytest.mark.slow
def test_a_suite_of_an_installed_package_is_a_command_with_its_options(tmp_path, tiny_model_folder):
    install(tmp_path / "site", "shouting", "1.0")
    place = tmp_path / "site" / "shouting-1.0.dist-info" / "entry_points.txt"
    place.write_text("[truealign.suites]\nshouting = shouting:SHOUTING\nbroken = no_such:X\nodd = json:dumps\n")
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"prompt": f"Say {i}."}) + "\n" for i in range(4)))

    words = ("--model", tiny_model_folder, "--data", "rows.jsonl", "--max_new_tokens", 4)
    commands = [
        ("shouting", "--help"),
        ("shouting", *words, "--loud", 0, "--out", "out"),
        ("--suite", "shouting", *words, "--num_shuffles", 2, "--out", "other"),
    ]
    found = subprocess.run(
        [sys.executable, ROOT / "tests" / "in_one_process.py"], capture_output=True, text=True, cwd=tmp_path,
        input=json.dumps([["eval", *map(str, command)] for command in commands]),
        env={"PYTHONPATH": f"{tmp_path / 'site'}:{HERE}:{ROOT}", "HOME": str(tmp_path)},
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    results = json.loads(found.stdout.splitlines()[-1])
    assert {result["crash"] for result in results} == {"NoneType: None\n"}
    code, shown = results[0]["code"], results[0]["output"]
    assert (code, "--loud" in shown, "--num_shuffles" in shown) == (0, True, False)
    assert "The suite broken of shouting is left out: loading no_such:X failed with ModuleNotFoundError" in shown
    assert "The suite odd of shouting is left out: json:dumps must be a `Suite`, got function." in shown
    assert results[1]["code"] == 0, results[1]["output"]
    record = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert (record["kind"], record["about"]["settings"]) == ("suite", {"loud": 0.0})
    assert record["suites"]["shouting"]["model"]["shouting"]["n"] == 4
    assert "Shouting" in (tmp_path / "out" / "report.html").read_text()
    code, shown = results[2]["code"], results[2]["output"]
    assert (code, "`--num_shuffles` does not go with `--suite shouting`" in shown) == (1, True)
