"""Programs against tests, and programs against the machine."""

import io
import json
import os
import re
import runpy
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from hostile_programs import AT_EXIT, HARMLESS, HONEST_AT_THE_END, HOSTILE, HOSTILE_AT_THE_END, WRONG

import rewards
from rewards import CodeAccuracy, code_accuracy
from rewards.reading.responses import DEFAULT_FORMAT
from rewards.running.isolated import programs
from rewards.running.isolated.programs import ProgramLimits, ProgramRun, run_programs, why_not_isolated
from rewards.scoring.code_accuracy import CallTest, PrintTest, is_met, prints_alike, read_program, read_tests

isolated = pytest.mark.skipif(bool(why_not_isolated()), reason=f"no namespaces here: {why_not_isolated()}")
ADDS = ["assert add(20811, 54012) == 74823", "assert add('a', 'b') == 'ab'"]


def block(program):
    return f"<think>Hm.</think>\n```python\n{program}\n```"


def score(*programs, tests=ADDS, **settings):
    reward = CodeAccuracy(**settings)
    return reward(completions=[block(program) for program in programs], tests=[tests] * len(programs))


@isolated
def test_a_program_earns_what_its_tests_say():
    right, wrong, half = "def add(a, b):\n    return a + b", WRONG, "def add(a, b):\n    return 74823"
    assert score(right, wrong, half) == [1.0, 0.0, 0.0]
    logged = {}
    reward = CodeAccuracy(partial=True)
    texts = [block(half), "no program", [{"role": "assistant", "content": block(right)}], block(right)]
    assert reward(texts, [ADDS, ADDS, ADDS, None], log_metric=logged.__setitem__) == [0.5, 0.0, 1.0, None]
    assert logged == {"code_accuracy/limit_rate": 0.0, "code_accuracy/error_rate": 0.0}


DATACLASS = """
from dataclasses import dataclass

@dataclass
class Node:
    value: int
    following: "Node | None" = None

def add(a, b):
    return Node(a, Node(b)).value + Node(b).value
"""


@isolated
def test_a_program_may_look_itself_up_as_a_module():
    itself = "import sys\ndef add(a, b): return (a + b) if sys.modules[__name__].add is add else None"
    main = "def add(a, b): return a + b\nif __name__ == '__main__': raise SystemExit(1)"
    assert score(DATACLASS, f"from __future__ import annotations{DATACLASS}", itself, main) == [1.0] * 4


@isolated
def test_a_program_that_reads_and_prints_is_run_once_for_each_input():
    doubles = "print(2 * int(input()))"
    tests = [{"input": "4\n", "output": "8"}, {"input": "x", "output": "8"}]
    assert score(doubles, tests=tests[:1]) == [1.0]
    assert score(doubles, tests=tests, partial=True) == [0.5]
    assert score("print(8)\nraise SystemExit(1)", tests=tests[:1]) == [0.0], "it failed after it printed"


@isolated
def test_what_one_program_leaves_no_other_finds():
    start, end = "import tempfile\nplace = tempfile.gettempdir() + '/here'\n", "\ndef add(a, b): return a + b"
    leaves, finds = f"{start}open(place, 'w').write('x'){end}", f"{start}open(place){end}"
    assert score(leaves, finds, workers=1) == [1.0, 0.0]


ORDINARY = 61234  # of no account


@pytest.fixture(autouse=True)
def asked_anew():
    """Lets no test hear what another one's machine can do."""
    why_not_isolated.cache_clear()


def as_an_ordinary_user(monkeypatch):
    """Lets a user without rights run programs, by the system's Python: that of root may lie in a closed folder."""
    real = subprocess.run

    def run(words, **settings):
        source = Path(words[-1]).read_text()
        return real(
            [SYSTEM_PYTHON, "-I", "-S", "-c", source], user=ORDINARY, group=ORDINARY, extra_groups=[], **settings
        )

    monkeypatch.setattr(programs.subprocess, "run", run)


SYSTEM_PYTHON = "/usr/bin/python3"
may_become_another = pytest.mark.skipif(
    os.getuid() != 0 or not os.path.exists(SYSTEM_PYTHON), reason=f"takes root and {SYSTEM_PYTHON}"
)


