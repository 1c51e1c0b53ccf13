"""What the trainers of all methods are built from: a parsed recipe, and data that was checked before."""

from pathlib import Path
from typing import Any

from datasets import Dataset, Image, IterableDataset
from transformers import Trainer

from align.data.stored_items import MadeRows
from align.data.training_data import Rows, TrainingData
from align.errors import RecipeError
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import Reward, named_model
from align.training.row_sets import cached, typed_dataset


def build_trainer(recipe: Recipe, data: TrainingData[Any], rewards: list[Reward]) -> Trainer:
    """Builds the trainer of a recipe's method from data and rewards that were checked before."""
    trainer: Any = recipe.record.part("build")(recipe, data, rewards)
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
