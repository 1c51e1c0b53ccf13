"""A command of the user's that is called at an alarm and at the end of a run, to send word of it."""

import os
import subprocess
from pathlib import Path
from typing import NamedTuple

from align.console import say
from align.recipe.problems import one_line
from align.secrets import mask

SECONDS = 60.0  # that a run waits for it


class Hook(NamedTuple):
    """What is called, in the shell, by the first process of a run; nothing without a command.

    It finds the folder of the run in `ALIGN_RUN`, `alarm`, `finished`, `stopped` or `failed` in `ALIGN_STATE`, and a
    sentence in `ALIGN_MESSAGE`, which no shell reads as code.
    """

    command: str | None
    folder: Path

    def call(self, state: str, message: str) -> None:
        """Calls it; what goes wrong with it is said, and ends no run."""
        if self.command is None or os.environ.get("RANK", "0") != "0":
            return
        told = {"ALIGN_RUN": str(self.folder.absolute()), "ALIGN_STATE": state}
        told["ALIGN_MESSAGE"] = mask(message).replace("\0", "")
        try:
            done = subprocess.run(
                self.command, shell=True, check=False, env=os.environ | told, stdin=subprocess.DEVNULL,
                capture_output=True, text=True, errors="replace", timeout=SECONDS,
            )  # fmt: skip
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            say(f"`--on_end` failed: {one_line(error).rstrip('.')}. The run is as it was.")
            return
        if done.returncode:
            why = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
            say(f"`--on_end` ended with {done.returncode}: {why[0].rstrip('.')}. The run is as it was.")


UNHEARD = Hook(None, Path())
