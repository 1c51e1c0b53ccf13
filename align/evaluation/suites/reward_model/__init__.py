"""How often a reward model is right, what its scores go with besides, and what the best of n is worth."""

from dataclasses import dataclass

from align.evaluation.options import EvaluationOptions
from align.evaluation.statistics.glossary import HIGH, LOW
from align.evaluation.suite import Suite
from align.options import Computing, Reading, option


@dataclass(frozen=True, kw_only=True)
class RewardModelOptions(Computing, Reading, EvaluationOptions):
    """What is evaluated."""

    reward_model: str = option(..., "Reward model: scalar, pairwise or an adapter.")
    data: str | None = option(None, "Pairs, or items of RewardBench 2: a file, a folder or a hub id.")
    best_of_n: str | None = option(None, "Prompts with candidate responses to choose from.")
    probes: bool = option(False, "Probes for shortcuts.")
    probe_pairs: int = option(500, "Pairs to probe and to put phrases into, drawn at random.")
    slices: bool = option(False, "Features of responses that go with the margin.")
    phrases: str | None = option(None, "A file of phrases, one a line, that are put into responses.")
    mine: bool = option(False, "Phrases from the slices, kept if held-out prompts bear them out.")
    position: str = option("front", "Where phrases are put: front, middle or end.")
    prompt_format: str = option("auto", "auto (texts get the chat template if there is one) or data (they stay).")
    max_length: int | None = option(None, "Longest sequence; the model's own limit if not given.")

    @property
    def asked(self) -> str:
        """The reward model."""
        return self.reward_model


_MEANINGS = {
    "accuracy": ("Accuracy", "pairs whose chosen response scores higher", HIGH),
    "accuracy/": ("Accuracy by category", "of the pairs of one category", HIGH),
    "reward_bench": ("RewardBench", "mean of its four sections", HIGH),
    "reward_bench_2": ("RewardBench 2", "mean of its six subsets, each counts the same", HIGH),
    "reward_bench_2/": ("RewardBench 2", "right response scores highest; of Ties also how close right ones lie", HIGH),
    "accuracy_drop/": ("Accuracy lost to a change that leaves the meaning", "accuracy before minus after the change, "
        "on changed pairs; /phrases_in_X: phrases of a file", LOW),
    "response_only_accuracy": ("Accuracy without the prompt", "far above one half, responses alone give the order "
        "away", None),
    "length_correlation": ("Margin and length", "rank correlation with the difference in characters", None),
    "format_correlation": ("Margin and format", "rank correlation with the difference in Markdown", None),
    "phrase_gain": ("Score gained by a phrase of the file", "above neutral words, in mean margins; ideally 0", None),
    "best_of_": ("Best of n", "true quality of what is chosen from n", HIGH),
}  # fmt: skip

REWARD_MODEL = Suite(
    name="reward_model",
    about="Accuracy of a reward model on pairs, probes for shortcuts, and the best of n.",
    rows="`--reward_model`",
    options=RewardModelOptions,
    load="align.evaluation.suites.reward_model.evaluation:load",
    measure="align.evaluation.suites.reward_model.evaluation:measure",
    finish="align.evaluation.suites.reward_model.evaluation:finish",
    reads=("pairs", "items of RewardBench 2"),
    told_by="reward_model",
    makes_prompts=False,
    verb="Scoring with",
    meanings=_MEANINGS,
)