@isolated
@pytest.mark.slow
@pytest.mark.parametrize("user", ["as it is", pytest.param("ordinary", marks=may_become_another)])
def test_hostile_programs_harm_nothing_and_earn_only_where_their_attack_meets_nothing(tmp_path, monkeypatch, user):
    if user == "ordinary":
        as_an_ordinary_user(monkeypatch)
    secret, outside = tmp_path / "secret", tmp_path / "outside"
    secret.write_text("74823")
    tmp_path.chmod(0o777)
    monkeypatch.setenv("OPENAI_API_KEY", "74823")
    before = {process.pid for process in psutil.process_iter()}
    hostname, stat, started = socket.gethostname(), Path(os.__file__).stat(), time.time()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        names = {"PORT": str(server.getsockname()[1]), "SECRET": str(secret), "OUTSIDE": str(outside)}
        texts = dict(HOSTILE)
        for word, value in names.items():
            texts = {name: program.replace(word, value) for name, program in texts.items()}
        # What stands at the end is reached by those that fail in silence only.
        ends = [text if "def add" in text else f"{text}\ndef add(a, b): return a + b" for text in texts.values()]
        earned = dict(zip(texts, score(*ends, seconds=1, workers=4), strict=True))
        with pytest.raises(BlockingIOError):
            server.accept()
    assert earned == {name: float(name in HARMLESS) for name in HOSTILE}
    assert not outside.exists()
    assert (socket.gethostname(), Path(os.__file__).stat().st_mtime) == (hostname, stat.st_mtime)
    assert 0 < time.time() - started < 3600
    left = [process for process in psutil.process_iter(["cmdline"]) if process.pid not in before]
    assert [each for each in left if "program" in " ".join(each.info["cmdline"] or [])] == []


def scored_at_the_end(endings, **settings):
    rates, earned = {}, {}
    for name, ending in endings.items():
        logged = {}
        completions = [block(AT_EXIT.format(ending))]
        (earned[name],) = CodeAccuracy(**settings)(completions, [ADDS], log_metric=logged.__setitem__)
        rates[name] = logged["code_accuracy/limit_rate"]
    return earned, rates


@isolated
@pytest.mark.slow
@pytest.mark.parametrize("user", ["as it is", pytest.param("ordinary", marks=may_become_another)])
def test_values_of_a_program_that_then_breaks_a_limit_earn_nothing_and_at_once(monkeypatch, user):
    if user == "ordinary":
        as_an_ordinary_user(monkeypatch)
    started = time.monotonic()
    earned, rates = scored_at_the_end(HOSTILE_AT_THE_END, seconds=600)
    assert time.monotonic() - started < 600, "one that is waited for takes 2400 s"
    assert earned == dict.fromkeys(HOSTILE_AT_THE_END, 0.0)
    assert rates == dict.fromkeys(HOSTILE_AT_THE_END, 1.0)
    earned, rates = scored_at_the_end(HONEST_AT_THE_END)
    assert earned == dict.fromkeys(HONEST_AT_THE_END, 1.0)
    assert rates == dict.fromkeys(HONEST_AT_THE_END, 0.0)


@isolated
def test_each_kind_of_end_of_a_program_whose_values_are_right_has_its_verdict():
    some = {name: HOSTILE_AT_THE_END[name] for name in ("a thread sleeps", "eats memory", "forks", "prints")}
    assert scored_at_the_end(some, seconds=600) == (dict.fromkeys(some, 0.0), dict.fromkeys(some, 1.0))
    some = {name: HONEST_AT_THE_END[name] for name in ("prints", "raises", "a loop of events")}
    assert scored_at_the_end(some) == (dict.fromkeys(some, 1.0), dict.fromkeys(some, 0.0))
    failed = AT_EXIT.format("def end(): os._exit(1)")
    assert score(failed, partial=True) == [0.0], "it ended with an error"


HANGS = "import time; time.sleep(10_000)"


@isolated
def test_a_program_that_prints_all_it_must_and_then_hangs_earns_nothing_and_at_once():
    ends = {
        "in its body": f"print(8)\n{HANGS}",
        "on an open line": f"print(8, end='')\n{HANGS}",
        "wrong": f"print(9)\n{HANGS}",
        "as it ends": "import atexit, time\natexit.register(time.sleep, 10_000)\nprint(8)",
    }
    tests = [{"input": "", "output": "8\n"}]
    assert score(*ends.values(), tests=tests, seconds=600, workers=4) == [0.0] * 4  # or each takes 2400 s
    assert score(f"print('8', flush=True)\n{HANGS.replace('10_000', '0.2')}", tests=tests) == [1.0]


