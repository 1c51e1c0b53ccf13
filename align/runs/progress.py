"""How far a run is, and whether somebody makes it go on."""

import json
import time
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from align.runs.folder import FINISHED_FILE
from align.runs.owner import is_held
from align.whole_files import object_in, write_whole

STARTED_FILE = "started.json"


class State(Enum):
    """What becomes of a run."""

    RUNNING = "running"
    CUT_SHORT = "cut short"
    FINISHED = "finished"


class Progress(NamedTuple):
    """Where a run is."""

    state: State
    steps: int | None  # it was asked for; None where nobody noted it
    written: str  # when this was looked up, in UTC


def record_start(folder: Path, seconds: float, steps: int) -> None:
    """Keeps how long a start took, and how many steps the run is to make."""
    record = {"seconds_to_first_step": round(seconds, 1), "steps": steps}
    write_whole(folder / STARTED_FILE, json.dumps(record) + "\n")


def seconds_last_time(folder: Path) -> float | None:
    """Reads how long the last start in a folder took; a file that is broken tells nothing."""
    try:
        return float(object_in(folder / STARTED_FILE)["seconds_to_first_step"])
    except (ValueError, KeyError, TypeError):
        return None


def look_up(folder: Path, *, in_training: bool = False) -> Progress:
    """Says where a run is, for the process that trains or another one."""
    if (folder / FINISHED_FILE).is_file():
        state = State.FINISHED
    else:
        state = State.RUNNING if in_training or is_held(folder) else State.CUT_SHORT
    steps = object_in(folder / STARTED_FILE).get("steps")
    now = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    return Progress(state, steps if isinstance(steps, int) else None, now)
