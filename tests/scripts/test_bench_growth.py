import json

import pytest
from loaded_script import load_script


@pytest.fixture
def bench():
    return load_script("benches.growth")


@pytest.mark.slow
@pytest.mark.nightly  # as the bench of commands
def test_the_bench_measures_processes_and_fits_how_they_grow(bench, tmp_path, capsys):
    out = tmp_path / "growth.json"
    words = ["--rows", "20", "60", "--parts", "load-pairs", "--words", "6", "--json", str(out)]
    assert bench.main(words) == 0
    found = json.loads(out.read_text())
    assert found["curves"]["load-pairs"]["60"]["cpu_seconds"] > 0
    assert found["curves"]["load-pairs"]["20"]["peak_gb"] > 0
    assert set(found["exponents"]["load-pairs"]) == {
        "cpu_seconds", "cpu_seconds_beyond", "peak_gb", "peak_gb_beyond",
    }  # fmt: skip
    assert "load-pairs" in capsys.readouterr().out


@pytest.mark.nightly
def test_commands_are_measured_on_what_was_written_for_them(bench, tmp_path):
    parts = ("check-questions", "check-pairs", "report", "skip-completions", "share-prompts")
    words = ["--rows", "100", "--words", "6", "--parts", *parts, "--json", str(tmp_path / "growth.json")]
    assert bench.main(words) == 0
    assert set(json.loads((tmp_path / "growth.json").read_text())["curves"]) == set(parts)


def test_the_exponent_is_that_of_a_power(bench):
    used = {size: bench.Used(1 + 3e-4 * size**1.5, 0, 0.2) for size in (100, 1_000, 10_000, 100_000)}
    found = bench.fit(used)
    assert found["cpu_seconds_beyond"] == pytest.approx(1.5, abs=0.05)
    assert found["peak_gb"] == 0
    assert found["peak_gb_beyond"] is None


def test_a_missed_bar_is_told(bench):
    found = {"check-pairs": {200_000: bench.Used(40, 30, 1)}, "load-pairs": {1_000_000: bench.Used(40, 30, 1)}}
    assert list(bench.check_bars(found).values()) == [True, False]
    assert bench.check_bars({"check-pairs": {10: bench.Used(1, 1, 1)}}) == {}


def test_a_command_that_fails_stops_the_bench_with_what_it_said(bench, tmp_path):
    with pytest.raises(RuntimeError, match=r"(?s)ended with 1.*no such thing"):
        bench.run(["-c", "raise SystemExit('no such thing')"], tmp_path)
