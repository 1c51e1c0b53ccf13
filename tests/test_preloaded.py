"""A process that is forked from one with the libraries is what a fresh interpreter would be."""

import json
import os
import signal
import subprocess
import sys
import time

import preloaded
import psutil
import pytest

pytestmark = pytest.mark.slow
TELLS = """
import json, os, sys, threading
parts = {
    "arguments": sys.argv, "folder": os.getcwd(), "variables": dict(os.environ), "path": sys.path, "name": __name__,
    "main": sys.modules["__main__"].__dict__["TELLS"], "asked": sys.stdin.read(), "threads": threading.active_count(),
    "executable": sys.executable, "handles": len(os.listdir("/proc/self/fd")), "leads": os.getsid(0) == os.getpid(),
}
print(json.dumps(parts))
print("a word of its own", file=sys.stderr)
sys.exit(5)
""".replace("import json", "TELLS = 1\nimport json", 1)


@pytest.fixture
def script(tmp_path):
    (tmp_path / "told.py").write_text(TELLS)
    return tmp_path / "told.py"


def told(python, words, folder, **variables):
    variables = os.environ | {"COLUMNS": "77"} | variables
    done = subprocess.run(
        [python, *words], cwd=folder, env=variables, input="a question", capture_output=True, text=True,
        start_new_session=True,
    )  # fmt: skip
    parts = json.loads(done.stdout)
    for name in ("_", "LC_CTYPE"):  # the name of the program, and what Python sets for itself
        parts["variables"].pop(name, None)
    return parts, done.stderr, done.returncode


@pytest.mark.parametrize("words", [("told.py", "--some", "words"), ("-m", "told", "word"), ("-u", "told.py")])
@pytest.mark.parametrize("variables", [{}, {"PYTHONPATH": "/nowhere:/tmp", "RANK": "3"}])
def test_it_finds_what_a_fresh_interpreter_finds(script, words, variables):
    fresh = told(sys.executable, words, script.parent, **variables)
    assert told(preloaded.python(), words, script.parent, **variables) == fresh
    assert fresh[1:] == ("a word of its own\n", 5)


def started(script, code):
    script.write_text(code)
    process = subprocess.Popen([preloaded.python(), str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return process, int(process.stdout.readline())


WAITS = "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)\n"
HEARS = "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n" + WAITS


@pytest.mark.parametrize(("code", "ends"), [(WAITS, -signal.SIGTERM), (HEARS, 7)])
def test_signals_arrive_and_its_end_is_told(script, code, ends):
    process, _ = started(script, code)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == ends
    process.communicate()


def test_it_is_killed_with_its_program(script):
    process, number = started(script, WAITS)
    assert psutil.pid_exists(number)
    process.kill()
    process.communicate()
    preloaded.wait_for_the_killed()
    assert not psutil.pid_exists(number)


def test_an_error_is_the_end_of_one_process(script):
    process, _ = started(script, f"{WAITS.replace('60', '0')}\nraise ValueError('so')")
    _, said = process.communicate(timeout=20)
    assert process.returncode == 1
    assert said.endswith(b"ValueError: so\n")
    begun = time.monotonic()
    assert told(preloaded.python(), ("told.py",), _again(script))[2] == 5
    assert time.monotonic() - begun < 20


def _again(script):
    script.write_text(TELLS)
    return script.parent


def test_what_a_library_reads_while_it_is_loaded_needs_a_fresh_interpreter():
    assert preloaded.can_run(["-m", "align"], os.environ | {"COLUMNS": "30", "RANK": "1"})
    assert not preloaded.can_run(["-m", "align"], os.environ | {"HF_HOME": "/elsewhere"})
    assert not preloaded.can_run(["-c", "0"], os.environ)
