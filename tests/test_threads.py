import os

import pytest

from align import threads
from align.threads import SMALL, VARIABLE, choose_threads, num_cores, use_threads


@pytest.fixture(autouse=True)
def nobody_chose(monkeypatch):
    import torch

    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    monkeypatch.setattr(threads, "_chosen", None)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_a_small_model_has_one_thread_and_others_the_cores(monkeypatch):
    monkeypatch.setattr(threads, "num_cores", lambda: 8)
    assert choose_threads(SMALL - 1).number == 1
    assert choose_threads(SMALL) == choose_threads(None) == (8, "cores")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert choose_threads(None) == (4, "cores of each process")


def test_a_number_of_the_users_wins_and_one_of_ours_does_not(monkeypatch):
    import torch

    monkeypatch.setattr(threads, "num_cores", lambda: 2)
    assert use_threads(None).number == torch.get_num_threads() == 2
    assert use_threads(10).number == torch.get_num_threads() == int(os.environ[VARIABLE]) == 1
    monkeypatch.setenv(VARIABLE, "3")
    for parameters in (10, None):
        assert use_threads(parameters) == (3, f"`{VARIABLE}`")


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "150000 100000"}, 2),
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu.max": "max 100000"}, 8),
        ({"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
        ({}, 8),
    ],
)
def test_the_quota_of_a_container_bounds_the_cores(tmp_path, monkeypatch, files, cores):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)))
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert num_cores(tmp_path) == cores
