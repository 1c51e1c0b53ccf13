"""A command that is called at an alarm and at the end of a run, and never costs the run."""

from pathlib import Path

import pytest

from align.runs import hook
from align.runs.hook import Hook

WRITES = 'echo "$ALIGN_STATE: $ALIGN_MESSAGE" >> "$ALIGN_RUN/told.txt"'


def test_it_reads_what_happened_and_no_shell_runs_a_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Hook(WRITES, tmp_path).call("alarm", "the reward says `touch x` $(touch y)\0")
    assert (tmp_path / "told.txt").read_text() == "alarm: the reward says `touch x` $(touch y)\n"
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("command", "said"), [("echo no network >&2; exit 3", "ended with 3: no network."), ("sleep 5", "timed out")]
)
def test_its_failure_is_a_sentence(
    command: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hook, "SECONDS", 0.5)
    Hook(command, tmp_path).call("finished", "done")
    shown = capsys.readouterr().err
    assert said in shown
    assert shown.endswith("The run is as it was.\n")


def test_other_processes_and_runs_without_one_call_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Hook(None, tmp_path).call("finished", "done")
    monkeypatch.setenv("RANK", "1")
    Hook(WRITES, tmp_path).call("finished", "done")
    assert not [*tmp_path.iterdir()]
