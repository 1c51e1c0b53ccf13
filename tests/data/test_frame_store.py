import multiprocessing
import os
import time
from pathlib import Path

from align.data.media.frame_store import FrameStore, default_folder


def die_in_the_middle(folder):
    def make(unfinished):
        (unfinished / "0000.jpg").write_bytes(b"half")
        os._exit(9)

    FrameStore(folder).get("key", make)


def write_slowly(folder, log):
    def make(unfinished):
        with log.open("a") as lines:
            lines.write("made\n")
        for name in ("0", "1"):
            (unfinished / name).write_text(name)
        return ["0", "1", "0"]

    found = FrameStore(folder).get("key", make)
    assert [Path(path).read_text() for path in found] == ["0", "1", "0"]


def test_a_killed_process_leaves_no_half_of_it_and_two_at_once_make_it_once(tmp_path):
    context = multiprocessing.get_context("fork")
    killed = context.Process(target=die_in_the_middle, args=(tmp_path / "frames",))
    killed.start()
    killed.join()
    assert killed.exitcode == 9
    both = [context.Process(target=write_slowly, args=(tmp_path / "frames", tmp_path / "log")) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    assert (tmp_path / "log").read_text() == "made\n"


def test_what_a_killed_process_left_is_removed_after_a_day(tmp_path):
    left = [tmp_path / "unfinished" / name for name in ("old", "new")]
    for folder in left:
        folder.mkdir(parents=True)
        (folder / "0000.jpg").write_bytes(b"half")
    yesterday = time.time() - 25 * 60 * 60
    os.utime(left[0], (yesterday, yesterday))

    def make(folder):
        (folder / "0").touch()
        return ["0"]

    FrameStore(tmp_path).get("key", make)
    assert [folder.exists() for folder in left] == [False, True]


def test_the_store_is_in_the_cache_of_the_user(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == FrameStore().folder == tmp_path / "truealign" / "frames"
