import subprocess
import sys

import pytest
from started import least_seconds

import rewards

HEAVY = {"torch", "trl", "transformers", "datasets", "pandas", "scipy", "align"}
LIST_IMPORTS = """
import sys
before = set(sys.modules)
import rewards
print(*{name.split(".")[0] for name in set(sys.modules) - before})
"""


def test_every_public_name_exists_once():
    assert len(set(rewards.__all__)) == len(rewards.__all__)
    assert all(hasattr(rewards, name) for name in rewards.__all__)


def test_import_loads_nothing_heavy():
    done = subprocess.run([sys.executable, "-c", LIST_IMPORTS], capture_output=True, text=True, check=True)
    assert "rewards" in done.stdout.split()
    assert not HEAVY & set(done.stdout.split())


@pytest.mark.slow
def test_import_takes_less_than_three_tenths_of_a_second():
    assert least_seconds("-c 'import rewards'", 0.3) < 0.3
