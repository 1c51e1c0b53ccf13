"""Writes merged models into folders, each whole or not at all, and none of them twice.

Of two models theta = (1 - alpha) base + alpha tuned (WiSE-FT), summed in fp32, tensor by tensor. A LoRA adds s B A to
a weight W, so (1 - alpha) W + alpha (W + s B A) = W + s (alpha B) A: alpha scales what it adds, and the base is not
touched.
"""

import json
import shutil
from contextlib import ExitStack
from decimal import Decimal, InvalidOperation
from pathlib import Path

from align.errors import UserError
from align.models.checkpoint import NOT_DECIDING
from align.models.merging.parents import Parents
from align.models.model_files import ADAPTER_CONFIG, ADAPTER_WEIGHTS, read_object, weight_files
from align.models.reading import reading_model
from align.whole_files import object_in

MERGED_FILE = "merged.json"  # in a merged model's folder: of what, and how
_MOST = 101  # weights of a command
_LINEAR = (".lora_B.", ".lora_embedding_B", ".lora_B.weight")
# Files of the tuned model that go with the weights: how it is prompted, and where its responses end.
_ALONG = ("*.json", "*.jinja", "*.model", "merges.txt", "vocab.txt")


def read_alphas(words: tuple[str, ...]) -> tuple[float, ...]:
    """Reads numbers from 0 to 1, and ranges `FROM:TO:STEP` with both ends.

    Example:
        >>> read_alphas(("0:1:0.25",)), read_alphas(("0.3", "0.1"))
        ((0.0, 0.25, 0.5, 0.75, 1.0), (0.1, 0.3))
    """
    found = sorted({alpha for word in words for alpha in _read_alpha(word)})
    if not found or len(found) > _MOST:
        raise UserError(f"`--alpha` must name 1 to {_MOST} weights, got {len(found)}. Give `0.5`, or `0:1:0.1`.")
    return tuple(map(float, found))


def merge(parents: Parents, alpha: float, out: Path) -> bool:
    """Writes a merged model; says whether it was there already."""
    said = {
        "base": {"path": parents.base.path, "fingerprint": parents.base.fingerprint},
        "tuned": {"path": parents.tuned.path, "fingerprint": parents.tuned.fingerprint},
        "alpha": alpha,
    }
    from safetensors import SafetensorError

    if out.exists():
        if object_in(out / MERGED_FILE) == said:
            return True
        raise UserError(f"{out} exists and holds something else. Choose another `--out`. Nothing was written.")
    draft = out.with_name(f".{out.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)  # of a merge that was killed
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if parents.tuned.base is not None:
            _merge_adapter(parents.tuned_folder, parents.base.path, alpha, draft)
        else:
            _merge_models(parents, alpha, draft)
        (draft / MERGED_FILE).write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")
        draft.rename(out)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(draft, ignore_errors=True)
        raise UserError(
            f"The merged model cannot be written to {out}: {error}. Free space there and give the same command again."
        ) from error
    return False


def _merge_adapter(adapter: Path, base: str, alpha: float, out: Path) -> None:
    """Writes the adapter with what it adds scaled by alpha; it stands on the same base."""
    from safetensors.torch import load_file, save_file

    out.mkdir(parents=True)
    with reading_model(str(adapter), "adapter"):
        weights = load_file(adapter / ADAPTER_WEIGHTS)
    scaled = {
        name: (each.float() * alpha).to(each.dtype) if any(part in name for part in _LINEAR) else each
        for name, each in weights.items()
    }
    save_file(scaled, out / ADAPTER_WEIGHTS, metadata={"format": "pt"})
    config = read_object(adapter / ADAPTER_CONFIG) | {"base_model_name_or_path": base, "inference_mode": True}
    (out / ADAPTER_CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    for pattern in ("*token*", "*.jinja", "*.model", "vocab.json", "merges.txt", "generation_config.json"):
        for path in adapter.glob(pattern):
            shutil.copyfile(path, out / path.name)


def _merge_models(parents: Parents, alpha: float, out: Path) -> None:
    """Writes a merged model in the tuned model's files, types and configuration; holds one file of weights."""
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    out.mkdir(parents=True)
    with ExitStack() as stack:
        files = [stack.enter_context(safe_open(path, "pt")) for path in weight_files(parents.base_folder)]
        base = {name: file for file in files for name in file.keys()}  # noqa: SIM118 - no dict
        for path in weight_files(parents.tuned_folder):
            summed = {
                name: ((1 - alpha) * base[name].get_tensor(name).float() + alpha * each.float()).to(each.dtype)
                if each.is_floating_point()
                else each
                for name, each in load_file(path).items()
            }
            save_file(summed, out / path.name, metadata={"format": "pt"})
    for pattern in _ALONG:
        for path in parents.tuned_folder.glob(pattern):
            if path.name not in NOT_DECIDING:
                shutil.copyfile(path, out / path.name)


def _read_alpha(word: str) -> list[Decimal]:
    try:
        numbers = [Decimal(part) for part in word.split(":")]
    except InvalidOperation:
        numbers = []
    wrong = UserError(
        f"`--alpha` must be a number from 0 (the base) to 1 (the tuned model), or FROM:TO:STEP, got {word!r}."
    )
    if len(numbers) not in (1, 3) or not all(each.is_finite() for each in numbers):
        raise wrong
    if not all(0 <= each <= 1 for each in numbers[:2]):
        raise wrong
    if len(numbers) == 1:
        return numbers
    low, high, step = numbers
    if step <= 0 or low > high:
        raise wrong
    return [low + step * i for i in range(min(int((high - low) / step), _MOST) + 1)]
