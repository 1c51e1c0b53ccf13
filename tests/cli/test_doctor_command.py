import json

import pytest
from fake_distribution import install
from started import align, least_seconds, modules_after, start

pytestmark = pytest.mark.slow
# An installation without a package: neither its modules nor its metadata are found.
WITHOUT = """
import importlib.metadata as metadata
from importlib.machinery import PathFinder
modules, distributions = PathFinder.find_spec, metadata.Distribution.from_name
def find_spec(name, path=None, target=None):
    return None if name.split(".")[0] == {package!r} else modules(name, path, target)
def from_name(name):
    if name.replace("-", "_") == {package!r}:
        raise metadata.PackageNotFoundError(name)
    return distributions(name)
PathFinder.find_spec, metadata.Distribution.from_name = find_spec, from_name
"""


def test_it_lists_what_is_there_and_leaves_nothing(tmp_path):
    result = align("doctor", "--output_dir", tmp_path / "runs")
    assert result.returncode == 0, result.stdout
    for check in ("python", "packages", "devices", "memory", "vllm", "deepspeed", "disk"):
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


@pytest.mark.parametrize("package", ["huggingface_hub", "psutil"])
def test_it_runs_where_a_package_is_missing(tmp_path, package):
    (tmp_path / "sitecustomize.py").write_text(WITHOUT.format(package=package))
    result = start(
        "-m", "align", "doctor", "--output_dir", str(tmp_path), PYTHONPATH=str(tmp_path), MASTER_PORT=""
    )  # which an engine of another test leaves
    assert result.returncode == 1, result.stderr
    assert f"{package} is not installed" in result.stdout or f"needs {package}, which is not" in result.stdout
    assert "can be written" in result.stdout


def test_it_loads_nothing_heavy():
    code = "from pathlib import Path; from align.cli.findings import check_machine as run; run(Path('outputs'), True)"
    assert modules_after(code) & {"torch", "trl", "transformers", "vllm", "deepspeed"} == set()


def test_it_answers_in_three_seconds():
    assert least_seconds("-m align doctor", 3) < 3
