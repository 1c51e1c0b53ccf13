import json

import pytest
from started import start

ZEROS = ("answers_paid_twice", "rows_lost", "rows_doubled", "rows_changed", "rows_left_out")


@pytest.mark.nightly
def test_the_fault_run_loses_and_doubles_nothing(tmp_path):
    words = [
        "--rounds",
        1,
        "--pairs",
        8,
        "--fault_pairs",
        8,
        "--kills",
        1,
        "--delay",
        0.01,
        "--json",
        tmp_path / "bench.json",
    ]
    result = start("-m", "scripts.benches.augment", *map(str, words))
    assert result.returncode == 0, result.stderr
    faults = json.loads((tmp_path / "bench.json").read_text())["faults"]
    assert {name: faults[name] for name in ZEROS} == dict.fromkeys(ZEROS, 0)
    assert faults["rows"] == 8 * 12
    assert faults["answers_paid"] == faults["answers_in_the_card"]
    assert len(faults["kinds"]) == 31, "every fault came up"
