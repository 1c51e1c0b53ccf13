"""The run folder: what was run, and a promise that nothing in it is written over."""

import json
import os
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from align.errors import RunFolderError
from align.recipe.problems import shown
from align.recipe.yaml_loader import dump_yaml
from align.secrets import mask, mask_words
from align.versions import installed_versions

RECIPE_FILE = "recipe.yaml"
VERSIONS_FILE = "versions.json"
FINISHED_FILE = "finished.json"
CHECKS_FILE = "checks.json"  # what `align check` finds, rows left out and their reasons among it
LOG = ("metrics.jsonl", "rewards.jsonl", "completions")
# A resumed run may be made longer or logged differently; anything else would be another run.
MAY_CHANGE = {
    "max_steps", "num_train_epochs", "logging_steps", "save_steps", "save_total_limit", "eval_steps", "report_to",
    "output_dir", "log_completions", "num_completions_to_print", "second_pass_batch_size",
    "reward_workers", "reward_memory_gb", "alarms", "hub_token",
    "then",  # has a folder of its own, which is compared for itself
}  # fmt: skip


def find_checkpoint(folder: Path, resume: str | None) -> Path | None:
    """Decides where a run starts: at a checkpoint, or, with None, at the beginning.

    Args:
        folder: The output folder.
        resume: None for a new run, `auto` for the last checkpoint in the folder, or the path of a checkpoint.

    Raises:
        RunFolderError: If the folder holds another run and `resume` is None, the checkpoint does not exist, or
            `resume` is `auto` and the folder holds a finished run of which no checkpoint is left.
    """
    try:
        is_file = folder.exists() and not folder.is_dir()
    except OSError as error:  # a name that no file can have, or a folder that nobody may look into
        raise RunFolderError(
            f"`output_dir` {shown(str(folder))} cannot be used: {error.strerror}. Choose another with `--output_dir`. "
            "Nothing was written."
        ) from error
    if is_file:
        raise RunFolderError(f"{folder} is a file. Choose a folder with `--output_dir`. Nothing was written.")
    complete = _complete_checkpoints(folder)
    if resume is None:
        if folder.is_dir() and any(folder.iterdir()):
            raise _is_used(folder, complete)
        return None
    if resume == "auto":
        if not complete and (folder / FINISHED_FILE).is_file():
            raise RunFolderError(
                f"{folder} holds a finished run and no checkpoint to go on from; training would write over its model. "
                f"Choose a new folder with `--output_dir {folder}-2`. Nothing was written."
            )
        return complete[-1] if complete else None
    if not _is_complete(Path(resume)):
        names = ", ".join(path.name for path in complete) or "none"
        raise RunFolderError(
            f"{resume} is no complete checkpoint (no trainer_state.json that can be read). Checkpoints in {folder}: "
            f"{names}."
        )
    return Path(resume)


def _is_used(folder: Path, complete: Sequence[Path]) -> RunFolderError:
    new = f"hoose a new folder with `--output_dir {folder}-2`"
    if complete:
        text = f"{folder} already holds a run, up to {complete[-1].name}. Continue it with `--resume auto`, or c{new}."
    else:
        text = f"{folder} already holds a run that left no checkpoint to continue from. C{new}."
    return RunFolderError(f"{text} Nothing was written.")


def _complete_checkpoints(folder: Path) -> list[Path]:
    """Lists the checkpoints that were written to the end, oldest first."""
    steps = {path: path.name.rpartition("-")[2] for path in folder.glob("checkpoint-*")}
    numbered = [path for path, step in steps.items() if step.isdigit() and _is_complete(path)]
    return sorted(numbered, key=lambda path: int(steps[path]))


def _is_complete(checkpoint: Path) -> bool:
    """Says whether the file that transformers writes last is there and whole."""
    try:
        json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True


def check_same_run(folder: Path, resolved: Mapping[str, Any]) -> None:
    """Refuses to continue a run under another recipe.

    Raises:
        RunFolderError: If a setting differs that a resumed run must keep.
    """
    saved_path = folder / RECIPE_FILE
    if not saved_path.is_file():
        return
    # A secret may be another one by now, and its value is not in the folder.
    saved = mask(yaml.safe_load(saved_path.read_text(encoding="utf-8")))
    now = mask(resolved)
    for key in sorted({*saved, *now} - MAY_CHANGE):
        if saved.get(key) != now.get(key):
            raise RunFolderError(
                f"{folder} was run with `{key}: {saved.get(key)}`, now it is `{now.get(key)}`. Resume with the "
                f"old value, or start a new run with another `--output_dir`."
            )


def record_run(folder: Path, resolved: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Writes the resolved recipe and the versions, without secrets; `facts` are further entries."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FINISHED_FILE).unlink(missing_ok=True)
    (folder / RECIPE_FILE).write_text(dump_yaml(mask(resolved)), encoding="utf-8")
    command = shlex.join(mask_words([Path(sys.argv[0]).name, *sys.argv[1:]]))
    record = {"command": command, **installed_versions(), **mask(facts)}
    (folder / VERSIONS_FILE).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def record_checks(folder: Path, findings: Sequence[Mapping[str, Any]]) -> None:
    """Writes what was found before training, among it how many rows are left out and why."""
    text = json.dumps(mask(list(findings)), indent=2, ensure_ascii=False, default=str)
    (folder / CHECKS_FILE).write_text(text + "\n", encoding="utf-8")


def set_log_aside(folder: Path) -> Path | None:
    """Moves the log of a run that left no checkpoint out of the way of one that starts at the beginning.

    Returns:
        Where it is now, a folder that `align report` can read; None if there was no log.
    """
    written = [name for name in LOG if (folder / name).is_file() or any((folder / name).glob("*"))]
    if not written:
        return None
    number = next(number for number in range(1, 10_000) if not (folder / f"earlier-{number}").exists())
    aside = folder / f"earlier-{number}"
    aside.mkdir()
    for name in (RECIPE_FILE, VERSIONS_FILE, CHECKS_FILE):
        if (folder / name).is_file():
            shutil.copy2(folder / name, aside / name)
    for name in written:
        was_folder = (folder / name).is_dir()
        os.replace(folder / name, aside / name)
        if was_folder:
            (folder / name).mkdir()  # TRL made it when the trainer was built, and writes into it
    return aside
