"""Two real processes on CPUs."""

from pathlib import Path

import pytest
from started import launch

SCRIPT = Path(__file__).with_name("joining_process.py")


@pytest.mark.slow
@pytest.mark.nightly  # a launch for one setting; by day launches train by the settings of their recipes
def test_processes_wait_as_long_as_the_recipe_says(tmp_path):
    result = launch("ddp_cpu.yaml", SCRIPT, tmp_path / "done", timeout=120)
    assert result.stdout, result.stderr[-3000:]
    processes, seconds = map(int, result.stdout.split())
    assert processes == 2
    assert 2 <= seconds <= 10
