"""Checkpoints that are known to be whole: a manifest with the size and hash of every file, written last."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

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
        digests = list(pool.map(_flushed_sha256, paths))
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


def _flushed_sha256(path: Path) -> str:
    _flush(path)
    return _sha256(path)


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
