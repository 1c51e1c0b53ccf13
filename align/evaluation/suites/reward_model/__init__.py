"""How often a reward model is right, what its scores go with besides, and what the best of n is worth."""

from dataclasses import dataclass
from pathlib import Path

from align.evaluation.options import Divided
from align.evaluation.suite import Suite
from align.options import Computing, Reading, option


@dataclass(frozen=True, kw_only=True)
class RewardModelOptions(Divided, Computing, Reading):
    """What is evaluated."""

    reward_model: str = option(..., "Reward model: scalar, pairwise or an adapter.")
    baseline: list[str] | None = option(None, "What to compare with, on the same items; several words.")
    data: str | None = option(None, "Pairs, or items of RewardBench 2: a file, a folder or a hub id.")
    best_of_n: str | None = option(None, "Prompts with candidate responses to choose from.")
    out: Path = option(..., "Folder for the results; the same command continues in it.")
    recipe: str | None = option(None, "Recipe that names columns; by default the one of the model's run.")
    seed: int = option(0, "Of the pairs that are drawn.")
    card: bool = option(
        False, "Put the numbers, and the differences to baselines, on the model card in the folder of the run."
    )
    probes: bool = option(False, "Probes for shortcuts.")
    probe_pairs: int = option(500, "Pairs to probe and to put phrases into, drawn at random.")
    slices: bool = option(False, "Features of responses that go with the margin.")
    phrases: str | None = option(None, "A file of phrases, one a line, that are put into responses.")
    mine: bool = option(False, "Phrases from the slices, kept if held-out prompts bear them out.")
    position: str = option("front", "Where phrases are put: front, middle or end.")
    prompt_format: str = option(
        "auto", "auto (texts get the chat template if there is one), messages, or data (they stay)."
    )
    max_length: int | None = option(None, "Longest sequence; the model's own limit if not given.")


REWARD_MODEL = Suite(
    name="reward_model",
    about="Accuracy of a reward model on pairs, probes for shortcuts, and the best of n.",
    rows="`--reward_model`",
    options=RewardModelOptions,
    evaluation="align.evaluation.suites.reward_model.evaluation:RewardModelEvaluation",
    reads=("pairs", "items of RewardBench 2"),
)
