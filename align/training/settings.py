"""The real config of a recipe, built and tried before a model is loaded."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from transformers import GenerationConfig, Trainer, TrainingArguments, get_scheduler

from align.errors import RecipeError
from align.recipe.fields import OUR_DEFAULTS, chain_fields
from align.recipe.model import ModelSettings
from align.recipe.problems import one_line, shown
from align.recipe.recipe import Recipe

SAFETENSORS = {"use_safetensors": True}  # reading pickled weights can run any code; TRL loads reward models so, too
# Optimizers of torch and transformers; others want the model, or a package of their own.
_PLAIN = ("adamw_torch", "adamw_torch_fused", "adafactor", "sgd", "adagrad", "rmsprop")


def build_config(recipe: Recipe) -> Any:
    """Builds the config of a recipe's method, and tries what reads its settings only when training begins."""
    settings = _settings(recipe)
    kind = recipe.record.config_class()
    try:
        return _tried(kind, settings)
    except Exception as error:
        key = _blamed(kind, settings, recipe.training, str(error))
        where = f"`{key}: {shown(recipe.training[key])}`" if key else "The settings"
        raise RecipeError(f"{where} cannot be used. {one_line(error)}") from error


def _tried(kind: type[TrainingArguments], settings: Mapping[str, Any]) -> TrainingArguments:
    config = kind(**copy.deepcopy(dict(settings)))  # it changes blocks that it is given
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer: torch.optim.Optimizer = torch.optim.SGD([weight], lr=config.learning_rate)
    if config.optim in _PLAIN:
        made_by, kwargs = Trainer.get_optimizer_cls_and_kwargs(config)
        optimizer = made_by([weight], **kwargs)
    get_scheduler(
        config.lr_scheduler_type,
        optimizer=optimizer,
        num_warmup_steps=config.get_warmup_steps(100),
        num_training_steps=100,
        scheduler_specific_kwargs=config.lr_scheduler_kwargs,  # type: ignore[arg-type]  # JSON is parsed by now
    )
    if getattr(config, "generation_kwargs", None) and not config.use_vllm:  # type: ignore[attr-defined]
        GenerationConfig(**config.generation_kwargs)  # type: ignore[attr-defined]
    return config


def _blamed(
    kind: type[TrainingArguments], settings: Mapping[str, Any], given: Mapping[str, Any], message: str
) -> str | None:
    """Finds the setting without which the others work, blocks first; else the block of which a value is quoted."""
    blocks = [key for key in given if key.endswith(("_args", "_config", "_kwargs"))]
    for key in [*blocks, *(key for key in given if key not in blocks and key != "output_dir")]:
        try:
            _tried(kind, {name: value for name, value in settings.items() if name != key})
        except Exception:
            continue
        return key
    quoted = [key for key in blocks if isinstance(given[key], Mapping)]
    return next((key for key in quoted if any(str(value) in message for value in given[key].values())), None)


def _settings(recipe: Recipe) -> dict[str, Any]:
    known = chain_fields(recipe.record.config_chain)  # experimental settings that are off are no settings of the run
    given = {name: value for name, value in recipe.training.items() if name in known}
    settings = _device_defaults() | given
    settings = {name: value for name, value in OUR_DEFAULTS.items() if name in known} | settings
    of_model = {"model_init_kwargs": model_kwargs(recipe), "chat_template_path": recipe.model.chat_template_path}
    return settings | {name: value for name, value in of_model.items() if name in known}


def _device_defaults() -> dict[str, Any]:
    """Lets a recipe run without an accelerator, where TRL's default of bf16 stops and accelerate needs to be told."""
    return {} if torch.accelerator.is_available() else {"use_cpu": True, "bf16": False}


def model_kwargs(recipe: Recipe) -> dict[str, Any]:
    """Returns what the model is loaded with; what `model_init_kwargs` says wins."""
    model = recipe.model
    kwargs = {
        "revision": model.model_revision,
        "attn_implementation": model.attn_implementation,
        "quantization_config": _quantization(model),
    }
    given = getattr(recipe.settings, "model_init_kwargs", None) or {}
    return (
        {"dtype": model.dtype}
        | {key: value for key, value in kwargs.items() if value is not None}
        | given
        | SAFETENSORS
    )


def _quantization(model: ModelSettings) -> dict[str, Any] | None:
    """Returns what TRL's scripts quantize with, as plain values that a log can hold."""
    if model.quantized is None:
        return None
    from trl import ModelConfig, get_quantization_config

    names = ("dtype", "load_in_4bit", "load_in_8bit", "bnb_4bit_quant_type", "bnb_4bit_quant_storage")
    given = {name: getattr(model, name) for name in (*names, "use_bnb_nested_quant")}
    config = get_quantization_config(ModelConfig(**given))
    return None if config is None else config.to_dict()
