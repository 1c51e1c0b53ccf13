"""What shared code asks of a method."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pkgutil import resolve_name
from typing import Any

# The classes whose fields make up a config, nearest first. The contract test compares with the real dataclass, so that
# a base class added by TRL is noticed.
BASE_CHAIN = (
    ("trl", "trainer/base_config.py", "_BaseConfig"),
    ("transformers", "training_args.py", "TrainingArguments"),
)


@dataclass(frozen=True)
class Method:
    """One method, whole: its words, and the places of its parts as `module:name`, which are imported when needed.

    The record itself imports nothing, so that a command which only wants to know the names of methods stays fast, and
    a package that one method needs stops no other.

    Attributes:
        name: In recipes, and of its folder.
        config_chain: Package, file and name of the classes whose fields are its training settings, nearest first.
        dataset: Class of the `dataset` block.
        dataset_of: `(keys) -> class` of that block, where it depends on other keys of the recipe.
        rules: `Rules` of its own settings; those of its TRL parent are known from the chain.
        load: `(recipe) -> TrainingData`. Reads the rows and whatever else its trainer needs; DataError if they cannot
            be read, or some cannot be used and should not be skipped.
        check: `(recipe, data, rewards) -> list[Finding]`. Says what is wrong with what was read.
        check_batch: `(recipe, launch, num_rows) -> list[Finding]`. Says what one step is, and whether it divides.
        footprint: `(recipe) -> Footprint`. Says what it keeps in memory.
        build: `(recipe, data, rewards) -> Trainer`.
        card: `(recipe, rows) -> Card`. What its model card says.
        report: A `ReportParts`: its charts, findings and settings on the page of a run.
        sample_pairs: `(recipe, data) -> rows` of some pairs for the run folder, where it learns from pairs.
        rehearse: `(plan) -> Rehearsed`. Tries what a run would learn from, before it is started.
        extras: `(recipe)` to extra, what needs it, and modules of it. Says which of our extras its settings need.
        augment: An `Augmentation`: makes data for it, by `align augment`.
        augment_options: The options of that command that are its own.
        arguments: Module that adds commands of its own to the command line.
        check_rewards: `(recipe, rewards) -> list[Finding]`. Says what it has against rewards, beside their own faults.
        check_reads: `(recipe, launch, findings) -> list[Finding]`. Says what a step reads, from what was found before.
        reward_columns: Makes the columns that its trainer adds for rewards, for a trial of them.
        console: Logged quantities to show beside the progress bar, with the word to show.
        has_rewards: Whether it generates completions and rewards them.
        rewarded_by: Keys of a recipe that need no `reward_funcs` beside them: what they name may reward by itself.
        makes_reward_model: Whether what it trains can reward the policy of another run.
    """

    name: str
    config_chain: tuple[tuple[str, str, str], ...]
    dataset: str
    load: str
    check: str
    check_batch: str
    footprint: str
    build: str
    card: str
    report: str
    rules: str | None = None
    dataset_of: str | None = None
    sample_pairs: str | None = None
    rehearse: str | None = None
    extras: str | None = None
    augment: str | None = None
    augment_options: str | None = None
    arguments: str | None = None
    check_rewards: str | None = None
    check_reads: str | None = None
    reward_columns: str | None = None
    console: Mapping[str, str] = field(default_factory=dict)
    has_rewards: bool = False
    rewarded_by: tuple[str, ...] = ()
    makes_reward_model: bool = False

    def part(self, name: str) -> Any:
        """Imports one of the parts, by the name of its attribute; None where the method has none."""
        place = getattr(self, name)
        return None if place is None else resolve_name(place)

    def config_class(self) -> Any:
        """Imports the class of its training settings."""
        package, file, name = self.config_chain[0]
        return resolve_name(f"{package}.{file.removesuffix('.py').replace('/', '.')}:{name}")
