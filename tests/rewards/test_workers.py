import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from in_time import whatever_the_speed
from started import ROOT, modules_after
from unruly_rewards import act

from rewards.running.workers import WorkerError, WorkerPool

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pool():
    with WorkerPool(act, workers=2, timeout=2.0, memory_gb=4) as pool:
        yield pool


def test_results_come_back_in_order(pool):
    orders = [f"echo {i}" for i in range(57)]
    assert [outcome.value for outcome in pool.map(orders)] == [str(i) for i in range(57)]
    assert pool.map([]) == []


@pytest.mark.parametrize(
    ("order", "failure", "message"),
    [
        ("sleep 3600", "timeout", "no result after {:g} s"),
        ("backtrack", "timeout", "no result after {:g} s"),
        ("raise five", "error", "ValueError: invalid literal for int() with base 10: 'five' (unruly_rewards.py, line"),
        ("sys.exit 0", "error", "SystemExit: 0"),
        ("exit 3", "died", "its process ended with exit code 3"),
        ("segfault", "died", "its process was ended by SIGSEGV"),
        ("kill", "died", "its process was ended by SIGKILL"),
        ("allocate 10", "error", "MemoryError"),
        ("lambda", "error", "The result cannot be sent back"),
        ("unsendable", "error", "The result cannot be sent back: NoText, whose text cannot be read"),
        ("no_text", "error", "NoText, whose text cannot be read: its `__str__` raised ValueError (unruly_rewards.py"),
        ("abort", "died", "its process was ended by SIGABRT"),
        ("interrupt", "error", "KeyboardInterrupt"),
        ("close_pipes", "died", "its process ended with exit code 1"),
        ("garble", "died", "it was stopped"),
    ],
)
@whatever_the_speed(2.0, 60.0)
def test_a_failure_costs_one_call(pool, order, failure, message, seconds):
    orders = [f"echo {i}" for i in range(20)]
    outcomes = pool.map([*orders[:7], order, *orders[7:]], timeout=seconds)
    failed = outcomes.pop(7)
    assert [outcome.value for outcome in outcomes] == [str(i) for i in range(20)]
    assert failed.failure == failure
    assert message.format(seconds) in failed.message
    assert failed.value is None
    assert failed.ended == (failure != "error" or "MemoryError" in message)


def test_a_copy_of_a_worker_that_comes_back_from_a_call_ends(pool):
    orders = [f"echo {i}" if i % 5 else "fork" for i in range(20)]
    assert [outcome.value for outcome in pool.map(orders)] == [f"{i}" if i % 5 else "forked" for i in range(20)]


@pytest.mark.parametrize("order", ["fill 0.1", "fill_natively 0.02"])
def test_a_worker_without_memory_is_replaced_and_costs_one_call(order):
    with WorkerPool(act, memory_gb=0.5) as pool:
        outcomes = pool.map(["pid", order, "pid", "allocate 0.25", order])
        assert [outcome.failure for outcome in outcomes] == [None, "error", None, None, "error"]
        assert [outcome.ended for outcome in outcomes] == [False, True, False, False, True]
        assert outcomes[0].value != outcomes[2].value
        assert pool.map(["allocate 0.25"])[0].failure is None


def test_hash_gives_the_same_in_every_worker(pool, monkeypatch):
    values = {outcome.value for outcome in pool.map(["hash text"] * 20)}
    monkeypatch.setenv("PYTHONHASHSEED", "random")
    with WorkerPool(act) as other:
        assert {other.map(["hash text"])[0].value} == values


@pytest.mark.parametrize("ending", ["echo a", "exit 1", "sleep 3600"])
def test_a_worker_takes_the_processes_it_started_with_it(tmp_path, ending):
    with WorkerPool(act, timeout=2.0) as pool:
        pool.map([f"stray {tmp_path / 'pids'}", ending])
    (pid,) = map(int, (tmp_path / "pids").read_text().split())
    wait_until(lambda: not is_running(pid))


@whatever_the_speed(2.0, 20.0)
def test_the_clock_starts_when_the_call_starts(seconds):
    with WorkerPool(act, timeout=seconds) as pool:
        outcomes = pool.map([f"sleep {seconds / 10}"] * 12)  # the last calls wait longer than the limit
    assert [outcome.failure for outcome in outcomes] == [None] * 12
    assert all(0.97 * seconds / 10 < outcome.seconds < seconds for outcome in outcomes)


