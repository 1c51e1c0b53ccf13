"""What trainers are built from: the real config of a recipe, tried before a model is loaded, and checked data."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from datasets import Dataset, Image, IterableDataset
from transformers import GenerationConfig, Trainer, TrainingArguments, get_scheduler

from align.data.stored_items import MadeRows
from align.data.training_data import Rows, TrainingData
from align.errors import RecipeError
from align.models.finite import spoiled
from align.recipe.fields import OUR_DEFAULTS, config_fields
from align.recipe.model import ModelSettings
from align.recipe.problems import one_line, shown
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import Reward, named_model
from align.training.row_sets import cached, typed_dataset


def build_trainer(recipe: Recipe, data: TrainingData[Any], rewards: list[Reward]) -> Trainer:
    """Builds the trainer of a recipe's method from data and rewards that were checked before."""
    trainer: Any = recipe.record.part("build")(recipe, data, rewards)
    # bitsandbytes 0.50 packs weights of 4 bits on CPUs with AVX512-BF16 when an evaluation or a rollout first passes a
    # layer. What it computes then has no gradient: training would go on without all that stands before, in silence.
    for module in trainer.model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    for model in (trainer.model, *getattr(trainer, "reward_funcs", ())):
        if isinstance(model, torch.nn.Module):  # on all processes: a shard is of one
            found = gather_object([spoiled(str(getattr(model.config, "name_or_path", "")), model.named_parameters())])
            if problem := next(filter(None, found), ""):
                raise RecipeError(problem)
    for place, spec in enumerate(recipe.reward_funcs):
        if name := named_model(spec)[0]:
            trainer.reward_func_names[place] = name  # TRL would name the model by its folder
    _require_batch(trainer.args, trainer.train_dataset, "train", "no step is made")
    _require_batch(trainer.args, trainer.eval_dataset, "eval", "nothing is evaluated")
    return trainer


def _require_batch(args: Any, rows: Any, name: str, loss: str) -> None:
    """Counts rows as they are packed, cut and dropped; transformers passes over data without a batch in silence."""
    if not args.dataloader_drop_last or not isinstance(rows, Dataset) or hasattr(args, "num_generations"):
        return  # a group of completions has a batch of its own
    batch = getattr(args, f"{name}_batch_size") * (1 if args.accelerator_config.split_batches else args.world_size)
    if len(rows) < batch:
        use, key = ("training" if name == "train" else "evaluation"), f"per_device_{name}_batch_size"
        raise RecipeError(
            f"The trainer makes {len(rows)} rows of the data for {use}, fewer than a batch of all devices, {batch}, "
            f"and `dataloader_drop_last: true` leaves such a batch out, so that {loss}. Lower `{key}: "
            f"{getattr(args, key)}`, give more data, or remove `dataloader_drop_last`."
        )


def trainer_arguments(
    recipe: Recipe, data: TrainingData[Any], task_type: str = "CAUSAL_LM", **tokenizer: Any
) -> dict[str, Any]:
    """Returns what TRL's trainers are built from; TRL loads the model and its tokenizer from the recipe's path."""
    return {
        "model": recipe.model.model_name_or_path,
        "args": build_config(recipe),
        "train_dataset": training_rows(data),
        "eval_dataset": eval_dataset(data.eval_rows),
        "processing_class": processing_class(recipe, **tokenizer),
        "peft_config": peft_config(recipe, task_type),
    }


def training_rows(data: TrainingData[Any]) -> Dataset | IterableDataset:
    """Makes the data set for training, a stream where the rows are read while training."""
    return as_dataset(data.rows) if data.stream is None else IterableDataset.from_generator(data.stream)


def as_dataset(rows: Rows) -> Dataset:
    """Makes a data set whose images are decoded when they are read."""
    if not isinstance(rows, MadeRows) and any("images" in row for row in rows):
        return typed_dataset(rows).cast_column("images", [Image()])
    return cached(rows)


def eval_dataset(rows: Rows) -> Dataset | None:
    """Makes the data set for evaluation, None where there are no rows."""
    return as_dataset(rows) if rows else None


def processing_class(recipe: Recipe, **how: Any) -> Any | None:
    """Loads the tokenizer or processor of a recipe with the chat template that it names, as TRL loads it.

    None where TRL's own is right: without a template, or with one that is a setting of TRL's.
    """
    path = recipe.model.chat_template_path
    if path is None or hasattr(recipe.settings, "chat_template_path"):
        return None
    from transformers import AutoProcessor, AutoTokenizer

    model = recipe.model
    loaded: Any = AutoProcessor.from_pretrained(model.model_name_or_path, revision=model.model_revision, **how)
    file = Path(path)
    is_text = file.is_file()
    loaded.chat_template = file.read_text("utf-8") if is_text else AutoTokenizer.from_pretrained(path).chat_template
    if hasattr(loaded, "tokenizer"):
        loaded.tokenizer.chat_template = loaded.chat_template
    return loaded


def peft_config(recipe: Recipe, task_type: str = "CAUSAL_LM") -> Any | None:
    """Returns the adapter of the recipe, None where all weights are trained."""
    if not recipe.model.use_peft:
        return None
    from peft import LoraConfig

    model = recipe.model
    return LoraConfig(
        r=model.lora_r,
        lora_alpha=model.lora_alpha,
        lora_dropout=model.lora_dropout,
        target_modules=model.lora_target_modules,
        task_type=task_type,
    )


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
    known = config_fields(recipe.method)
    # Without an accelerator TRL's default of bf16 stops, and accelerate needs to be told.
    of_device = {} if torch.accelerator.is_available() else {"use_cpu": True, "bf16": False}
    settings = {name: value for name, value in OUR_DEFAULTS.items() if name in known} | of_device | recipe.training
    settings["push_to_hub"] = False  # TRL would upload the run folder; `align.models.hub` pushes the model
    of_model = {"model_init_kwargs": model_kwargs(recipe), "chat_template_path": recipe.model.chat_template_path}
    return settings | {name: value for name, value in of_model.items() if name in known}


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
