"""Checkpoints that are known to be whole, by a manifest of every file, written last; and from which a run goes on."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from align.errors import RunFolderError
from align.runs.folder import FINISHED_FILE, RECIPE_FILE
from align.runs.owner import LOCK
from align.whole_files import sha256_of, write_whole

MANIFEST = "manifest.json"
REFERENCE = "reference/model.safetensors"  # in a folder of its own, where nothing takes it for the model
# What a trainer goes on from; everything else in a checkpoint is the model, as it lies in the run folder at the end.
_STATE = (
    "optimizer.*", "optimizer_*", "scheduler.pt", "scaler.pt", "rng_state*.pth", "trainer_state.json", "latest",
    "zero_to_*.py", "global_step*/*", "global_step*/*/*", "manifest*.json",
    REFERENCE,
)  # fmt: skip
_SHARDED = ("global_step*/*", "global_step*/*/*", "latest", "zero_to_*.py")


class File(BaseModel):
    """What was written."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    bytes: int
    sha256: str


class Manifest(BaseModel):
    """How far a checkpoint is, how it was written, and its files."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    step: int
    max_steps: int  # of the whole run
    epoch: float  # passes over the data
    processes: int  # that took part; each left files of its own
    sharding: str  # zero1 to zero3, fsdp or none
    resumable: bool  # whether the optimizer is in it (`save_only_model: false`)
    files: dict[str, File]  # by path below the checkpoint


def write_manifest(checkpoint: Path, facts: Mapping[str, Any], name: str = MANIFEST) -> Manifest:
    """Notes the files of a checkpoint as they are; without this note it counts as not written to its end.

    All of it is on the disk then: older ones are deleted next, and a host may lose what it has only in memory. `facts`
    are the fields of `Manifest` but for `files`. A host whose folder no other sees writes a note of its own `name`.
    """
    paths = [path for path in sorted(checkpoint.rglob("*")) if path.is_file() and not path.match("manifest*.json")]
    with ThreadPoolExecutor(8) as pool:  # hashing lets go of Python's lock
        list(pool.map(_flush, paths))
        digests = list(pool.map(_sha256, paths))
    files = {
        path.relative_to(checkpoint).as_posix(): File(bytes=path.stat().st_size, sha256=digest)
        for path, digest in zip(paths, digests, strict=True)
    }
    manifest = Manifest(**facts, files=files)
    content = manifest.model_dump(mode="json")
    write_whole(checkpoint / name, json.dumps({"sha256": _digest_of(content), **content}, indent=1) + "\n")
    for path in (checkpoint / name, *{each.parent for each in paths}, checkpoint, checkpoint.parent):
        _flush(path)
    return manifest


def read_manifest(path: Path) -> Manifest | None:
    """Reads the note of a checkpoint, None where it is missing or not as it was written."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        digest = content.pop("sha256")
        return Manifest.model_validate(content, strict=True) if digest == _digest_of(content) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ValidationError):
        return None


def damage(checkpoint: Path, *, hashed: bool = True) -> str | None:
    """Says what is wrong with a checkpoint, or None; with `hashed` contents are compared, not only sizes."""
    if not checkpoint.is_dir():
        return "it is not there"
    if not (checkpoint / MANIFEST).is_file():
        return f"it has no {MANIFEST}, so it was not written to its end"
    for note in sorted(checkpoint.glob("manifest*.json")):
        manifest = read_manifest(note)
        if manifest is None:
            return f"{note.name} is damaged"
        wrong = _wrong_file(checkpoint, manifest.files, hashed)
        if wrong is not None:
            return wrong
    return None


def read_resumable(checkpoint: Path) -> Manifest | str:
    """Reads the note of a whole checkpoint, or says why a run cannot go on from it."""
    wrong = damage(checkpoint)
    manifest = read_manifest(checkpoint / MANIFEST) if wrong is None else None
    if manifest is None:
        return wrong or f"{MANIFEST} is damaged"
    if not manifest.resumable:
        return "it holds no optimizer, because the run was made with `save_only_model: true`"
    return manifest


def list_checkpoints(folder: Path) -> list[Path]:
    """Lists the checkpoints of a run folder, whole or not, newest first."""
    numbered = [path for path in folder.glob("checkpoint-*") if re.fullmatch("checkpoint-[0-9]+", path.name)]
    return sorted(numbered, key=step_of, reverse=True)


def whole_checkpoints(folder: Path) -> list[Path]:
    """Lists the checkpoints of a run folder that are whole by the sizes of their files, newest first."""
    return [path for path in list_checkpoints(folder) if damage(path, hashed=False) is None]


