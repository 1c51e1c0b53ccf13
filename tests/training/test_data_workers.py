import os
import signal
import time

import pytest
import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader, Dataset

from align.training.as_in_trl import Undisturbed, keep_loading


class Numbers(Dataset):
    """Numbers with the process that read each, and with its seed."""

    def __len__(self):
        return 40

    def __getitem__(self, index):
        time.sleep(0.01)
        return torch.tensor([index, os.getpid(), SEEDS[0]])


SEEDS = [0]


def seed(number):
    SEEDS[0] = 7 + number


class Loads:
    """What gives out loaders as a trainer does."""

    def __init__(self, num_workers):
        self.num_workers = num_workers

    def get_train_dataloader(self):
        begin = seed if self.num_workers else None
        return Accelerator(cpu=True).prepare(DataLoader(Numbers(), num_workers=self.num_workers, worker_init_fn=begin))

    def get_eval_dataloader(self, dataset=None):
        return self.get_train_dataloader()


def read(loader, *signals):
    """Reads all rows, and sends signals to the worker of the first."""
    seen = []
    for (row,) in loader:
        for number in () if seen else signals:
            os.kill(int(row[1]), number)
        seen.append(row.tolist())
    return seen


def test_a_worker_outlives_the_signals_of_a_scheduler_and_of_a_terminal():
    ended = (RuntimeError, ConnectionResetError, EOFError)  # as torch or a pipe of the worker is the first to notice
    with pytest.raises(ended, match=r"exited unexpectedly|is killed by signal|reset by peer|^$"):
        read(Loads(1).get_train_dataloader(), signal.SIGTERM)
    trainer = Loads(1)
    keep_loading(trainer)
    assert isinstance(trainer.get_eval_dataloader().base_dataloader.worker_init_fn, Undisturbed)  # of that one, too
    seen = read(trainer.get_train_dataloader(), signal.SIGTERM, signal.SIGINT)
    assert [index for index, _, _ in seen] == list(range(40))
    assert {own for _, _, own in seen} == {7}  # what begins a worker otherwise still does
    worker = seen[0][1]
    deadline = time.monotonic() + 120
    while os.path.exists(f"/proc/{worker}") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not os.path.exists(f"/proc/{worker}")


def test_without_workers_loaders_stay_as_they_are():
    trainer = Loads(0)
    keep_loading(trainer)
    loader = trainer.get_eval_dataloader(None)
    assert loader.worker_init_fn is None
    assert len(read(loader)) == 40
