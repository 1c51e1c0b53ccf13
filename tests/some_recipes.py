"""Which method plays which part in tests of shared code: the one file of theirs that names any.

What holds for every method is asked of all of `align.methods.METHODS`. A test that needs some run, and not that of one
method, takes it from here by what the method does.
"""

from importlib import import_module
from typing import Any

QUESTIONS = "acre"  # rewards answers to multiple-choice questions, and asks some of them again
PROMPTS = "grpo"  # rewards responses to any prompts
PAIRS = "rrpo"  # learns from pairs
REWARD_PAIRS = "crome"  # makes a reward model of pairs
DEMONSTRATIONS = "sft"  # learns from demonstrations
OUTCOMES = "deconfound"  # makes a reward model of observed outcomes
TRAINER = "ACRETrainer"  # that of QUESTIONS, as users import it


def trainer_class(method: str) -> Any:
    """Imports the trainer of a method."""
    module = import_module(f"align.methods.{method}.trainer")
    (found,) = {each for name, each in vars(module).items()
                if name.endswith("Trainer") and each.__module__ == module.__name__}  # fmt: skip
    return found


def originals_and_sources() -> tuple[Any, Any]:
    """Imports the loaders of what data is made from: answers to edit, and prompts to write pairs for."""
    from align.methods.crome.augmentation.family import load_originals
    from align.methods.rrpo.augmentation.sources import load_sources

    return load_originals, load_sources


def outcome_readers() -> dict[str, Any]:
    """Imports what reads the weights of a model to learn outcomes."""
    from align.methods.deconfound.trainer import _load

    return {"method": lambda path: _load(path, {})}


METHOD_OF_PAIRS_DATA = PAIRS  # whose data `align augment` makes with a model
OUTCOMES_COMMAND = OUTCOMES  # the command that a method adds


def with_model(recipe: Any) -> Any:
    """Returns what checks are given: a recipe, and the files of its model."""
    from align.models.model_files import ModelFiles

    return recipe, ModelFiles.of(recipe)