def step_of(checkpoint: Path) -> int:
    """Reads the step from the name of a checkpoint."""
    return int(checkpoint.name.rpartition("-")[2])


def copy_model(checkpoint: Path, folder: Path) -> None:
    """Writes the model of a checkpoint into a run folder, as `Trainer.save_model` does after its last step."""
    names = [path.relative_to(checkpoint) for path in sorted(checkpoint.rglob("*")) if path.is_file()]
    has_weights = any(name.suffix == ".safetensors" and len(name.parts) == 1 for name in names)
    for name in names:
        is_sharded = _is_one_of(name, _SHARDED)
        # Under ZeRO-3 without `zero3_save_16bit_model` the shards are the model.
        if not _is_one_of(name, _STATE) or (is_sharded and not has_weights):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(checkpoint / name, folder / name)


def _is_one_of(name: Path, patterns: Iterable[str]) -> bool:
    return any(PurePosixPath(name.as_posix()).match(pattern) for pattern in patterns)


def _wrong_file(checkpoint: Path, files: Mapping[str, File], hashed: bool) -> str | None:
    for name, file in files.items():
        if not (checkpoint / name).is_file():
            return f"{name} is missing"
        size = (checkpoint / name).stat().st_size
        if size != file.bytes:
            return f"{name} has {size:,} bytes, {file.bytes:,} were written"
    if not hashed:
        return None
    with ThreadPoolExecutor(8) as pool:
        digests = pool.map(_sha256, [checkpoint / name for name in files])
        for (name, file), digest in zip(files.items(), digests, strict=True):
            if digest != file.sha256:
                return f"{name} is not what was written (another SHA-256)"
    return None


def _sha256(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        return f"not readable: {error.strerror}"


def _flush(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on the disk, where a file system knows of that."""
    with suppress(OSError):
        place = os.open(path, os.O_RDONLY)
        try:
            os.fsync(place)
        finally:
            os.close(place)


def _digest_of(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


class Start(NamedTuple):
    """A checkpoint, None for the beginning, and the newer ones, each with why the run does not go on from it."""

    checkpoint: Path | None
    passed_over: tuple[tuple[Path, str], ...] = ()
    manifest: Manifest | None = None  # of the checkpoint


def find_start(folder: Path, resume: str | None) -> Start:
    """Decides where a run starts: anew, or with `auto` at the newest whole checkpoint, or at that of a path.

    A new run needs an empty folder. What would write over a finished run, or over a model that no run has left, is
    refused.
    """
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
        found = read_resumable(checkpoint)
        if isinstance(found, Manifest):
            return Start(checkpoint, tuple(passed_over), found)
        passed_over.append((checkpoint, found))
    written_to_end = [(path, wrong) for path, wrong in passed_over if (path / MANIFEST).exists()]
    if written_to_end:
        named = "; ".join(f"{path.name}: {wrong}" for path, wrong in written_to_end)
        raise RunFolderError(
            f"No checkpoint in {folder} can be continued from ({named}). Restore the files, or start anew with "
            f"`--output_dir {folder}-2`. Nothing was written."
        )
    if (folder / FINISHED_FILE).is_file():
        raise RunFolderError(
            f"{folder} holds a finished run and no checkpoint to continue from. Training would write over its model. "
            f"Choose a new folder with `--output_dir {folder}-2`. Nothing was written."
        )
    return Start(None, tuple(passed_over))


def _named(folder: Path, checkpoint: Path) -> Start:
    found = read_resumable(checkpoint)
    if isinstance(
        found, Manifest
    ):  # newer ones are passed over, else `auto` would go on from those of the time before
        why = f"it is newer than {checkpoint.name}, from which the run goes on"
        newer = [path for path in list_checkpoints(folder) if step_of(path) > found.step]
        return Start(checkpoint, tuple((path, why) for path in newer), found)
    whole = [path.name for path in whole_checkpoints(folder)]
    raise RunFolderError(
        f"{checkpoint} cannot be continued from: {found}. Checkpoints in {folder}: {', '.join(whole[::-1]) or 'none'}."
    )


def _is_empty(folder: Path) -> bool:
    """Says whether nothing but locks is in a folder that may not exist."""
    if not folder.is_dir():
        return not folder.exists()
    return all(path.name == LOCK or (path.is_dir() and _is_empty(path)) for path in folder.iterdir())


def _is_used(folder: Path) -> RunFolderError:
    new = f"hoose a new folder with `--output_dir {folder}-2`"
    whole = [path.name for path in whole_checkpoints(folder)]
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
