"""The run folder: what was run, on which data, and whether it is finished."""

import json
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

from align.errors import RunFolderError
from align.recipe.keys import keys_of
from align.recipe.problems import one_line
from align.recipe.yaml_loader import dump_yaml
from align.secrets import mask, mask_words
from align.versions import installed_versions
from align.whole_files import write_whole

Noted = TypeVar("Noted")
RECIPE_FILE = "recipe.yaml"
VERSIONS_FILE = "versions.json"
FINISHED_FILE = "finished.json"
CHECKS_FILE = "checks.json"  # what `align check` finds, rows left out and their reasons among it
LOG = ("metrics.jsonl", "rewards.jsonl", "completions")
# A resumed run may be made longer or logged differently; anything else would be another run.
MAY_CHANGE = {
    "max_steps", "num_train_epochs", "logging_steps", "save_steps", "save_total_limit", "eval_steps", "report_to",
    "output_dir", "log_completions", "num_completions_to_print", "second_pass_batch_size",
    "reward_workers", "reward_memory_gb", "reward_repeats", "alarms", "stop_on",
    "hub_token", "push_to_hub", "hub_model_id", "hub_strategy", "hub_private_repo", "hub_always_push", "hub_revision",
    "save_strategy", "logging_strategy", "run_name", "log_level", "log_level_replica", "per_device_eval_batch_size",
    "vllm_server_host", "vllm_server_port", "vllm_server_base_url", "vllm_server_timeout", "vllm_group_port",
    "ddp_timeout", "torch_empty_cache_steps", "dataloader_pin_memory",
}  # fmt: skip
# Of a set these load the same batches in the same order; rows that are streamed are divided among the workers.
_WORKERS = {"dataloader_num_workers", "dataloader_prefetch_factor"}
_DATA_FILES = ("dataset.path", "dataset.eval_path", "dataset.probe_path", "dataset.mix")  # whose SHA-256 is noted


def check_same_run(folder: Path, resolved: Mapping[str, Any]) -> dict[str, Any] | None:
    """Refuses to continue a run under another recipe, and returns that; what is written counts like the default."""
    saved = saved_recipe(folder)
    if saved is None:
        return None
    method = resolved["method"]
    before, now = _in_force(method, saved), _in_force(method, mask(resolved))
    may_change = MAY_CHANGE if now.get("dataset.streaming") else MAY_CHANGE | _WORKERS
    # The method first: the defaults are those of the one that it is now.
    for key in sorted({*before, *now} - may_change, key=lambda key: (key != "method", key)):
        old, new = before.get(key), now.get(key)
        if old == new or (key in _DATA_FILES and _names(old, folder) == _names(new, folder)):
            continue
        raise RunFolderError(
            f"{folder} was run with `{key}: {old}`, now it is `{new}`. Resume with the old value, or start a new run "
            f"with another `--output_dir`."
        )
    return saved


def _in_force(method: str, recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Lists the values of a recipe and the defaults of what it is silent about, blocks as `dataset.path`."""
    defaults = {key.name: key.default for key in keys_of(method) if key.name != "dataset"}
    block = {f"dataset.{name}": value for name, value in recipe["dataset"].items()}
    return {**defaults, **{name: value for name, value in recipe.items() if name != "dataset"}, **block}


def _names(paths: Any, folder: Path) -> Any:
    """Leaves the name of a file whose content is compared with that of the run in `folder`, wherever it lies."""
    if isinstance(paths, list):
        return [{**each, "path": _names(each["path"], folder)} for each in paths]
    name = Path(paths).name if paths else paths
    return name if name in _fingerprints(folder) else paths


def saved_recipe(folder: Path) -> dict[str, Any] | None:
    """Reads the recipe that a folder was run with, secrets masked; None where there is none."""
    path = folder / RECIPE_FILE
    if not path.is_file():
        return None
    try:
        # A secret may be another one by now, and its value is not in the folder.
        saved = mask(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise _broken(path, one_line(error)) from error
    if not isinstance(saved, dict) or "method" not in saved or not isinstance(saved.get("dataset"), dict):
        raise _broken(path, "it holds no recipe")
    return saved


def check_same_data(folder: Path, fingerprints: Mapping[str, str], *, allow_changed: bool) -> str | None:
    """Refuses to continue a run on data files that have changed, or says what changed where that is allowed."""
    if not (folder / VERSIONS_FILE).is_file():
        return None
    saved = _fingerprints(folder)
    changed = [name for name in sorted({*saved, *fingerprints}) if saved.get(name) != fingerprints.get(name)]
    if not changed:
        return None
    parts = (f"{name} (SHA-256 {_short(saved.get(name))}, now {_short(fingerprints.get(name))})" for name in changed)
    text = f"{folder} was trained on other data: {', '.join(parts)}."
    if allow_changed:
        return text
    raise RunFolderError(
        f"{text} Put the old file back, go on all the same with `--allow_changed_data`, or start a new run with "
        "another `--output_dir`. Nothing was written."
    )


def _fingerprints(folder: Path) -> dict[str, str]:
    return noted(folder, "data", dict) or {}


def noted(folder: Path, name: str, read: Callable[[Any], Noted]) -> Noted | None:
    """Reads an entry of the note beside the versions, None where there is none; what `read` raises is a broken one."""
    path = folder / VERSIONS_FILE
    if not path.is_file():
        return None
    try:
        entry = json.loads(path.read_text(encoding="utf-8")).get(name)
        return read(entry) if entry else None
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise _broken(path, one_line(error)) from error


def _short(digest: str | None) -> str:
    return digest[:12] if digest else "none"


def _broken(path: Path, why: str) -> RunFolderError:
    return RunFolderError(
        f"{path} cannot be read ({why}), so it cannot be told whether the same run would go on. Restore it, or start "
        "a new run with another `--output_dir`. Nothing was written."
    )


def record_run(
    folder: Path,
    resolved: Mapping[str, Any],
    facts: Mapping[str, Any],
    comments: str = "",
    checks: Sequence[Mapping[str, Any]] | None = None,
) -> None:
    """Writes the resolved recipe with comments below it, the versions with further facts, and what checks found.

    All of it is without secrets. Among what was found is how many rows are left out, and why.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FINISHED_FILE).unlink(missing_ok=True)
    command = shlex.join(mask_words([Path(sys.argv[0]).name, *sys.argv[1:]]))
    recipe, facts, found = mask([dict(resolved), dict(facts), checks])
    write_whole(folder / RECIPE_FILE, dump_yaml(recipe) + comments)
    record = {"command": command, **installed_versions(), **facts}
    write_whole(folder / VERSIONS_FILE, json.dumps(record, indent=2) + "\n")
    if found is not None:
        text = json.dumps(found, indent=2, ensure_ascii=False, default=str)
        write_whole(folder / CHECKS_FILE, text + "\n")


def record_end(folder: Path, steps: int) -> None:
    """Notes that a run was made to its end and its model is written."""
    write_whole(folder / FINISHED_FILE, json.dumps({"steps": steps}) + "\n")


def set_log_aside(folder: Path) -> Path | None:
    """Moves the log of a run without a checkpoint to a folder that `align report` reads, and returns it."""
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
