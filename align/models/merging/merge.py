"""Writes merged models into folders, each whole or not at all, and none of them twice."""

import json
import shutil
from pathlib import Path

from align.errors import UserError
from align.models.checkpoint import find_checkpoint
from align.models.merging.adapter import merge_adapter
from align.models.merging.dense import merge_models
from align.models.merging.parents import Parents

MERGED_FILE = "merged.json"  # in a merged model's folder: of what, and how


def check_extra(tuned: str) -> None:
    """Refuses to merge two models where the part that does it is missing; an adapter needs none."""
    from rewards.extras import missing

    if find_checkpoint(tuned).base is None and (sentence := missing("merge", "Merging two models")):
        raise UserError(sentence)


def merge(parents: Parents, alpha: float, out: Path) -> bool:
    """Writes a merged model; says whether it was there already."""
    said = {
        "base": {"path": parents.base.path, "fingerprint": parents.base.fingerprint},
        "tuned": {"path": parents.tuned.path, "fingerprint": parents.tuned.fingerprint},
        "alpha": alpha,
    }
    from safetensors import SafetensorError

    if out.exists():
        if _read(out / MERGED_FILE) == said:
            return True
        raise UserError(f"{out} exists and holds something else. Choose another `--out`. Nothing was written.")
    draft = out.with_name(f".{out.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)  # of a merge that was killed
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if parents.tuned.base is not None:
            merge_adapter(parents.tuned_folder, parents.base.path, alpha, draft)
        else:
            merge_models(parents, alpha, draft)
        (draft / MERGED_FILE).write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")
        draft.rename(out)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(draft, ignore_errors=True)
        raise UserError(
            f"The merged model cannot be written to {out}: {error}. Free space there and give the same command again."
        ) from error
    return False


def _read(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
