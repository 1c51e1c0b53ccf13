import asyncio
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate import PartialState
from accelerate.state import is_initialized
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
    LogitsProcessor,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopPLogitsWarper,
)
from transformers.utils import find_adapter_config_file

from align.data.conversations import put_images_in
from align.data.media.images import SHOWN_WITH
from align.errors import UserError
from align.models.policies.token_policy import end_tokens
from align.models.pretrained import load_pretrained, refuse_pickled_weights, whole_weights
from align.models.reading import reading_model, render
from align.models.rope_lengths import forget_lengths, read_together
from align.models.samplers.sampler import NO_IMAGE, TOO_LONG, Answer, Failure, Request, SamplerError
from rewards.extras import missing, not_imported

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


# All of it, because a checkpoint's own generation config (a repetition penalty, say) fills in what is not given.
_PLAIN = {"do_sample": False, "num_beams": 1, "temperature": 1.0, "top_k": 50, "top_p": 1.0, "repetition_penalty": 1.0}

PAUSE = 0.01  # seconds, in which those who got an answer ask on
OnResult = Callable[[int, Answer | Failure], None]
SampleFunction = Callable[[Sequence[Request], OnResult], None]


class TooLongError(Exception):
    """Prompts that leave too little room in the window for the answers of their batch."""


class UnlikeError(Exception):
    """Prompts of lengths at which the positions of one depend on another."""


class BatchingConnection:
    """Collects requests that come one by one, and hands over whatever waits whenever the model is free."""

    def __init__(self, sample: SampleFunction) -> None:
        self._sample = sample
        self._waiting: list[tuple[Request, asyncio.Future[Answer | Failure]]] = []
        self._work: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "BatchingConnection":
        return self

    async def __aexit__(self, *error: object) -> None:
        pass

    async def answer(self, request: Request) -> Answer | Failure:
        """Answers one request with the next batch; raises `SamplerError` if the model could not go on."""
        future: asyncio.Future[Answer | Failure] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, future))
        if self._work is None:
            self._work = asyncio.create_task(self._answer_all())
        return await future

    async def _answer_all(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            await asyncio.sleep(PAUSE)
            batch, self._waiting = self._waiting, []
            futures = [future for _, future in batch]

            def hand_over(i: int, result: Answer | Failure, futures: Sequence[asyncio.Future] = futures) -> None:
                if all(future.cancelled() for future in futures):
                    raise InterruptedError("nobody waits any more")  # so that a process that is to end can
                loop.call_soon_threadsafe(_settle, futures[i], result)

            try:
                await asyncio.to_thread(self._sample, [request for request, _ in batch], hand_over)
            except Exception as error:  # whatever it is, it is raised where an answer is waited for
                for future in futures:
                    _settle(future, error)
        self._work = None


def _settle(future: asyncio.Future, result: Answer | Failure | Exception) -> None:
    if future.done():
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)


