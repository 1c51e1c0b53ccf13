"""Where a run starts: at its beginning, or at the newest checkpoint that is whole."""

from pathlib import Path
from typing import NamedTuple

from align.errors import RunFolderError
from align.runs.checkpoints import MANIFEST, damage, list_checkpoints, read_manifest, step_of
from align.runs.folder import FINISHED_FILE, RECIPE_FILE
from align.runs.owner import LOCK, require_folder


class Start(NamedTuple):
    """A checkpoint, None for the beginning, and the newer ones, each with why the run does not go on from it."""

    checkpoint: Path | None
    passed_over: tuple[tuple[Path, str], ...] = ()


def find_start(folder: Path, resume: str | None) -> Start:
    """Decides where a run starts.

    Args:
        folder: The output folder.
        resume: None for a new run, `auto` for the newest whole checkpoint in the folder, or the path of a checkpoint.

    Raises:
        RunFolderError: If the folder holds another run and `resume` is None, the named checkpoint is not whole,
            `resume` is `auto` and the folder holds a finished run of which no checkpoint is left, or checkpoints of
            which none is whole, or the folder holds a model that no run has left.
    """
    require_folder(folder)
    if resume is None:
        if not _is_empty(folder):
            raise _is_used(folder)
        return Start(None)
    start = _newest(folder) if resume == "auto" else _named(folder, Path(resume))
    model = next((path.name for path in sorted(folder.glob("*.safetensors"))), None)
    is_its_run = start.checkpoint is not None and start.checkpoint.resolve().parent == folder.resolve()
    if model is not None and not is_its_run and not (folder / RECIPE_FILE).is_file():
        raise RunFolderError(
            f"{folder} holds a model, {model}, and no run of it; training would write over it. Choose another folder, "
            f"`--output_dir {folder}-2`. Nothing was written."
        )
    return start


def _newest(folder: Path) -> Start:
    passed_over: list[tuple[Path, str]] = []
    for checkpoint in list_checkpoints(folder):
        wrong = damage(checkpoint) or _not_resumable(checkpoint)
        if wrong is None:
            return Start(checkpoint, tuple(passed_over))
        passed_over.append((checkpoint, wrong))
    written_to_end = [(path, wrong) for path, wrong in passed_over if (path / MANIFEST).exists()]
    if written_to_end:
        found = "; ".join(f"{path.name}: {wrong}" for path, wrong in written_to_end)
        raise RunFolderError(
            f"No checkpoint in {folder} can be gone on from ({found}). Restore the files, or start anew with "
            f"`--output_dir {folder}-2`. Nothing was written."
        )
    if (folder / FINISHED_FILE).is_file():
        raise RunFolderError(
            f"{folder} holds a finished run and no checkpoint to go on from; training would write over its model. "
            f"Choose a new folder with `--output_dir {folder}-2`. Nothing was written."
        )
    return Start(None, tuple(passed_over))


def _named(folder: Path, checkpoint: Path) -> Start:
    wrong = damage(checkpoint) or _not_resumable(checkpoint)
    manifest = read_manifest(checkpoint / MANIFEST)
    if wrong is None and manifest is not None:  # else `auto` would go on from those of the time before
        why = f"it is newer than {checkpoint.name}, from which the run goes on"
        newer = [path for path in list_checkpoints(folder) if step_of(path) > manifest.step]
        return Start(checkpoint, tuple((path, why) for path in newer))
    whole = [path.name for path in list_checkpoints(folder) if damage(path, hashed=False) is None]
    raise RunFolderError(
        f"{checkpoint} cannot be gone on from: {wrong}. Checkpoints in {folder}: {', '.join(whole[::-1]) or 'none'}."
    )


def _not_resumable(checkpoint: Path) -> str | None:
    manifest = read_manifest(checkpoint / MANIFEST)
    if manifest is None or manifest.resumable:
        return None
    return "it holds no optimizer, because the run was made with `save_only_model: true`"


def _is_empty(folder: Path) -> bool:
    """Says whether nothing but locks is in a folder that may not exist."""
    if not folder.is_dir():
        return not folder.exists()
    return all(path.name == LOCK or (path.is_dir() and _is_empty(path)) for path in folder.iterdir())


def _is_used(folder: Path) -> RunFolderError:
    new = f"hoose a new folder with `--output_dir {folder}-2`"
    whole = [path.name for path in list_checkpoints(folder) if damage(path, hashed=False) is None]
    if whole and (folder / FINISHED_FILE).is_file():
        text = (
            f"{folder} already holds a finished run, up to {whole[0]}. Train it on with `--resume auto` and more "
            f"steps, or c{new}."
        )
    elif whole:
        text = f"{folder} already holds a run, up to {whole[0]}. Continue it with `--resume auto`, or c{new}."
    else:
        what = "a run that left no checkpoint" if (folder / RECIPE_FILE).is_file() else "files, and no checkpoint"
        text = f"{folder} already holds {what} to continue from. C{new}."
    return RunFolderError(f"{text} Nothing was written.")
