"""The two models of a merge, and whether they can be merged: the same architecture, shapes and tokens."""

from pathlib import Path
from typing import NamedTuple

from align.errors import UserError
from align.models.checkpoint import Checkpoint, find_checkpoint, load_tokenizer
from align.models.finite import refuse_spoiled, stored_weights
from align.models.model_files import ADAPTER_CONFIG, read_object, read_tensors, weight_files
from align.models.pretrained import refuse_pickled_weights
from align.models.reading import reading_model

# What may differ: how a checkpoint was saved, and where a response ends.
_MAY_DIFFER = ("dtype", "torch_dtype", "transformers_version", "use_cache", "architectures", "_name_or_path",
               "bos_token_id", "eos_token_id", "pad_token_id", "_commit_hash")  # fmt: skip
WANTED = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt")


class Parents(NamedTuple):
    """Two models that can be merged, and where their files are."""

    base: Checkpoint  # weight 1 - alpha
    tuned: Checkpoint  # weight alpha; an adapter of the base, or a model
    base_folder: Path
    tuned_folder: Path


def find_parents(base: str, tuned: str) -> Parents:
    """Finds both models and checks that they can be merged: what their files say, and that weights are finite."""
    parents = find_checkpoint(base), find_checkpoint(tuned)
    if parents[0].base is not None:
        raise UserError(f"`--base` {base} is an adapter. Give the model that it stands on, {parents[0].base}.")
    if parents[0].fingerprint == parents[1].fingerprint:
        raise UserError(f"`--base` {base} and `--tuned` {tuned} are the same model. There is nothing to merge.")
    for each in (base, tuned):
        refuse_pickled_weights(each)
    found = Parents(*parents, _folder(base), _folder(tuned))
    vocabularies = [load_tokenizer(each).get_vocab() for each in parents]
    if vocabularies[0] != vocabularies[1]:
        raise UserError(
            f"{base} and {tuned} have other tokens ({len(vocabularies[0]):,} and {len(vocabularies[1]):,}), so their "
            "embeddings cannot be summed. Merge a model with the one that it was trained from."
        )
    if found.tuned.base is not None:
        if found.tuned.base != base and find_checkpoint(found.tuned.base).fingerprint != found.base.fingerprint:
            raise UserError(
                f"{tuned} is an adapter of {found.tuned.base}, and `--base` is {base}. Give the adapter's own base."
            )
        _check_adapter(found.tuned_folder)
    else:
        _check_configs(found)
        _check_shapes(found)
    for parent in parents:
        refuse_spoiled(parent.path, stored_weights(parent.path), parent.kind)
    return found


def _folder(path: str) -> Path:
    if Path(path).is_dir():
        return Path(path)
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(path, allow_patterns=list(WANTED)))


def _check_adapter(folder: Path) -> None:
    """Refuses an adapter that does not add a low-rank term, since alpha would not scale what it does."""
    config = read_object(folder / ADAPTER_CONFIG)
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


def _check_configs(parents: Parents) -> None:
    ours, theirs = (read_object(folder / "config.json") for folder in (parents.base_folder, parents.tuned_folder))
    names = sorted({*ours, *theirs} - set(_MAY_DIFFER))
    differ = [name for name in names if ours.get(name) != theirs.get(name)]
    if differ:
        name = differ[0]
        raise UserError(
            f"`{name}` is {ours.get(name)!r} in {parents.base.path} and {theirs.get(name)!r} in {parents.tuned.path}: "
            "models with different configurations cannot be merged. Merge a model with the one it was trained from."
        )
    if "quantization_config" in ours:
        raise UserError(
            f"{parents.base.path} and {parents.tuned.path} are quantized, so their weights cannot be summed. Save "
            "both dequantized (`model.dequantize()`), and merge these."
        )


def _shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    with reading_model(str(folder)):
        return {name: shape for path in weight_files(folder) for name, (_, shape) in read_tensors(path).items()}


def _check_shapes(parents: Parents) -> None:
    ours, theirs = _shapes(parents.base_folder), _shapes(parents.tuned_folder)
    differ = sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))
    if differ:
        found = " and ".join(
            f"{weights.get(differ[0], 'missing')} in {parent.path}"
            for weights, parent in ((ours, parents.base), (theirs, parents.tuned))
        )
        raise UserError(
            f"{len(differ)} weights have not the same shapes, such as `{differ[0]}`: {found}. Merge a model with the "
            "one that it was trained from, both saved in the same way, with tied weights once."
        )
