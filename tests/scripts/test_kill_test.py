"""A kill of the one family of methods that no other test of CI kills; `--kills 100` is run by hand."""

import pytest
from loaded_script import load_script
from started import ROOT, start

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("methods", [("deconfound",), pytest.param(("grpo", "rrpo"), marks=pytest.mark.nightly)])
def test_killed_runs_end_like_the_uninterrupted_one(methods, tmp_path):
    kills = len(methods)
    words = ["--kills", str(kills), "--methods", *methods, "--out", str(tmp_path)]
    result = start("-m", "scripts.checks.kill_test", *words, PYTHONPATH=str(ROOT))
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    rows = {words[0]: words for line in result.stdout.splitlines() if (words := line.split())}
    assert all(int(rows[method][6]) >= 1 for method in methods), result.stdout
    assert f"{kills} kills, " in result.stdout  # how many rounds depends on how many were too late


def test_a_run_that_ends_elsewhere_is_found(tmp_path):
    kill_test = load_script("checks.kill_test")
    for name, reward in (("whole", 0.5), ("other", 0.25)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(name.encode())
        (folder / "metrics.jsonl").write_text(f'{{"step": 1, "reward": {reward}, "step_time": 3}}\n')
        (folder / "rewards.jsonl").write_text('{"goes_on_after": 1}\n' * (name == "other"))
        (folder / "README.md").write_text("")
        (folder / "report.html").write_text("")
    found = kill_test.differences(tmp_path / "whole", tmp_path / "other")
    assert found == ["model.safetensors", "metrics.jsonl at [(1,)]"]
    assert kill_test.differences(tmp_path / "whole", tmp_path / "whole") == []
