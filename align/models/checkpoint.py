"""Checkpoints of policies: whole models and adapters, told apart from reward models, and named by their content."""

from pathlib import Path
from typing import Any, NamedTuple

from align.data.media.images import SHOWN_WITH
from align.data.pairs.pairwise import ADAPTER_MARK
from align.errors import UserError
from align.models.at_hand import require_model
from align.models.model_files import read_object
from align.models.policies.answer_keys import digest
from align.models.pretrained import load_adapter, load_pretrained
from align.models.reading import reading_model
from align.whole_files import sha256_of
from rewards.extras import not_imported

# What decides an answer: weights, configuration, tokenizer and chat template.
_DECIDING = (".safetensors", ".bin", ".json", ".jinja", ".model", ".txt")
NOT_DECIDING = (
    "trainer_state.json", "versions.json", "finished.json", "evaluation.json", "training_args.bin", "checks.json",
    "manifest.json", "merged.json", "started.json",
)  # fmt: skip


class Checkpoint(NamedTuple):
    """What a folder or hub id holds."""

    path: str
    base: str | None  # of an adapter
    fingerprint: str

    @property
    def kind(self) -> str:
        """`model` or `adapter`."""
        return "model" if self.base is None else "adapter"

    def reads_images(self) -> bool:
        """Tells whether the model, or an adapter's base, reads images and text."""
        from transformers import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

        return type(self._config()) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

    def reads_text_alone(self) -> bool:
        """Tells whether the model can be loaded without what it needs for images."""
        from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

        return type(self._config()) in MODEL_FOR_CAUSAL_LM_MAPPING

    def window(self) -> int | None:
        """Returns how many tokens the model can read; None if its configuration says nothing."""
        found = getattr(self._config().get_text_config(), "max_position_embeddings", None)
        return found if isinstance(found, int) and found > 0 else None

    def _config(self) -> Any:
        from transformers import AutoConfig

        with reading_model(self.path):
            return AutoConfig.from_pretrained(self.base or self.path, trust_remote_code=False)


def find_checkpoint(path: str) -> Checkpoint:
    """Looks into a folder or a hub id, without loading its weights; a reward model is refused."""
    if not Path(path).is_dir():
        return _find_on_hub(path)
    folder = Path(path)
    if (folder / "adapter_config.json").is_file():
        config = read_object(folder / "adapter_config.json")
        task, base = config.get("task_type"), str(config.get("base_model_name_or_path"))
        if task not in (None, "CAUSAL_LM") or (folder / ADAPTER_MARK).exists():
            raise _is_reward_model(path, f"`adapter_config.json` has `task_type` {task}")
        return Checkpoint(path, base, digest([_list_files(folder), fingerprint(base)]))
    if not (folder / "config.json").is_file():
        named = (folder.glob(f"*/{name}") for name in ("config.json", "adapter_config.json"))
        inside = sorted({each.parent.name for found in named for each in found})
        hint = f" It holds {', '.join(inside)}: name one of them." if inside else " Give a folder that was saved."
        raise UserError(f"{path} holds no model: there is neither `config.json` nor `adapter_config.json`.{hint}")
    _check_policy(path, read_object(folder / "config.json"))
    return Checkpoint(path, None, fingerprint(path))


def fingerprint(path: str) -> str:
    """Returns a digest of the files in a folder that decide an answer; of a hub id, of its name."""
    return digest(_list_files(Path(path)) if Path(path).is_dir() else path)


