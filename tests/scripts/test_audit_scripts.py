import json

import pytest
from loaded_script import load_script


@pytest.mark.slow
def test_the_lab_counts_false_alarms_and_cues_found(tmp_path, capsys):
    out = tmp_path / "lab.json"
    lab = load_script("labs.audit.lab")
    assert lab.main(["--clean", "2", "--power", "1", "--check_bars", "--json", str(out)]) == 0
    found = json.loads(out.read_text())
    assert found["sets_with_false_alarms"] == {}
    assert found["power"]["30% against 15%"]["found"] == 1
    assert "False alarms in 0 of 2 clean sets of 600 pairs (seeds 0 to 1)" in capsys.readouterr().out


def test_a_missed_bar_of_the_lab_is_an_exit_code(monkeypatch):
    lab = load_script("labs.audit.lab")
    monkeypatch.setattr(lab, "cues_of", lambda rows: ['"noise"'])
    assert lab.main(["--clean", "2", "--power", "1", "--pairs", "20", "--check_bars"]) == 1
