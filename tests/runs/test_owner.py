import os
import re
import signal
import subprocess
import sys
import time

import pytest
from started import ROOT

from align.errors import RunFolderError
from align.runs.owner import LOCK, holder_of, owned, token_in

HOLD = """
import sys, time
from pathlib import Path
from align.runs.owner import owned
with owned(Path(sys.argv[1])):
    print("mine", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that owns `tmp_path/run`."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "run")], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "mine\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_run_is_refused_with_the_process_that_owns_the_folder(holder, tmp_path):
    folder = tmp_path / "run"
    (folder / "metrics.jsonl").write_text("theirs")
    with (
        pytest.raises(RunFolderError, match=rf"in use by process {holder.pid} on \S+, started 20.*--output_dir"),
        owned(folder),
    ):
        pass
    assert (folder / "metrics.jsonl").read_text() == "theirs"
    assert f"process {holder.pid}" in holder_of(folder)


def test_the_folder_of_a_killed_process_is_taken_over_at_once(holder, tmp_path):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / "run" / LOCK).is_file()
    assert holder_of(tmp_path / "run") is None
    began = time.monotonic()
    with owned(tmp_path / "run") as token:
        assert token_in(tmp_path / "run") == token
    assert time.monotonic() - began < 30  # a note alone counts for a minute
    assert not (tmp_path / "run" / LOCK).exists()


def test_an_owner_whose_process_id_was_given_to_another_process_is_gone(tmp_path):
    with owned(tmp_path):
        marker = (tmp_path / LOCK).read_text()
    marker = marker.replace(f"pid={os.getpid()}", f"pid={os.getppid()}")
    (tmp_path / LOCK).write_text(re.sub("start=[0-9]+", "start=1", marker))  # a parent may have started with its child
    with owned(tmp_path):
        pass


def test_a_folder_in_which_nothing_was_written_is_removed_again(tmp_path):
    with owned(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b" / LOCK).is_file()
    assert not (tmp_path / "a").exists()
    with owned(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "x").write_text("")
    assert (tmp_path / "a" / "b" / "x").is_file()


@pytest.mark.parametrize("name", ["a" * 3_000, "file/below"])
def test_a_folder_that_cannot_be_made_is_refused(tmp_path, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="cannot be used"), owned(tmp_path / name):
        pass


def test_a_note_that_was_not_written_to_its_end_is_taken_over(tmp_path):
    (tmp_path / LOCK).write_text("filelock/2\npid=")  # killed, or the disk was full
    with owned(tmp_path) as token:
        assert token_in(tmp_path) == token


def test_a_note_of_another_version_is_a_sentence(holder, tmp_path):
    note = tmp_path / "run" / LOCK
    note.write_text(note.read_text().replace("duration=60.0", "duration=30.0"))
    with pytest.raises(RunFolderError, match=f"in use by process {holder.pid}"), owned(tmp_path / "run"):
        pass


def test_an_empty_note_is_named(tmp_path):
    (tmp_path / LOCK).write_text("")  # the library takes it for one of its old versions, which may live
    with pytest.raises(RunFolderError, match=r"\.owner does not say whose .* is\. Remove it"), owned(tmp_path):
        pass
