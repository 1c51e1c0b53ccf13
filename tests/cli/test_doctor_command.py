import json

import pytest
from fake_distribution import install
from started import align, least_seconds, modules_after, start

pytestmark = pytest.mark.slow


def test_it_lists_what_is_there_and_leaves_nothing(tmp_path):
    result = align("doctor", "--output_dir", tmp_path / "runs")
    assert result.returncode == 0, result.stdout
    for check in ("python", "packages", "devices", "memory", "vllm", "deepspeed", "disk", "ports"):
        assert check in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_broken_environment_gives_exit_code_1_and_the_line_that_mends_it(tmp_path):
    install(tmp_path, "transformers", "5.99.0")
    result = start("-m", "align", "doctor", PYTHONPATH=str(tmp_path))
    assert result.returncode == 1
    assert 'pip install "transformers>=5.17,<5.40"' in result.stdout
    found = json.loads(start("-m", "align", "doctor", "--json", PYTHONPATH=str(tmp_path)).stdout)
    errors = [finding for finding in found if finding["level"] == "error"]
    assert [(error["check"], error["fix"]) for error in errors] == [
        ("packages", 'pip install "transformers>=5.17,<5.40"')
    ]


def test_it_loads_nothing_heavy():
    code = "from pathlib import Path; from align.cli.doctor import run; run(Path('outputs'), True)"
    assert modules_after(code) & {"torch", "trl", "transformers", "vllm", "deepspeed"} == set()


def test_it_answers_in_three_seconds():
    assert least_seconds("-m align doctor", 3) < 3
