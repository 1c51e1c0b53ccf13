"""Small runs of the scripts about what happens to runs; `test_train_goes_on.py` damages a checkpoint in CI."""

import pytest
from started import ROOT, start

pytestmark = [pytest.mark.slow, pytest.mark.nightly]


def test_no_damage_of_a_checkpoint_goes_unnoticed():
    result = start("-m", "scripts.checks.damage_test", "--methods", "crome", PYTHONPATH=str(ROOT))
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    assert "No damage went unnoticed." in result.stdout


def test_the_soak_samples_a_run_that_goes_on():
    """An hour by hand; here, that it samples one."""
    result = start("-m", "scripts.checks.soak", "--minutes", "1.5", PYTHONPATH=str(ROOT))
    assert "exit code 75, 0 left over." in result.stdout, result.stdout[-3000:] + result.stderr[-3000:]
