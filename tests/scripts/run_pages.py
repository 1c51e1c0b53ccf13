"""Runs commands of pages, each in a copy of one process that has imported the libraries; see `test_pages.py`.

Reads lines of JSON, `{"folder": ..., "line": ...}`, and answers each with `{"code": ..., "output": ...}`.
"""

import json
import os
import runpy
import shlex
import subprocess
import sys
import tempfile
import traceback
from glob import glob
from pathlib import Path

SECONDS = 240
SHELL = set("|&;<>$`")  # a line with any of these is bash's


def called(line: str):
    """Returns the words of a command that a copy of this process can run: `align ...` or `python FILE`."""
    words = shlex.split(line, comments=True)
    if SHELL & set(line.partition(" #")[0]) or "=" in words[0] or words[0] not in ("align", "python"):
        return None
    return words if words[0] == "align" or words[1].endswith(".py") else None


def expanded(words: list[str]) -> list[str]:
    """Puts files in the place of patterns, as a shell does."""
    return [each for word in words for each in (sorted(glob(word)) or [word])]


def short(words: list[str]) -> list[str]:
    """Trains for two steps where a page says nothing of how many; the models here are tiny stand-ins."""
    return [*words, "--max_steps", "2"] if words[:2] == ["align", "train"] and "--max_steps" not in words else words


def in_a_copy(words: list[str], folder: str, out: int) -> int:
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        os.chdir(folder)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(out, 2)
        sys.path.insert(0, folder)
        if words[0] == "align":
            from align.cli import main

            sys.argv = short(expanded(words))
            main()
        else:
            sys.argv = words[1:]
            runpy.run_path(words[1], run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        if isinstance(end.code, str):
            sys.stderr.write(end.code)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def run(line: str, folder: str) -> dict[str, object]:
    with tempfile.TemporaryFile() as out:
        if words := called(line):
            code = in_a_copy(words, folder, out.fileno())
        else:
            code = subprocess.run(
                ["bash", "-c", line], cwd=folder, stdout=out, stderr=out, stdin=subprocess.DEVNULL, timeout=SECONDS
            ).returncode
        out.seek(0)
        return {"code": code, "output": out.read().decode(errors="replace")}


def warm() -> None:
    """Imports what commands import; a copy of this process has it."""
    import torch
    from trl import DPOTrainer, GRPOTrainer, RewardTrainer, SFTTrainer  # noqa: F401

    import align
    import align.cli.app
    import align.services.train

    torch.set_num_threads(1)
    for name in ("ACRETrainer", "CromeTrainer", "RRPOTrainer", "evaluate", "train", "watch"):
        getattr(align, name)


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print while they are imported is no answer
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    warm()
    for request in sys.stdin:
        answers.write(json.dumps(run(**json.loads(request))) + "\n")
        answers.flush()
