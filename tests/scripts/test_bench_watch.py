import json

import pytest
from loaded_script import load_script


@pytest.mark.slow
def test_the_bench_compares_equal_steps_and_keeps_its_numbers(tmp_path, capsys):
    out = tmp_path / "watch.json"
    words = ["--model", "random-tiny", "--rounds", "2", "--steps", "3", "--completions", "8", "--tokens", "4"]
    assert load_script("benches.watch").main([*words, "--json", str(out)]) == 0
    found = json.loads(out.read_text())
    assert found["pairs_of_steps"] == 4
    assert found["added_ms"]["low"] <= found["added_ms"]["median"] <= found["added_ms"]["high"]
    assert "`align.watch` adds" in capsys.readouterr().out
