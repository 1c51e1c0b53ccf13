"""What a run reads, data, code of the user's own and models in local folders, and from which step on."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from align.errors import RunFolderError
from align.recipe.recipe import Recipe
from align.runs.folder import MAY_CHANGE, noted
from align.runs.stages import Stage
from align.whole_files import by_name, sha256_of

ENTRY = "read"  # of the note beside the versions
_NOT_READ = MAY_CHANGE | {"dataset"}  # which trains nothing, and which is noted as data
_CONFIGS = ("config.json", "adapter_config.json")
_WEIGHTS = (".safetensors", ".bin")
_SAMPLES, _BYTES = 16, 4096  # of a file of weights, which is too long to be hashed


class ReadDigests(NamedTuple):
    """Digests by name of what was read, and the number of steps that were made before it was."""

    step: int
    digests: dict[str, str]


def read_now(stage: Stage) -> ReadDigests:
    """Digests what a recipe names, as it is now, from the step on that the run goes on from."""
    return ReadDigests(stage.step, {name: _digest(path) for name, path in _named(stage.recipe).items()})


def read_before(stage: Stage) -> list[ReadDigests]:
    """Lists what was read up to a checkpoint; empty for the beginning, and where the run noted nothing."""
    if stage.checkpoint is None:
        return []
    # What counts from this step on, or from a later one, is not in the checkpoint.
    return [each for each in noted_readings(stage.checkpoint.resolve().parent) if each.step < stage.step]


def noted_readings(folder: Path) -> list[ReadDigests]:
    """Reads the note of a run folder; empty where there is none."""
    found = noted(
        folder, ENTRY, lambda entry: [ReadDigests(int(each["step"]), dict(each["digests"])) for each in entry]
    )
    return found or []


def readings_note(stage: Stage, data: Mapping[str, str]) -> dict[str, Any]:
    """Makes the entry beside the versions: what was read up to a checkpoint, and what is read now if it is another."""
    before, now = read_before(stage), read_now(stage)
    now = now._replace(digests={**now.digests, **data})
    readings = before if before and before[-1].digests == now.digests else [*before, now]
    return {ENTRY: [each._asdict() for each in readings]}


def changes(readings: Sequence[ReadDigests]) -> Iterator[str]:
    """Words which file or model is another one from a step on."""
    for before, after in pairwise(readings):
        for name in _differing(before, after):
            yield (
                f"{name} was exchanged before step {after.step + 1} (fingerprint "
                f"{before.digests[name][:12]} until then, now {after.digests[name][:12]})."
            )


def check_same_base(stage: Stage, before: ReadDigests, now: ReadDigests, *, allow_changed: bool) -> None:
    """Refuses to go on with another base model where what a checkpoint holds depends on it."""
    base, depends, checkpoint = _base(stage.recipe), _depends_on_base(stage.recipe), stage.checkpoint
    name = next((name for name, path in _named(stage.recipe).items() if path == base), None)
    if allow_changed or depends is None or checkpoint is None or name not in _differing(before, now):
        return
    raise RunFolderError(
        f"{checkpoint.resolve().parent} was trained on another model: {base} (fingerprint "
        f"{before.digests[name][:12]}, now {now.digests[name][:12]}), and {depends} of {checkpoint.name} belongs to "
        "that one. Put the old model back, go on all the same with `--allow_changed_data`, or start a new run with "
        "another `--output_dir`. Nothing was written."
    )


def _depends_on_base(recipe: Recipe) -> str | None:
    def is_set(name: str) -> bool:
        return bool(getattr(recipe.settings, name, False))

    if recipe.model.use_peft:
        return "the adapter"
    if is_set("sync_ref_model"):
        return None  # it is in the checkpoint
    keeps = recipe.record.part("footprint")(recipe).keeps_reference
    return "the reference" if keeps or is_set("precompute_ref_log_probs") else None


def _differing(before: ReadDigests, after: ReadDigests) -> list[str]:
    """Lists what is known of both; the names may be others where another version of the software finds more."""
    both = before.digests.keys() & after.digests.keys()
    return sorted(name for name in both if before.digests[name] != after.digests[name])


def _base(recipe: Recipe) -> Path | None:
    return _found(recipe.model.model_name_or_path, [Path.cwd()])


def _named(recipe: Recipe) -> dict[str, Path]:
    """Finds the files of code, `own.py:function`, and the folders of models that a recipe names, wherever it does."""
    folders = (recipe.path.resolve().parent, Path.cwd())
    read = {key: value for key, value in recipe.resolved.items() if key not in _NOT_READ}
    found = (_base(recipe), *(_found(word, folders) for word in texts_in(read) if word))
    return by_name(path for path in found if path)


def _found(word: str, folders: Sequence[Path]) -> Path | None:
    place, colon, _ = word.partition(".py:")
    name = f"{place}.py" if colon else word
    is_code = name.endswith(".py")
    for folder in folders:
        try:
            path = (folder / Path(name).expanduser()).resolve()
            if path.is_file() if is_code else any((path / config).is_file() for config in _CONFIGS):
                return path
        except (OSError, ValueError, RuntimeError):  # a text that no file can be called
            return None
    return None


def texts_in(value: Any) -> Iterator[str]:
    """Yields the texts that stand somewhere in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from texts_in(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from texts_in(each)


def _digest(path: Path) -> str:
    """Digests a file, or of a model's folder its configuration, and sizes and samples of its weights."""
    if path.is_file():
        return sha256_of(path)
    digest = hashlib.sha256()
    for file in sorted(path.iterdir()):
        if file.name in _CONFIGS:
            digest.update(f"{file.name} {sha256_of(file)} ".encode())
        elif file.suffix in _WEIGHTS and file.name != "training_args.bin":
            size = file.stat().st_size
            digest.update(f"{file.name} {size} ".encode())
            with file.open("rb") as weights:
                for i in range(_SAMPLES):
                    weights.seek(size * i // _SAMPLES)
                    digest.update(weights.read(_BYTES))
    return digest.hexdigest()