class LocalSampler:
    """Generates in batches, with a chat template if the model has one, and with images if it reads them.

    Each response is drawn with the seed of its own request, so it does not depend on which requests share its batch
    (up to rounding), nor on whether a run was interrupted. The model is loaded when the first request comes.
    `conversational` says whether a text is read as a message of a user; None if there is a chat template.
    """

    def __init__(self, model: str, *, batch_size: int = 16, conversational: bool | None = None) -> None:
        self._source = model
        self._batch_size = batch_size
        self._conversational = conversational
        self.name = Path(model).name if Path(model).is_dir() else model

    @cached_property
    def identity(self) -> dict[str, str]:
        """The hub id, or what is in the folder by name, size and time of writing; and whether texts are messages."""
        form = {} if self._conversational is None else {"conversational": str(self._conversational)}
        folder = Path(self._source)
        if not folder.is_dir():
            return {"model": self._source} | form
        files = sorted(path for path in folder.iterdir() if path.suffix in (".safetensors", ".bin", ".json", ".jinja"))
        listed = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
        return {"model": hashlib.sha256(repr(listed).encode()).hexdigest()} | form

    @property
    def uses_chat_template(self) -> bool:
        """Whether the model has a chat template."""
        return self._prompts.uses_chat_template

    def sample(self, requests: Sequence[Request], on_result: OnResult) -> None:
        """Answers requests batch by batch, the longest first, so that too little memory shows at once."""
        encoded = [self._prompts.encode(request) for request in requests]
        order = sorted(range(len(requests)), key=lambda i: (*_settings(requests[i]), -encoded[i].length))
        start = 0
        while start < len(order):
            first = order[start]
            name = read_together(self._model, growth=requests[first].max_new_tokens)
            same = [
                i
                for i in order[start : start + self._batch_size]
                if _settings(requests[i]) == _settings(requests[first])
                and name(encoded[i].length) == name(encoded[first].length)
            ]
            self._answer(same, requests, encoded, on_result)
            start += len(same)

    def _answer(
        self, batch: Sequence[int], requests: Sequence[Request], encoded: Sequence[Encoded], on_result: OnResult
    ) -> None:
        """Answers requests of the same settings; one that is too long or has a broken image costs no other its own."""
        try:
            answers = self._generate([requests[i] for i in batch], [encoded[i] for i in batch])
        except (OSError, TooLongError, UnlikeError) as error:
            if len(batch) == 1:
                on_result(batch[0], Failure(NO_IMAGE if isinstance(error, OSError) else TOO_LONG, str(error)))
                return
            for i in batch:
                self._answer([i], requests, encoded, on_result)
            return
        for i, answer in zip(batch, answers, strict=True):
            on_result(i, answer)

    def connect(self) -> BatchingConnection:
        """Opens a connection for requests that may depend on each other's answers; they are answered in batches."""
        return BatchingConnection(self.sample)

    def _generate(self, requests: Sequence[Request], encoded: Sequence[Encoded]) -> list[Answer]:
        model, tokenizer, first = self._model, self._prompts.tokenizer, requests[0]
        ends = end_tokens(tokenizer, model.generation_config)
        # The current device is a thread's own, and requests may come from any thread.
        with torch.no_grad(), torch.accelerator.device_index(model.device.index):
            batch = self._prompts.collate(requests, encoded, model)
            lengths = batch["attention_mask"].sum(-1).tolist()
            if len(set(map(read_together(model, growth=first.max_new_tokens), lengths))) > 1:  # as images may be
                raise UnlikeError
            room = self._room(max(lengths), first.max_new_tokens, len(requests))
            forget_lengths(model)
            output = model.generate(
                **batch,
                **_PLAIN,
                max_new_tokens=room,
                pad_token_id=tokenizer.pad_token_id,
                eos_token_id=ends or None,
                logits_processor=_processors(requests),
            )
        answers = []
        for length, ids in zip(lengths, output[:, batch["input_ids"].shape[1] :].tolist(), strict=True):
            end = next((place for place, token in enumerate(ids) if token in ends), None)
            text = str(tokenizer.decode(ids[:end], skip_special_tokens=True))
            count = len(ids) if end is None else end + 1
            answers.append(Answer(text, end is None, length, count))
        return answers

    def _room(self, length: int, wanted: int, num_requests: int) -> int:
        """Returns how long answers may be: beyond its window a model answers something, or takes all the memory.

        Raises `TooLongError` if there is no room, or less than is wanted for one of several, whose answers are not to
        depend on each other.
        """
        window = getattr(self._model.config.get_text_config(), "max_position_embeddings", None) or length + wanted
        room = min(wanted, window - length)
        if room < (1 if num_requests == 1 else wanted):
            raise TooLongError(f"the prompt has {length:,} tokens, and {self.name} has a window of {window:,}")
        return int(room)

    @cached_property
    def _prompts(self) -> Prompts:
        with _reading(self._source):
            refuse_pickled_weights(self._source)
            try:
                return load_prompts(self._source, self.name, self._conversational)
            except ImportError as error:
                what = f"Showing images to {self._source}"
                raise SamplerError(not_imported("vision", what, error, *SHOWN_WITH)) from error

    @cached_property
    def _model(self) -> Any:
        device = device_of_process()
        dtype: Any = torch.float32 if device.type == "cpu" else "auto"
        with _reading(self._source), whole_weights():
            model = load_pretrained(self._prompts.model_class, self._source, dtype=dtype)
        return model.to(device).eval()


def device_of_process() -> torch.device:
    """Returns the device on which this process trains, or the accelerator that its launch gives it."""
    if is_initialized():
        return PartialState().device
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if accelerator is None or "LOCAL_RANK" not in os.environ:
        return accelerator or torch.device("cpu")
    return torch.device(accelerator.type, int(os.environ["LOCAL_RANK"]) % torch.accelerator.device_count())


class SeededChoice(LogitsProcessor):
    """Adds Gumbel noise to the logits, so that the largest is a sample; each row draws from its own seed."""

    def __init__(self, seeds: Sequence[int]) -> None:
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Returns `(B, V)` logits with noise."""
        size = scores.shape[-1]
        uniform = torch.stack([torch.rand(size, generator=generator) for generator in self._generators])
        noise = -torch.log(-torch.log(uniform.double().clamp(1e-12, 1 - 1e-12)))
        return scores + noise.to(scores)


def _processors(requests: Sequence[Request]) -> LogitsProcessorList:
    first = requests[0]
    if first.temperature == 0:
        return LogitsProcessorList()
    processors: list[LogitsProcessor] = [TemperatureLogitsWarper(float(first.temperature))]
    if first.top_p < 1:
        processors.append(TopPLogitsWarper(first.top_p))
    return LogitsProcessorList([*processors, SeededChoice([request.seed for request in requests])])


def _settings(request: Request) -> tuple[float, float, int, int]:
    """What requests of a batch share; the number of images, because it decides most of a prompt's length."""
    return request.temperature, request.top_p, request.max_new_tokens, -len(request.images)


@contextmanager
def _reading(source: str) -> Iterator[None]:
    """Names the option beside what is wrong with a model."""
    try:
        with reading_model(source):
            yield
    except SamplerError:
        raise
    except UserError as error:
        reason = str(error).removeprefix(f"The model {source} cannot be loaded: ")
        sentence = f"The model {source} cannot be loaded: {reason} Set `--model` to a folder or a hub id."
        raise SamplerError(sentence) from error
