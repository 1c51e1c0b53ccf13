"""TRL's vLLM engine, as the trainers need it: checked before it starts, and working on a CPU.

TRL 1.16's colocated engine starts on a CPU but dies at the first weight sync, because vLLM packs the weights there.
"""

from __future__ import annotations

import functools
import importlib
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import packages_distributions, requires, version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from align.models.cpu_attention import why_no_attention
from rewards.extras import is_installed, missing, remedy

if TYPE_CHECKING:  # vLLM and TRL must not load before `require_vllm` has looked at them
    from torch import nn
    from transformers import ProcessorMixin
    from trl import GRPOConfig
    from trl.generation.vllm_generation import VLLMGeneration


TRIED = Version("0.32.0")  # on CPUs, beyond the window of TRL 1.16, whose calls are as before


def require_vllm() -> None:
    """Raises `ImportError` unless vLLM is one that was tried with TRL; call it before a trainer of TRL is imported."""
    if sentence := missing("vllm", "`use_vllm: true`"):
        raise ImportError(sentence)
    distribution = packages_distributions().get("vllm", ["vllm"])[0]
    installed, supported = version(distribution), supported_vllm()
    if not supported.contains(Version(installed).base_version, prereleases=True):
        raise ImportError(
            f"`use_vllm: true` needs vLLM {supported} (no other was tried with TRL {version('trl')}), but "
            f"{distribution} {installed} is installed. {remedy('vllm')}"
        )
    if broken := _broken_media_packages():
        raise ImportError(
            f"`use_vllm: true` imports transformers, which fails on {' and '.join(broken)}: installed, but not "
            f"loadable beside this CPU build of torch. Run `pip uninstall -y {' '.join(broken)}`."
        )


def supported_vllm() -> SpecifierSet:
    """Reads the installed TRL's own window, up to what was tried beyond; an evaluation does without TRL."""
    requirements = [Requirement(line) for line in requires("trl") or []] if is_installed("trl") else []
    bounds = next((each.specifier for each in requirements if each.name == "vllm"), SpecifierSet())
    highest = [Version(each.version) for each in bounds if each.operator == "<="]
    return SpecifierSet(str(bounds).replace(f"<={min(highest)}", f"<={max(*highest, TRIED)}")) if highest else bounds


def _broken_media_packages() -> list[str]:
    import torch

    broken = []
    if torch.version.cuda is None:
        for name in ("torchaudio", "torchcodec"):
            try:
                if find_spec(name) is not None:
                    importlib.import_module(name)
            except (ImportError, OSError, RuntimeError, AttributeError):  # missing library, symbol or operator
                broken.append(name)
    return broken


def cpu_engine_environment() -> None:
    """Sets the variables that a colocated CPU engine reads when it starts, where the user has not set them.

    vLLM would otherwise size its cache as a share of all memory and pin the threads of the trainer it lives in.
    """
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB, resident from the start
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")


