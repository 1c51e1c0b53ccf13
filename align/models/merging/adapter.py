"""Merges a base with an adapter of it, without touching the base: alpha scales what the adapter adds.

A LoRA adds s B A to a weight W, so (1 - alpha) W + alpha (W + s B A) = W + s (alpha B) A.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from align.errors import UserError
from align.models.model_files import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from align.models.reading import read_object, reading_model

_LINEAR = (".lora_B.", ".lora_embedding_B", ".lora_B.weight")


def check_adapter(folder: Path) -> None:
    """Refuses an adapter that does not add a low-rank term, since alpha would not scale what it does."""
    config = _config(folder)
    kind = config.get("peft_type")
    more = [name for name in ("use_dora", "modules_to_save", "trainable_token_indices") if config.get(name)]
    if config.get("bias", "none") != "none":
        more.append("bias")
    if kind != "LORA" or more:
        found = f"a {kind} adapter" if kind != "LORA" else f"a LoRA with `{more[0]}`"
        raise UserError(
            f"{folder} is {found}, which is not a term that a weight of alpha scales. Merge it into its base first "
            "(`PeftModel.merge_and_unload`), save the model, and give that as `--tuned`."
        )


def merge_adapter(adapter: Path, base: str, alpha: float, out: Path) -> None:
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
    config = _config(adapter) | {"base_model_name_or_path": base, "inference_mode": True}
    (out / ADAPTER_CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    for pattern in ("*token*", "*.jinja", "*.model", "vocab.json", "merges.txt", "generation_config.json"):
        for path in adapter.glob(pattern):
            shutil.copyfile(path, out / path.name)


def _config(folder: Path) -> dict[str, Any]:
    return read_object(folder / ADAPTER_CONFIG)
