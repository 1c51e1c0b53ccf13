import json

import pytest
from loaded_script import load_script


@pytest.fixture
def bench_report():
    return load_script("benches.report")


@pytest.mark.slow
@pytest.mark.nightly  # as the bench of commands
def test_the_benchmark_measures_a_page_of_a_generated_run(bench_report, tmp_path, capsys):
    out = tmp_path / "bench.json"
    assert bench_report.main(["--steps", "40", "--completions", "80", "--rounds", "1", "--json", str(out)]) == 0
    found = json.loads(out.read_text())
    assert found["median"]["bytes"] > 50_000
    assert found["median"]["cpu_seconds"] > 0
    assert found["bars"]["under 10 MB"]
    assert "40 steps, 80 completions" in capsys.readouterr().out


def test_a_missed_bar_is_an_exit_code(bench_report, monkeypatch):
    monkeypatch.setattr(bench_report, "BYTES_BAR", 10)
    monkeypatch.setattr(bench_report, "measure", lambda folder: {"seconds": 1.0, "cpu_seconds": 1.0, "bytes": 20})
    words = ["--steps", "2", "--completions", "40", "--rounds", "1"]
    assert bench_report.main([*words, "--check_bars"]) == 1
    assert bench_report.main(words) == 0
