"""What a rehearsal is told, and what it may use of a recipe."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from align.errors import UserError
from align.options import option

if TYPE_CHECKING:
    from align.data.training_data import TrainingData
    from align.models.samplers.endpoint import EndpointSampler
    from align.recipe.recipe import Recipe
    from align.recipe.reward_settings import Reward

FEWEST, MOST = 8, 64  # completions of a prompt
PAIRS_FOR_A_PROMPT = 8  # pairs cost as much as one completion each


@dataclass(frozen=True, kw_only=True)
class Rehearsing:
    """What is rehearsed, and by what."""

    out: Path | None = option(None, "Folder for the results; the recipe's `output_dir` with -rehearsal if not given.")
    num_prompts: int = option(32, "Prompts that are drawn from the data; of pairs eight times as many.")
    num_samples: int | None = option(None, "Completions of each, 8 to 64; the recipe's `num_generations`, 8 at least.")
    task_reward: str | None = option(None, "Reward that says what is right; by default what exchanges show.")
    right_from: float | None = option(
        None, "Value of that reward from which a completion is right; by default above 0."
    )
    backend: str = option("transformers", "transformers or vllm; with `--endpoint` neither.")
    served_model: str | None = option(None, "Name by which the endpoint knows the model; the recipe's if not given.")
    device: str | None = option(None, "Where to compute; the accelerator if there is one.")
    batch_size: int = option(64, "Sequences at once.")
    attack: bool = option(False, "Also try cheap hacks on the rewards, as `align rewards attack` does.")
    one_step: bool = option(False, "Also take one optimizer step, on a copy in a temporary folder, and measure it.")

    def check(self) -> None:
        """Refuses numbers that cannot be."""
        if self.num_prompts < 1:
            raise UserError(f"`num_prompts` must be at least 1, got {self.num_prompts}.")
        if self.num_samples is not None and not FEWEST <= self.num_samples <= MOST:
            raise UserError(f"`num_samples` must lie between {FEWEST} and {MOST}, got {self.num_samples}.")


OPTIONS = tuple(each.name for each in fields(Rehearsing))


class Plan(NamedTuple):
    """A rehearsal that can begin."""

    recipe: "Recipe"
    data: "TrainingData[Any]"
    rewards: "Sequence[Reward]"
    options: Rehearsing
    out: Path
    sampler: "EndpointSampler | None"
    step: Mapping[str, Any]  # what the check of the batch counted
