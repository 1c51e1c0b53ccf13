"""The order in which blocks of rows are asked is that of TRL's sampler over blocks, pass by pass."""

import pytest
from trl.trainer.utils import RepeatSampler

from align.methods.rollouts.asked_rows import BlockSampler


@pytest.mark.parametrize("seed", [None, 0, 7])
@pytest.mark.parametrize(
    ("blocks", "size", "repeats", "at_once", "times"), [(7, 3, 2, 2, 4), (5, 1, 4, 1, 1), (6, 2, 1, 6, 2)]
)
def test_blocks_stand_where_trls_sampler_puts_them_and_their_rows_behind_each_other(
    blocks, size, repeats, at_once, times, seed
):
    ours = BlockSampler(blocks, size, repeats, at_once=at_once, times=times, seed=seed)
    trls = RepeatSampler(range(blocks), 1, at_once, times, shuffle=seed is not None, seed=seed)
    for _ in range(2):  # passes, which share a generator
        rows = [block * size + place for block in trls for place in range(size) for _ in range(repeats)]
        assert list(ours) == rows
        assert len(ours) == len(rows)


def test_rows_alone_stand_as_in_trl():
    ours = BlockSampler(9, 1, 4, at_once=2, times=3, seed=3)
    assert list(ours) == list(RepeatSampler(range(9), 4, 2, 3, seed=3))