def load_model(checkpoint: Checkpoint, *, dtype: str, device: str | None, images: bool = False) -> tuple[Any, Any]:
    """Loads the model, an adapter on its base included, and its tokenizer or processor; safetensors only.

    `dtype` `auto` keeps that of the file, and without a `device` it is the accelerator's if there is one. Without
    `images` a model that can do without its processor has its tokenizer.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    with reading_model(checkpoint.path):
        reads_images = checkpoint.reads_images() and (images or not checkpoint.reads_text_alone())
        processing = load_processor(checkpoint) if reads_images else load_tokenizer(checkpoint)
        tokenizer = processing.tokenizer if reads_images else processing
        source = checkpoint.base or checkpoint.path
        auto: Any = AutoModelForImageTextToText if reads_images else AutoModelForCausalLM
        model = load_pretrained(auto, source, dtype=dtype)
        if checkpoint.base is not None:
            if len(tokenizer) > model.get_input_embeddings().num_embeddings:
                model.resize_token_embeddings(len(tokenizer))
            model = load_adapter(model, checkpoint.path)
        accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else "cpu"
        return model.to(device or accelerator).eval(), processing


def load_tokenizer(checkpoint: Checkpoint) -> Any:
    """Loads the tokenizer, an adapter's own if it has one; a missing padding token becomes the end token."""
    from transformers import AutoTokenizer

    source = _source(checkpoint, "tokenizer_config.json")
    with reading_model(source):
        tokenizer: Any = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token  # masked, so which one it is changes nothing
    return tokenizer


def load_processor(checkpoint: Checkpoint) -> Any:
    """Loads the processor of a model that reads images, an adapter's own if it has one."""
    from transformers import AutoProcessor

    source = _source(checkpoint, "processor_config.json", "preprocessor_config.json")
    missing = UserError(
        f"{source} reads images and has no processor to prepare them. Save it beside the model with "
        "`AutoProcessor.from_pretrained(BASE).save_pretrained(FOLDER)`."
    )
    try:
        processor: Any = AutoProcessor.from_pretrained(source, trust_remote_code=False)
    except ImportError as error:
        raise UserError(not_imported("vision", f"Showing images to {source}", error, *SHOWN_WITH)) from error
    except OSError as error:
        raise missing from error
    if not hasattr(processor, "image_processor"):
        raise missing
    if processor.tokenizer.pad_token_id is None:
        processor.tokenizer.pad_token = processor.tokenizer.eos_token
    processor.chat_template = processor.chat_template or processor.tokenizer.chat_template
    return processor


def _source(checkpoint: Checkpoint, *files: str) -> str:
    """Chooses an adapter's own folder if it holds one of the files, else that of its base."""
    folder = Path(checkpoint.path)
    own = not folder.is_dir() or any((folder / name).is_file() for name in files)
    return checkpoint.path if own or checkpoint.base is None else checkpoint.base


def _find_on_hub(path: str) -> Checkpoint:
    from transformers import AutoConfig
    from transformers.utils import find_adapter_config_file
    from transformers.utils.hub import extract_commit_hash

    require_model(path)
    with reading_model(path):
        if (found := find_adapter_config_file(path)) is not None:
            from peft import PeftConfig

            adapter = PeftConfig.from_pretrained(path)
            commit = extract_commit_hash(found, None)
            return Checkpoint(path, str(adapter.base_model_name_or_path), digest([path, "adapter", commit]))
        config = AutoConfig.from_pretrained(path, trust_remote_code=False)
        _check_policy(path, config.to_dict())
        return Checkpoint(path, None, digest([path, getattr(config, "_commit_hash", None)]))


def _check_policy(path: str, config: dict[str, Any]) -> None:
    names = [str(name) for name in config.get("architectures") or ()]
    if config.get("truealign_pairwise"):
        raise _is_reward_model(path, "`config.json` has `truealign_pairwise: true`")
    if any(name.endswith("ForSequenceClassification") for name in names):
        raise _is_reward_model(path, f"`config.json` names {', '.join(names)}")


def _is_reward_model(path: str, reason: str) -> UserError:
    return UserError(
        f"{path} is a reward model ({reason}), which answers no questions. Evaluate it with `--reward_model {path}`, "
        "or name a policy with `--model`."
    )


def _list_files(folder: Path) -> list[tuple[str, str]]:
    """Lists the files that decide an answer with a digest of the content of each."""
    files = [
        each
        for each in sorted(folder.iterdir())
        if each.is_file() and each.suffix in _DECIDING and each.name not in NOT_DECIDING
    ]
    return [(each.name, sha256_of(each)) for each in files]