def test_what_is_printed_is_all_when_nothing_more_could_be_right():
    is_all = runpy.run_path(str(programs._LAUNCHER))["_is_all"]
    for printed, expected in (("8", "8\n"), ("8\n\n", "8"), ("9\n", "8"), ("1\n2", "1\n2"), ("é", "é\n")):
        assert is_all(bytearray(printed, "utf-8"), expected), (printed, expected)
    for printed, expected in (("", ""), ("\n", ""), ("", "8"), ("1", "1 2"), ("1\n", "1\n2"), ("1\n3", "1\n2\n")):
        assert not is_all(bytearray(printed, "utf-8"), expected), (printed, expected)


@isolated
def test_tests_before_the_one_that_takes_too_long_still_count_in_part():
    slow = "def add(a, b):\n    while a == 'a': pass\n    return a + b"
    logged = {}
    assert CodeAccuracy(partial=True, seconds=1)([block(slow)], [ADDS], log_metric=logged.__setitem__) == [0.5]
    assert logged["code_accuracy/limit_rate"] == 1.0, "the kernel's limit counts as one"


def test_without_isolation_a_program_that_sleeps_at_its_end_earns_nothing_and_at_once():
    some = {"a thread sleeps": HOSTILE_AT_THE_END["a thread sleeps"]}
    earned, rates = scored_at_the_end(some, seconds=600, isolation="none")
    assert (list(earned.values()), list(rates.values())) == ([0.0], [1.0])


SOCKETS = """
import os, socket, time
for _ in range(7):
    if os.fork() == 0:
        break
pairs = [socket.socketpair() for _ in range(28)]
time.sleep(10_000)
"""


@isolated
@pytest.mark.parametrize("user", ["as it is", pytest.param("ordinary", marks=may_become_another)])
def test_what_sockets_hold_counts_as_memory(monkeypatch, user):
    if user == "ordinary":
        as_an_ordinary_user(monkeypatch)
    with socket.socket(socket.AF_UNIX) as one:
        all_hold = 8 * 28 * 2 * one.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
    limits = ProgramLimits(memory_mb=2 * all_hold >> 20)
    (end,) = run_programs([ProgramRun(SOCKETS)], limits, isolated=True, workers=1)
    assert end.ended == "memory"


def test_a_wait_for_a_busy_machine_is_no_time_of_the_program():
    launcher = runpy.run_path(str(programs._LAUNCHER))
    with subprocess.Popen(["sleep", "1000"]) as process:
        clock = launcher["_Clock"](0.5)
        time.sleep(1)  # nobody looks
        assert not clock.is_over([process.pid], is_all_there=False)
        looks = 0
        while not clock.is_over([process.pid], is_all_there=False):
            time.sleep(launcher["POLL"])
            looks += 1
        process.kill()
    assert looks >= 0.5 / launcher["POLL"] - 2


@pytest.mark.parametrize("isolation", [pytest.param("namespaces", marks=isolated), "none"])
def test_nothing_is_left_behind_of_a_process_that_is_killed(tmp_path, isolation):
    sleeps = block("import time; time.sleep(10_000)")
    settings = f"isolation={isolation!r}, seconds=600"
    call = f"from rewards import CodeAccuracy as Reward; Reward({settings})([{sleeps!r}], [{ADDS!r}])"
    parent = psutil.Popen([sys.executable, "-c", call], env=os.environ | {"TMPDIR": str(tmp_path)})
    started = []
    while not any("place_of_values" in " ".join(each) for each in map(command, started)):
        assert parent.poll() is None
        time.sleep(0.05)
        started = parent.children(recursive=True)
    parent.kill()
    assert psutil.wait_procs([parent, *started], timeout=120)[1] == []
    assert list(tmp_path.iterdir()) == []


def test_a_program_that_nobody_waits_for_any_more_is_not_begun(tmp_path):
    """The one who asked is gone before the launcher looks, as one that is killed early is."""
    folder, begun = tmp_path / "folder", tmp_path / "begun"
    folder.mkdir()
    job = ProgramRun(f"open({str(begun)!r}, 'w')")._asdict() | ProgramLimits()._asdict()
    job |= {"isolated": False, "folder": str(folder), "prefixes": [], "input": "", "wall_seconds": 20.0}
    ours, its = os.pipe()
    os.close(ours)
    words = [sys.executable, "-I", "-S", programs._LAUNCHER]
    assert subprocess.run(words, input=json.dumps(job), text=True, stdout=its).returncode == 0
    os.close(its)
    assert list(tmp_path.iterdir()) == []


