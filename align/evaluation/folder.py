"""The folder of an evaluation, which holds no other one, and the names of the models in it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from align.errors import UserError
from align.evaluation.divided.division import current
from align.evaluation.record import EVALUATION_FILE, ITEMS_FILE
from align.whole_files import write_whole

PLAN_FILE = "models.json"  # in the cache's folder: whose answers are there
RESULTS = (EVALUATION_FILE, ITEMS_FILE)


def name_models(paths: Sequence[str]) -> list[str]:
    """Names models after their folders, as far up as it takes to tell them apart.

    Raises:
        UserError: If two are the same folder or hub id.

    Example:
        >>> name_models(["runs/x/checkpoint-10", "runs/y/checkpoint-10"])
        ['x/checkpoint-10', 'y/checkpoint-10']
    """
    whole = [str(Path(path).resolve()) if Path(path).is_dir() else path for path in paths]
    if len(set(whole)) < len(whole):
        raise UserError(f"The same model is given twice: {', '.join(paths)}. Name each model once.")
    for depth in range(1, max(len(Path(path).parts) for path in paths) + 1):
        names = ["/".join(Path(path).parts[-depth:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    raise UserError(f"The same model is given twice: {', '.join(paths)}.")


def claim_folder(out: Path, fingerprints: Mapping[str, str], *, plan_file: str, results: Sequence[str]) -> Path:
    """Makes the folder, and refuses one with another model's answers under a name that is used here.

    In a divided evaluation, the cache begins with the answers that other processes left.

    Args:
        out: The evaluation's folder.
        fingerprints: Of the models, by name.
        plan_file: Where they are kept, by which one kind of evaluation is told from another.
        results: Files that the evaluation writes; where there is no plan yet, they are somebody else's.

    Returns:
        The folder of the cache.

    Raises:
        UserError: If the folder cannot be used.
    """
    cache, plan = out / "cache", out / "cache" / plan_file
    if not plan.is_file() and (taken := next((name for name in results if (out / name).exists()), None)):
        what = "another evaluation" if taken == EVALUATION_FILE else f"{taken}, which this evaluation would replace"
        raise UserError(f"`--out` {out} holds {what}. Choose a new folder. Nothing was written.")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        known = json.loads(plan.read_text(encoding="utf-8")) if plan.is_file() else {}
        changed = [name for name in fingerprints if known.get(name, fingerprints[name]) != fingerprints[name]]
        if changed:
            raise UserError(
                f"`--out` {out} holds answers of another model named {changed[0]!r} (fingerprint "
                f"{known[changed[0]][:12]}, this one has {fingerprints[changed[0]][:12]}). Choose a new folder for "
                "this one. Nothing was written."
            )
        write_whole(plan, json.dumps(known | dict(fingerprints), indent=2) + "\n")  # another process may read it
    except OSError as error:
        raise UserError(f"`--out` {out} cannot be written: {error}. Choose another folder.") from error
    except json.JSONDecodeError as error:
        raise UserError(f"{plan} cannot be read: {error}. Delete {cache}, or choose another `--out`.") from error
    current().claim(out, cache, fingerprints)
    return cache
