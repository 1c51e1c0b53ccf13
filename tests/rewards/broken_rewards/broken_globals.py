"""Rewards with honest values that change what they share with the trainer; some are called in a worker only."""

import os
import subprocess
import tempfile
import threading
import time

from rewards import completion_text


def _lengths(completions):
    return [float(len(completion_text(completion))) for completion in completions]


def turns_gradients_off(completions, **kwargs):
    import torch

    torch.set_grad_enabled(False)
    return _lengths(completions)


def computes_in_double_precision(completions, **kwargs):
    import torch

    torch.set_default_dtype(torch.float64)
    torch.set_float32_matmul_precision("medium")
    return _lengths(completions)


def works_in_a_folder_it_deletes(completions, **kwargs):
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
    return _lengths(completions)


def computes_in_half_precision(completions, **kwargs):
    import torch

    torch.set_autocast_enabled("cpu", True)
    return _lengths(completions)


def waits_in_a_thread_for_ever(completions, **kwargs):
    threading.Thread(target=time.sleep, args=(3600,), name="judge").start()
    return _lengths(completions)


def comes_back_twice(completions, **kwargs):
    os.fork()
    return _lengths(completions)


def starts_a_process_for_each_call(completions, **kwargs):
    subprocess.Popen(["sleep", "3600"], start_new_session=True)
    return _lengths(completions)


class NoText(Exception):
    """An error whose text raises."""

    def __str__(self):
        raise ValueError("no text")


def raises_without_a_text(completions, **kwargs):
    raise NoText


def interrupts(completions, **kwargs):
    raise KeyboardInterrupt


def prints_for_ever(completions, **kwargs):
    while True:
        print("scoring", len(completions))


def floods_past_python(completions, **kwargs):
    for _ in range(20):
        os.write(2, b"\n" * 100_000)
    return _lengths(completions)


def aborts(completions, **kwargs):
    os.abort()


def tensors_with_gradients(completions, **kwargs):
    import torch

    weight = torch.ones(1, requires_grad=True)
    return [weight[0] * length for length in _lengths(completions)]