def test_an_end_that_is_sent_to_all_processes_of_a_job_costs_no_call(pool):
    while not all(worker.is_ready for worker in pool._workers):
        pool.map(["sleep 0.1"] * 2)
    workers = [worker.process.pid for worker in pool._workers]
    ends = [threading.Timer(0.1, os.kill, (pid, each)) for pid in workers for each in (signal.SIGTERM, signal.SIGINT)]
    for end in ends:
        end.start()
    outcomes = pool.map(["sleep 0.3"] * 2, timeout=60.0)
    assert [outcome.value for outcome in outcomes] == ["slept", "slept"], outcomes


def test_a_program_that_a_call_starts_ends_when_it_is_told_to():
    program = "__import__('subprocess').run(['sh', '-c', 'kill -TERM $$; sleep 5']).returncode"
    with WorkerPool(eval) as pool:
        assert pool.map([program])[0].value == -signal.SIGTERM


def test_a_limit_can_be_set_for_one_round(pool):
    assert pool.map(["sleep 2.2"], timeout=60.0)[0].value == "slept"


def test_what_cannot_be_sent_is_the_calls_error(pool):
    pool.map(["echo a"] * 50)  # from now on the pool sends many calls in one message
    outcomes = pool.map(["echo a", lambda: 0, "echo b"])
    assert [outcome.value for outcome in outcomes] == ["a", None, "b"]
    assert "cannot be sent to a worker" in outcomes[1].message


def test_one_that_waits_is_not_taken_for_one_that_loads(pool):
    (outcome,) = pool.map(["poll"], timeout=0.5, to_load=300.0)
    assert outcome.failure == "timeout"
    assert outcome.seconds < 60


def test_a_function_that_closes_the_pipes_leaves_no_traceback_of_ours(tmp_path):
    with open(tmp_path / "output", "w") as file, WorkerPool(act, output=file.fileno()) as pool:
        assert [outcome.failure for outcome in pool.map(["close_pipes", "echo a"])] == ["died", None]
    assert (tmp_path / "output").read_text() == ""


def test_works_off_the_main_thread(pool):
    found = []
    thread = threading.Thread(target=lambda: found.extend(pool.map(["echo a", "sleep 3600"])))
    thread.start()
    thread.join(timeout=120)
    assert [outcome.failure for outcome in found] == [None, "timeout"]


def test_workers_load_what_their_function_needs_and_no_more():
    assert "torch" not in modules_after("from rewards.running.workers import WorkerPool")
    with WorkerPool(eval) as pool:
        loaded = pool.map(["sorted(__import__('sys').modules)"])[0].value
    assert not {"torch", "transformers", "trl"} & set(loaded)


def test_a_worker_does_not_think_it_is_a_rank(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    with WorkerPool(act) as pool:
        assert pool.map(["rank"])[0].value == "none"


def test_a_function_that_no_worker_can_load_is_named():
    with pytest.raises(WorkerError, match="top level of a module"):
        WorkerPool(lambda call: 0)
    with WorkerPool(_Unloadable()) as pool, pytest.raises(WorkerError, match="no worker will have me"):
        pool.map([1])


class _Unloadable:
    def __reduce__(self):
        return _refuse, ()

    def __call__(self, call):
        return call


def _refuse():
    raise RuntimeError("no worker will have me")


OWNER = """
import sys
from rewards.running.workers import WorkerPool
from unruly_rewards import act
WorkerPool(act, workers=2).map([f"log_and_sleep {sys.argv[1]}", "backtrack"])
"""


def test_workers_end_with_a_process_that_is_killed(tmp_path):
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    owner = subprocess.Popen([sys.executable, "-c", OWNER, tmp_path / "pids"], env=environment)
    wait_until(lambda: (tmp_path / "pids").exists())
    wait_until(lambda: len(children(owner.pid)) == 2)
    workers = children(owner.pid)
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    wait_until(lambda: not any(is_running(pid) for pid in workers))


def children(pid):
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True).stdout
    return [int(word) for word in found.split()]


def is_running(pid):
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return bool(state) and not state.startswith("Z")


def wait_until(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
