"""Commands that run one after the other, and go on where they were stopped."""

import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from align.whole_files import write_whole


class Stage(NamedTuple):
    """One command, and the folder that it fills; `launch` starts it in several processes."""

    name: str
    words: tuple[str, ...]
    module: str = "align"
    launch: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """Writes the command as a reader would type it."""
        alone = ["align"] if self.module == "align" else ["python", "-m", self.module]
        return shlex.join([*([*self.launch, "-m", self.module] if self.launch else alone), *self.words])


def run_stages(stages: Sequence[Stage], kept: Path, before: Callable[[Stage], None] = lambda stage: None) -> int:
    """Runs the stages that are not finished, and returns the exit code of the first that fails, else 0.

    Args:
        stages: Commands, each of which may read what those before it wrote.
        kept: The folder that says of each finished stage which command it was.
        before: What is done before a command starts.
    """
    kept.mkdir(parents=True, exist_ok=True)
    finished = {stage.name: kept / f"{stage.name}.txt" for stage in stages}
    for index, stage in enumerate(stages):
        file = finished[stage.name]
        if file.is_file() and file.read_text(encoding="utf-8") == stage.line:
            print(f"{stage.name} is finished.", flush=True)
            continue
        for later in stages[index:]:  # they have seen what this one is about to change
            finished[later.name].unlink(missing_ok=True)
        before(stage)
        print(f"\n$ {stage.line}", flush=True)
        if code := subprocess.run(
            [*(stage.launch or [sys.executable]), "-m", stage.module, *stage.words], check=False
        ).returncode:
            print(f"{stage.name} ended with exit code {code}. The same command continues there.", file=sys.stderr)
            return code
        write_whole(file, stage.line)
    return 0
