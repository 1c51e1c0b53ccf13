"""The page that is written while a run trains."""

import re
from itertools import pairwise
from types import SimpleNamespace

from written_run import write_run

from align.report import build_report
from align.runs.folder import record_end
from align.runs.progress import record_start
from align.training.callbacks import LivePage


class Clock:
    """A clock that stands still until it is told otherwise."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def train(seconds, step_seconds, page_seconds, *, is_main=True):
    """Logs every step and returns when the page was written."""
    clock, written = Clock(), []

    def write():
        written.append(clock.now)
        clock.now += page_seconds

    page = LivePage(write, clock)
    page.on_train_begin(None, None, None)
    while clock.now < seconds:
        clock.now += step_seconds
        page.on_log(None, SimpleNamespace(is_world_process_zero=is_main), None)
    return written


def test_a_page_is_written_every_half_minute_and_never_takes_more_than_a_hundredth():
    quick = train(300, step_seconds=1, page_seconds=0.1)
    assert quick[0] == 30
    assert all(30 <= later - earlier < 32 for earlier, later in pairwise(quick))
    slow = train(3000, step_seconds=1, page_seconds=3)
    assert 0.008 < 3 * len(slow) / 3000 <= 0.01
    assert train(300, 1, 0.1, is_main=False) == []


def test_a_page_that_cannot_be_written_is_named_once_and_tried_again(capsys):
    clock, tries = Clock(), []

    def write():
        tries.append(clock.now)
        raise OSError(28, "No space left on device")

    page = LivePage(write, clock)
    for _ in range(3):
        clock.now += 31
        page.on_log(None, SimpleNamespace(is_world_process_zero=True), None)
    assert len(tries) == 3
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "No space left on device. Training goes on." in said


def test_the_page_of_a_run_says_that_it_goes_on_until_it_is_finished(tmp_path):
    run = write_run(tmp_path / "run", steps=40)
    record_start(run, 2.0, steps=100)
    page = build_report(run, in_training=True).read_text()
    told = re.search(
        r"Still running: step 40 of 100 in (.+) when this page was written, at 2.* About (.+) to go\.", page
    )
    assert told is not None
    assert page.index(told[0]) < page.index("<b>Reward</b>") < page.index("<h2>Completions") < page.index("Settings")
    numbers = page.partition('<div class="numbers">')[2].partition("</div></div>")[0]
    assert re.findall(r'class="soft">([^<]+)', numbers) == ["reward", "right", "length, tokens"]
    assert "Not finished: nothing trains it after step 40 of 100." in build_report(run).read_text()
    record_end(run, 100)
    page = build_report(run).read_text()
    assert "Still running" not in page
    assert "Not finished" not in page
    assert [path.name for path in run.iterdir() if path.name.startswith(".")] == []
