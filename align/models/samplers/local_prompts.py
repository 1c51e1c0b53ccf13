"""How a model in this process reads prompts: texts, and images if its checkpoint is made for them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
)
from transformers.utils import find_adapter_config_file

from align.data.conversations import put_images_in
from align.data.media.images import SHOWN_WITH
from align.models.reading import render
from align.models.samplers.sampler import Request, SamplerError
from rewards.extras import missing

PROCESSOR_FILES = ("processor_config.json", "preprocessor_config.json")


class Encoded(NamedTuple):
    """A prompt on its way to a batch."""

    content: Any
    length: int  # tokens, or about that


class TextPrompts:
    """Prompts of a model that reads text alone, as messages of a user where it has a chat template, unless told."""

    model_class = AutoModelForCausalLM

    def __init__(self, name: str, tokenizer: Any, conversational: bool | None) -> None:
        self._name, self.tokenizer = name, _with_padding(tokenizer)
        has_template = tokenizer.chat_template is not None
        if conversational and not has_template:
            raise SamplerError(f"{name} has no chat template, so its prompts must be texts: `--no-conversational`.")
        self.uses_chat_template = has_template if conversational is None else conversational

    def encode(self, request: Request) -> Encoded:
        """Tokenises one prompt; raises `SamplerError` if the model cannot read it."""
        if request.images:
            other = f"{self._name} reads no images. Set `--model` to a vision-language model."
            raise SamplerError(f"{other} {missing('vision', 'One', *SHOWN_WITH)}".rstrip())
        if self.uses_chat_template:
            ids = list(render(self.tokenizer, request.messages, add_generation_prompt=True, return_dict=False))
        elif isinstance(request.prompt, str):
            ids = list(self.tokenizer(request.prompt)["input_ids"])
        else:
            why = "has no chat template" if self.tokenizer.chat_template is None else "was to read no messages"
            raise SamplerError(f"{self._name} {why}, so its prompts must be texts.")
        return Encoded(ids, len(ids))

    def collate(self, requests: Sequence[Request], encoded: Sequence[Encoded], model: Any) -> Any:
        """Makes what the model reads of a batch, padded on the left, where the model is."""
        ids = [each.content for each in encoded]
        return self.tokenizer.pad({"input_ids": ids}, padding_side="left", return_tensors="pt").to(model.device)


class ImagePrompts:
    """Prompts of a model that reads images and text; images are opened when their batch is made."""

    model_class = AutoModelForImageTextToText
    uses_chat_template = True  # nothing else says where the images stand

    def __init__(self, name: str, processor: Any) -> None:
        self._name, self._processor, self.tokenizer = name, processor, _with_padding(processor.tokenizer)
        processor.chat_template = processor.chat_template or self.tokenizer.chat_template

    def encode(self, request: Request) -> Encoded:
        """Estimates the length; raises `SamplerError` if the model cannot read prompts."""
        if self._processor.chat_template is None:
            raise SamplerError(
                f"The processor of {self._name} has no chat template, so nothing says where images stand."
            )
        return Encoded(None, request.estimated_tokens)

    def collate(self, requests: Sequence[Request], encoded: Sequence[Encoded], model: Any) -> Any:
        """Opens the images, which may raise `OSError`, and has everything processed."""
        conversations = [
            put_images_in(each.messages, [{"type": "image", "image": image.open()} for image in each.images])
            for each in requests
        ]
        batch = render(
            self._processor,
            conversations,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"padding": True, "padding_side": "left"},
        )
        return batch.to(model.device, model.dtype)  # only what is no integer changes its type


Prompts = TextPrompts | ImagePrompts


def load_prompts(source: str, name: str, conversational: bool | None = None) -> Prompts:
    """Loads what a checkpoint needs to read prompts; raises OSError, ValueError or ImportError if it cannot."""
    base = _with_config(source)
    config = type(AutoConfig.from_pretrained(base, trust_remote_code=False))
    if config in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        has_processor = any((Path(source) / name).is_file() for name in PROCESSOR_FILES)
        try:
            processor = AutoProcessor.from_pretrained(source if has_processor else base)
        except ImportError:
            if config not in MODEL_FOR_CAUSAL_LM_MAPPING:
                raise
        else:
            if hasattr(processor, "image_processor"):
                if conversational is False:
                    raise SamplerError(
                        f"{name} reads images, which stand in messages: leave `--no-conversational` out."
                    )
                return ImagePrompts(name, processor)
    return TextPrompts(name, AutoTokenizer.from_pretrained(source), conversational)


def _with_config(source: str) -> str:
    """Returns the base of an adapter, which has no configuration of its own; any other model is its own base."""
    file = None if (Path(source) / "config.json").is_file() else find_adapter_config_file(source)
    return source if file is None else str(json.loads(Path(file).read_text())["base_model_name_or_path"])


def _with_padding(tokenizer: Any) -> Any:
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer
