"""Whether the files of a model's folder are whole and fit what is trained: transformers finds out as it loads them."""

import ast
import json
import struct
from functools import cache
from pathlib import Path
from typing import Any

from align.models.pretrained import ADAPTER_CONFIG
from align.recipe.problems import shown
from align.recipe.rules import suggestion
from align.recipe.signatures import Source, assigned

TYPES: Source = ("transformers", "models/auto/auto_mappings.py")
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
TOKENIZERS = ("tokenizer*", "vocab*", "merges.txt", "*.model", "*.tiktoken", "tekken.json")
# Heads of transformers that write no text, by the end of their classes' names.
OTHER_HEADS = (
    "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering", "ForMultipleChoice", "ForMaskedLM",
    "Model",
)  # fmt: skip
AGAIN = "Copy the model again"


def file_problems(folder: Path, *, runs_code: bool = False, writes_text: bool = False) -> list[str]:
    """Words what is wrong with the files of a model that is on this machine; nothing is loaded.

    Args:
        folder: Of the model.
        runs_code: Whether a class of the folder's own may be used.
        writes_text: Whether the model needs the head of a language model.
    """
    if not (folder / "config.json").is_file():
        if not (folder / ADAPTER_CONFIG).is_file():
            return [f"The folder {folder} holds no model: it has no config.json. Check the path."]
        return [
            f"The folder {folder} holds an adapter, and training starts from a whole model. Merge it into its base "
            "(`merge_and_unload()` of peft), save that with its tokenizer, and name that folder."
        ]
    found = [_config_problem(folder / "config.json", runs_code, writes_text), _weights_problem(folder)]
    if not any(any(folder.glob(pattern)) for pattern in TOKENIZERS):
        found.append(
            f"The folder {folder} holds no tokenizer. Save that of the model into it: "
            f"`AutoTokenizer.from_pretrained(MODEL).save_pretrained({str(folder)!r})`."
        )
    return [problem for problem in found if problem]


def _config_problem(path: Path, runs_code: bool, writes_text: bool) -> str:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        return f"{path} is not valid JSON: {error}. {AGAIN}."
    kind = config.get("model_type") if isinstance(config, dict) else None
    if not isinstance(kind, str):
        return f"{path} must say the type of the model as `model_type`, such as llama; got {shown(kind)}. {AGAIN}."
    if kind not in _model_types():
        if "auto_map" not in config:
            hint = suggestion(kind, _model_types())
            return f"{path}: transformers, as it is installed, knows no `model_type` {shown(kind)}.{hint}"
        if not runs_code:
            return f"{path}: the model needs code of its own. If you trust it, `trust_remote_code: true` runs it."
    own_class = runs_code and "auto_map" in config  # which may be named as it likes
    return _head_problem(path, config) if writes_text and not own_class else ""


def _head_problem(path: Path, config: dict[str, Any]) -> str:
    classes = config.get("architectures")
    name = str(classes[0]) if isinstance(classes, list) and classes else ""
    if name.endswith(OTHER_HEADS) and "LMHead" not in name:
        return (
            f"{path}: the model is a {name}, which has no head that writes text. Name a language model, such as one "
            "whose class ends in ForCausalLM."
        )
    return ""


@cache
def _model_types() -> frozenset[str]:
    table: Any = assigned(TYPES, "CONFIG_MAPPING_NAMES")
    return frozenset(name for name, _ in ast.literal_eval(table.args[0])) | {"gpt-sw3"}


def _weights_problem(folder: Path) -> str:
    if (folder / WEIGHTS).is_file():
        files = [WEIGHTS]
    elif (folder / INDEX).is_file():
        try:
            files = sorted(set(json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values()))
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            return f"{folder / INDEX} names no files of weights ({type(error).__name__}: {error}). {AGAIN}."
        if missing := [name for name in files if not (folder / name).is_file()]:
            return (
                f"{len(missing)} of {len(files)} files of weights that {folder / INDEX} names are missing, such as "
                f"{missing[0]}. {AGAIN}."
            )
    else:
        return f"The folder {folder} holds no weights: neither {WEIGHTS} nor {INDEX}. {AGAIN}."
    damaged = next((name for name in files if not _is_whole(folder / name)), None)
    return f"{folder / damaged} is damaged: its length is not what its header says. {AGAIN}." if damaged else ""


def _is_whole(path: Path) -> bool:
    """Compares the size of safetensors with where the last tensor ends."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            size = path.stat().st_size
            header = json.loads(file.read(length)) if length <= size else {}
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        return bool(8 + length + max(ends, default=0) == size)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, struct.error, RecursionError):
        return False