def choose_port() -> None:
    """Chooses the port on which a process without a launcher meets itself, as a colocated engine asks for.

    TRL tries 29500 first, which two runs that start together both find free; one of them then ends.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 and os.environ.get("MASTER_PORT", "").lower() in ("", "0", "auto"):
        with socket.socket() as listener:
            listener.bind(("", 0))
            os.environ["MASTER_PORT"] = str(listener.getsockname()[1])


@contextmanager
def vllm_rollouts(args: GRPOConfig) -> Iterator[None]:
    """Lets a GRPO trainer that is built inside the block run its colocated engine on a CPU, and outlive its server.

    Nothing changes without `use_vllm`, or colocated on another device. On a CPU the engine runs eagerly, because
    compiling takes longer than most CPU runs, and computes in the dtype of the trainer. In server mode a server that
    is lost is replaced by the next one; see `ServerGeneration`. A trainer wraps its parent's constructor: `with
    vllm_rollouts(args): super().__init__(..., args=args)`.
    """
    generation = None
    if args.use_vllm:
        require_vllm()
        generation = _generation(args)
    if generation is None:
        yield
        return
    from trl.trainer import grpo_trainer

    with _replaced(grpo_trainer, "VLLMGeneration", generation):
        yield


def _generation(args: GRPOConfig) -> type[VLLMGeneration] | None:
    """Returns what takes the place of TRL's engine, None where that is fine as it is."""
    if args.vllm_mode == "server":
        from align.models.vllm_rejoin import ServerGeneration

        return ServerGeneration
    choose_port()
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        return None
    cpu_engine_environment()
    return _cpu_generation()


@contextmanager
def _replaced(module: Any, name: str, value: object) -> Iterator[None]:
    original = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, original)


@functools.cache
def _cpu_generation() -> type[VLLMGeneration]:
    from trl.generation import vllm_generation

    class CPUGeneration(vllm_generation.VLLMGeneration):
        """TRL's engine with an eager start and a weight sync that a CPU can do; generation is unchanged."""

        def _init_vllm(self) -> None:
            if problem := why_no_attention(self.model.config.get_text_config().to_dict()):
                raise ValueError(f"`use_vllm`: {problem} Set `use_vllm: false`.")
            # TRL 1.16 hands its engine no further settings.
            start = functools.partial(vllm_generation.LLM, **_cpu_settings(self))
            with _replaced(vllm_generation, "LLM", start):
                super()._init_vllm()

        def sync_weights(self) -> None:
            # A layer loads when its last tensor has come, by when ZeRO-3 or LoRA may have taken back the first.
            weights = ((name, tensor.clone()) for name, tensor in self._iter_named_params())
            self.llm.collective_rpc("reload_weights", kwargs={"weights_iterator": weights})
            self.llm.apply_model(_repack_output_heads)
            self.llm.reset_prefix_cache()
            # The reload has emptied the worker's share of it, and the scheduler does not know.
            self.llm.llm_engine.reset_encoder_cache()

    return CPUGeneration


def _cpu_settings(generation: VLLMGeneration) -> dict[str, Any]:
    precision = {"bf16": "bfloat16", "fp16": "float16"}.get(generation.accelerator.mixed_precision)
    return {
        "enforce_eager": True,
        "dtype": precision or str(generation.model.dtype).removeprefix("torch."),
        "block_size": 32,  # vLLM's 128 on CPUs would cache nothing of a prompt of 100 tokens
    }


def _repack_output_heads(model: nn.Module) -> None:
    """Packs the output head again: one tied to the embedding gets no weights of its own, so vLLM 0.31 skips it."""
    from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead

    for module in model.modules():
        if isinstance(module, ParallelLMHead):
            module.quant_method.process_weights_after_loading(module)


def placeholder_ids(
    processor: ProcessorMixin, prompts: Sequence[list[dict[str, Any]]], **template: Any
) -> list[list[int]]:
    """Tokenises conversations, whose contents are parts, without putting the tokens of the images in.

    TRL 1.16 hands its colocated engine the tokens that the processor made. vLLM 0.31 takes the first token of each
    image among them for a placeholder and replaces it, so that an image of N tokens takes 2N - 1
    (https://github.com/huggingface/trl/issues/6294; it may go when it is solved).
    """
    texts = processor.apply_chat_template(list(prompts), add_generation_prompt=True, tokenize=False, **template)
    bos = processor.tokenizer.bos_token
    has_start = bos is not None and texts[0].startswith(bos)  # as `apply_chat_template` decides it
    return processor.tokenizer(texts, add_special_tokens=not has_start)["input_ids"]


@contextmanager
def asked_with(engine: VLLMGeneration, ids: list[list[int]]) -> Iterator[None]:
    """Has TRL's engine asked with other tokens of the same prompts, and shown videos among their images as such."""
    from align.models.videos import engine_media

    generate, read = engine.generate, engine.llm.generate

    def ask(**given: Any) -> Any:
        return generate(**given | {"prompts": ids})

    def show(prompts: list[Any], **given: Any) -> Any:
        items = [row.get("multi_modal_data", {}).get("image", []) for row in prompts]
        media = [engine_media(each if isinstance(each, list) else [each]) for each in items]
        return read([row | found for row, found in zip(prompts, media, strict=True)], **given)

    with _replaced(engine, "generate", ask), _replaced(engine.llm, "generate", show):
        yield