def command(process):
    try:
        return process.cmdline()
    except psutil.Error:  # it ended meanwhile
        return []


@isolated
@may_become_another
def test_a_python_that_only_root_may_read_has_a_remedy_that_works(tmp_path):
    closed = tmp_path / "a closed one"
    subprocess.run(["sh", "-c", 'umask 077; exec "$0" -m venv --without-pip "$1"', sys.executable, closed], check=True)
    right = block("def add(a, b): return a + b")
    call = f"from rewards import CodeAccuracy; print(CodeAccuracy()([{right!r}], [{ADDS!r}]))"
    words = [closed / "bin" / "python", "-c", call]
    environment = os.environ | {"PYTHONPATH": str(Path(rewards.__file__).parents[1])}
    said = subprocess.run(words, capture_output=True, text=True, env=environment).stderr
    assert "namespaces, which" not in said
    remedy = re.search(r"`(chmod .*)`", said)[1]
    assert f"'{closed}'" in remedy
    subprocess.run(remedy, shell=True, check=True)
    assert subprocess.run(words, capture_output=True, text=True, env=environment).stdout == "[1.0]\n"


LOOKS = """
import os
lines = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
found = []
for top in ("/proc", "/sys"):
    for folder, _, names in os.walk(top):
        for name in names if not folder.endswith("/fd") else ():  # its own files
            try:
                os.close(os.open(os.path.join(folder, name), os.O_WRONLY | os.O_NONBLOCK))
                found.append(os.path.join(folder, name))
            except OSError:
                pass
print(int(lines["CapPrm"], 16), int(lines["CapBnd"], 16), lines["NoNewPrivs"], lines["Seccomp"], sorted(set(found)))
"""


@isolated
@pytest.mark.parametrize("user", ["as it is", pytest.param("ordinary", marks=may_become_another)])
def test_a_program_has_no_right_and_opens_nothing_of_the_kernel_for_writing(monkeypatch, user):
    if user == "ordinary":
        as_an_ordinary_user(monkeypatch)
    runs = [ProgramRun(LOOKS), ProgramRun("import time\ntime.sleep(1)")]
    with ThreadPoolExecutor() as thread:
        ends = thread.submit(run_programs, runs, ProgramLimits(), isolated=True, workers=2)
        users = set()
        while not ends.done():
            for process in psutil.process_iter(["cmdline", "uids"]):
                if (process.info["cmdline"] or [])[-1:] == ["program.py"]:
                    users |= set(process.info["uids"])
            time.sleep(0.02)
        looked = ends.result()[0]
    assert looked.printed == "0 0 1 2 []\n"
    assert users
    assert 0 not in users, "the kernel knows it as root"


@isolated
def test_a_program_that_hurts_its_supervisor_has_failed(monkeypatch):
    """What reaches the supervisor in spite of all is played by a launcher whose supervisor ends in the middle."""
    assert why_not_isolated() == ""
    source = Path(programs._LAUNCHER).read_text()
    broken = re.sub(r"return _watch\(.*\)", "raise OSError('hurt')", source)
    assert broken != source
    real = subprocess.run
    monkeypatch.setattr(
        programs.subprocess, "run", lambda words, **settings: real([*words[:-1], "-c", broken], **settings)
    )
    assert score("def add(a, b): return a + b") == [0.0]
    monkeypatch.setattr(
        programs.subprocess,
        "run",
        lambda words, **settings: real(
            [*words[:-1], "-c", broken.replace("raise OSError('hurt')", "os._exit(1)")], **settings
        ),
    )
    assert score("def add(a, b): return a + b") == [0.0]


