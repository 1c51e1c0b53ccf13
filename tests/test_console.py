"""Nothing is cut off: a pipe has no width, and on a terminal a name that does not fit is folded."""

import fcntl
import os
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from started import ROOT, start

from align.assets import shipped_recipes
from align.checks.finding import Finding
from align.console import make_console, make_table, say
from align.progress import Bars
from align.services.findings import print_findings
from rewards.catalog import REWARDS

LONG = "/a/very/long/path/" + "x" * 200 + "/model.safetensors"


def on_terminal(*words, width=50):
    """Runs `python WORDS` on a terminal of this width."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")}
    process = subprocess.Popen(
        [sys.executable, *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=ROOT,
        env=environment | {"TERM": "xterm"},
    )
    os.close(theirs)
    written = b""
    try:
        while chunk := os.read(ours, 65536):
            written += chunk
    except OSError:  # how Linux says that nobody writes any more
        pass
    os.close(ours)
    assert process.wait() == 0
    return re.sub(r"\x1b\[[0-9;]*m", "", written.decode()).splitlines()


@pytest.mark.parametrize(
    ("command", "names"),
    [
        (["recipes"], list(shipped_recipes())),
        (["rewards", "list"], list(REWARDS)),
        pytest.param(["doctor"], ["python", "memory"], marks=pytest.mark.slow),
    ],
)
def test_tables_in_a_pipe_have_every_name_in_one_piece(command, names):
    result = start("-m", "align", *command, COLUMNS="30")
    lines = result.stdout.splitlines()
    assert "\u2026" not in result.stdout
    assert [line for line in lines if line != line.rstrip()] == []
    assert [name for name in names if name not in result.stdout] == []


def test_a_finding_in_a_pipe_is_one_line(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    print_findings(
        [Finding("warning", "a_check_with_a_long_name", f"{LONG} is odd, and so on. " * 3), Finding("ok", "b", "c")]
    )
    first, second = capsys.readouterr().out.splitlines()
    assert first == "warning  a_check_with_a_long_name  " + (f"{LONG} is odd, and so on. " * 3).rstrip()
    assert second.split() == ["ok", "b", "c"]


def test_on_a_terminal_what_does_not_fit_is_folded():
    code = (
        "from align.console import make_console, make_table\n"
        f"table = make_table('name', 'path'); table.add_row('N' * 30, {LONG!r}); make_console().print(table)"
    )
    lines = on_terminal("-c", code)
    assert max(map(len, lines)) <= 50
    assert "\u2026" not in "".join(lines)
    assert sum(line.count("x") for line in lines) == 200
    assert sum(line.count("N") for line in lines) == 30


def test_on_a_terminal_the_shipped_recipes_are_all_there():
    lines = on_terminal("-m", "align", "recipes", width=60)
    assert "\u2026" not in "".join(lines)
    assert max(map(len, lines)) <= 60


def test_the_tables_of_commands_keep_long_names(capsys, monkeypatch):
    from align.cli.arguments.data import _show
    from align.services.filter import FilterResult

    monkeypatch.setenv("COLUMNS", "40")
    _show(FilterResult(Path("kept.jsonl"), 2, {}, [{"source": LONG, "pairs": 3, "kept": 2}], []))
    assert LONG in capsys.readouterr().out


def test_a_console_masks_secrets_and_one_process_speaks(capsys, monkeypatch):
    make_console().print("token hf_aBcDeFgHiJkLmNoPqRsT", markup=False)
    table = make_table("api")
    table.add_row("https://me:password@host/x")
    make_console(stderr=True).print(table)
    say("one [of] several --hub_token abc")
    monkeypatch.setenv("RANK", "1")
    say("never")
    output = capsys.readouterr()
    assert output.out == "token ***\n"
    assert output.err == "api\nhttps://***@host/x\none [of] several --hub_token ***\n"


def test_secrets_are_masked_beside_a_progress_bar_too():
    code = (
        "from align.models.samplers.progress import show_progress\n"
        "from align.console import make_console, say\n"
        "with show_progress('asking', 1):\n"
        "    make_console().print('shown hf_aBcDeFgHiJkLmNoPqRsT')\n"
        "    say('said hf_aBcDeFgHiJkLmNoPqRsT')\n"
    )
    written = "\n".join(on_terminal("-c", code))
    assert "shown ***" in written
    assert "said ***" in written
    assert "aBcD" not in written


def test_without_a_terminal_a_bar_is_a_line_each_half_minute(capsys):
    seconds = [0.0]
    with Bars(clock=lambda: seconds[0]) as bars:
        task = bars.add_task("asking", total=8)
        for seconds[0] in (10.0, 20.0, 40.0, 50.0, 80.0):
            bars.advance(task)
    assert capsys.readouterr().err == "asking: 3 of 8, about 1 min 7 s left.\nasking: 5 of 8, about 48 s left.\n"


def test_a_silent_bar_and_one_without_a_total_say_what_they_can(capsys):
    seconds = [0.0]
    for silent in (True, False):
        with Bars(clock=lambda: seconds[0], silent=silent) as bars:
            task = bars.add_task("rows read", total=None)
            seconds[0] += 31.0
            bars.update(task, completed=1_200)
    assert capsys.readouterr().err == "rows read: 1,200.\n"
