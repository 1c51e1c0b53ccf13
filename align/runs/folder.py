"""The run folder: what was run, and a promise that nothing in it is written over."""

import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from align.errors import RunFolderError
from align.runs.versions import installed_versions

RECIPE_FILE = "recipe.yaml"
VERSIONS_FILE = "versions.json"
FINISHED_FILE = "finished.json"
# A resumed run may be made longer or logged differently; anything else would be another run.
MAY_CHANGE = {
    "max_steps", "num_train_epochs", "logging_steps", "save_steps", "save_total_limit", "eval_steps", "report_to",
    "output_dir", "log_completions", "num_completions_to_print", "second_pass_batch_size",
    "reward_workers", "reward_memory_gb", "alarms",
    "then",  # has a folder of its own, which is compared for itself
}  # fmt: skip


def find_checkpoint(folder: Path, resume: str | None) -> Path | None:
    """Decides where a run starts: at a checkpoint, or, with None, at the beginning.

    Args:
        folder: The output folder.
        resume: None for a new run, `auto` for the last checkpoint in the folder, or the path of a checkpoint.

    Raises:
        RunFolderError: If the folder holds another run and `resume` is None, or the checkpoint does not exist.
    """
    if folder.exists() and not folder.is_dir():
        raise RunFolderError(f"{folder} is a file. Choose a folder with `--output_dir`. Nothing was written.")
    complete = _complete_checkpoints(folder)
    if resume is None:
        if folder.is_dir() and any(folder.iterdir()):
            where = f", up to {complete[-1].name}" if complete else ""
            raise RunFolderError(
                f"{folder} already holds a run{where}. Continue it with `--resume auto`, or choose a new folder with "
                f"`--output_dir {folder}-2`. Nothing was written."
            )
        return None
    if resume == "auto":
        return complete[-1] if complete else None
    if not _is_complete(Path(resume)):
        names = ", ".join(path.name for path in complete) or "none"
        raise RunFolderError(
            f"{resume} is no complete checkpoint (no trainer_state.json that can be read). Checkpoints in {folder}: "
            f"{names}."
        )
    return Path(resume)


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
    saved = yaml.safe_load(saved_path.read_text(encoding="utf-8"))
    for key in sorted({*saved, *resolved} - MAY_CHANGE):
        if saved.get(key) != resolved.get(key):
            raise RunFolderError(
                f"{folder} was run with `{key}: {saved.get(key)}`, now it is `{resolved.get(key)}`. Resume with the "
                f"old value, or start a new run with another `--output_dir`."
            )


def record_run(folder: Path, resolved: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Writes the resolved recipe and the versions; `facts` are further entries such as the data's fingerprint."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FINISHED_FILE).unlink(missing_ok=True)
    (folder / RECIPE_FILE).write_text(
        yaml.safe_dump(dict(resolved), sort_keys=False, allow_unicode=True), encoding="utf-8"
    )
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    record = {"command": command, **installed_versions(), **facts}
    (folder / VERSIONS_FILE).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