@isolated
def test_an_environment_behind_a_link_is_followed(tmp_path):
    link = tmp_path / "environment"
    link.symlink_to(sys.prefix)
    right = block("def add(a, b): return a + b")
    call = f"from rewards import CodeAccuracy; print(CodeAccuracy()([{right!r}], [{ADDS!r}]))"
    done = subprocess.run([link / "bin" / "python", "-c", call], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[1.0]\n", "")


def test_only_a_root_that_may_be_the_machines_needs_another_user(monkeypatch):
    launcher = runpy.run_path(str(programs._LAUNCHER))
    maps = {"machine": "0 0 4294967295\n", "rootless": "0 1000 1\n1 100000 65536\n", "renamed": "0 1000 1\n"}
    found = {}
    for name, text in maps.items():
        monkeypatch.setitem(launcher["_unused"].__globals__, "open", lambda path, text=text: io.StringIO(text))
        found[name] = launcher["_unused"]("gid")
    assert found == {"machine": 0x7FFFFFF0, "rootless": 65534, "renamed": None}
    monkeypatch.setitem(launcher["_unused"].__globals__, "open", lambda path: io.StringIO("0 0 1\n"))
    with pytest.raises(PermissionError, match="no other uid to run a program with"):
        launcher["_unused"]("uid")


@pytest.mark.parametrize(
    ("text", "program"),
    [
        ("```python\na\n```\nor\n```py\nb\n```", "b\n"),
        ("```python\na\n```\nExample output:\n```\n3\n```", "a\n"),
        ("Input:\n```\n1\n```\nso\n```Python3\na\n```\nand\n```text\nb\n```", "a\n"),
        ("```\na\n```\nor\n```\nb\n```", "b\n"),
        ("<think>```\nno\n```</think><answer>x = 1</answer>", "x = 1"),
        ("<think>t</think><answer>So:\n```python\nx\n```\n</answer>", "x\n"),
        ("1. So:\n\n   ```python\n   if a:\n       b\n\n   ```\n\n2. Done.", "if a:\n    b\n\n"),
        ("- ```py\n  if a:\n      b\n  ```", "if a:\n    b\n"),
        ("```python\r\nif a:\r\n    b\r\n```\r\n", "if a:\n    b\n"),
        ("```python3.11\na\n```", "a\n"),
        ("```python title=add.py\na\n```", "a\n"),
        ("````python\n'```'\n```\n````", "'```'\n```\n"),
        ("~~~python\na\n~~~", "a\n"),
        ("**Answer:** ```python\n    a\n```", "    a\n"),
        ("Call `add` or ```add```.\n```python\na\n```", "a\n"),
        ("```bash\nls\n```", None),
        ("```pycon\n>>> 1\n```", None),
        ("<think>```\nnever closed\n```", None),
        ("plain words", None),
        ("", None),
    ],
)
def test_the_program_of_a_response(text, program):
    assert read_program(text, DEFAULT_FORMAT) == program


def test_the_first_block_of_a_model_that_goes_on_can_count():
    assert read_program("```\na\n```\n\nNext:\n```\nb\n```", DEFAULT_FORMAT, block="first") == "a\n"


def test_tests_are_read_and_what_is_none_is_named():
    tests = ["assert f(1) == [2, 3]", "assert not g()", "assert h(x=1)", {"input": "", "output": "4"}]
    assert read_tests(tests) == [
        CallTest("f(1)", [2, 3], False),
        CallTest("g()", False, True),
        CallTest("h(x=1)", True, True),
        PrintTest("", "4"),
    ]
    for wrong in ("assert f(1) == 2", [], None, ["f(1) == 2"], ["assert f(1) == g(1)"], [{"input": 1}], ["assert ("]):
        with pytest.raises(ValueError, match=r"Column `tests` .*assert add\(1, 2\) == 3"):
            read_tests(wrong)


def test_values_are_compared_as_python_does_and_odd_ones_equal_nothing():
    three = CallTest("f()", 3, False)
    assert [is_met(three, value) for value in ("3", "3.0", "'3'", "[3]", None, "", "x", "(" * 5000)] == (
        [True, True] + [False] * 6
    )
    assert is_met(CallTest("f()", set(), False), "set()")
    assert is_met(CallTest("f()", True, True), "[0]")
    assert prints_alike("a \nb\n\n", "a\nb")
    assert not prints_alike("a b", "a\nb")


def test_settings_that_limit_nothing_are_refused():
    for settings in (
        {"seconds": 0},
        {"memory_mb": 1.5},
        {"workers": 0},
        {"isolation": "docker"},
        {"block": 0},
        {"processes": True},
    ):
        with pytest.raises(ValueError, match=f"`{next(iter(settings))}` must be"):
            CodeAccuracy(**settings)


def test_a_machine_without_namespaces_is_refused_and_limits_alone_work(monkeypatch):
    monkeypatch.setattr("rewards.scoring.code_accuracy.why_not_isolated", lambda: "unshare: not permitted")
    with pytest.raises(RuntimeError, match=r"\(unshare: not permitted\).*`isolation: none`"):
        code_accuracy(completions=[""], tests=[ADDS])
    right = "def add(a, b):\n    return a + b"
    assert score(right, WRONG, "while True: pass", isolation="none", seconds=1) == [1.0, 0.0, 0.0]
