"""The parts that shared code asks of a method; what they do stands in the tests of each."""

import pytest
from started import start

from align.methods import METHODS

PARTS = ("dataset", "dataset_of", "rules", "load", "check", "check_batch", "footprint", "build", "card", "report",
         "sample_pairs", "augment", "augment_options", "extras", "check_rewards", "reward_columns")  # fmt: skip


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_every_part_that_a_method_names_is_there(method):
    for name in PARTS:
        assert (method.part(name) is None) == (getattr(method, name) is None)


def test_a_part_can_be_imported_before_the_command_line():
    done = start("-c", "from align.methods import METHODS\nfor m in METHODS.values(): m.part('augment_options')")
    assert done.returncode == 0, done.stderr
