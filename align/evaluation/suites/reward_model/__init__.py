"""How often a reward model is right, what its scores go with besides, and what the best of n is worth."""

from dataclasses import dataclass

from align.evaluation.options import Evaluated
from align.evaluation.statistics.glossary import HIGH, LOW, Meaning
from align.evaluation.suite import Suite
from align.options import Computing, Reading, option


@dataclass(frozen=True, kw_only=True)
class RewardModelOptions(Computing, Reading, Evaluated):
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
    prompt_format: str = option(
        "auto", "auto (texts get the chat template if there is one), messages, or data (they stay)."
    )
    max_length: int | None = option(None, "Longest sequence; the model's own limit if not given.")


_MEANINGS = {
    "accuracy": Meaning("Accuracy", "pairs whose chosen response scores higher", HIGH),
    "accuracy/": Meaning("Accuracy by category", "of the pairs of one category", HIGH),
    "reward_bench": Meaning("RewardBench", "mean of its four sections", HIGH),
    "reward_bench_2": Meaning("RewardBench 2", "mean of its six subsets, each counts the same", HIGH),
    "reward_bench_2/": Meaning("RewardBench 2", "the right response scores highest; of Ties 60 % accuracy and 40 % "
        "whether right ones lie closer together than above wrong ones", HIGH),
    "accuracy_drop/": Meaning("Accuracy lost to a change that leaves the meaning", "before minus after, of the pairs "
        "that it changes; /phrases_in_X: phrases of a file in one response or both", LOW),
    "response_only_accuracy": Meaning("Accuracy without the prompt", "far above one half, the responses alone give "
        "the order away", None),
    "length_correlation": Meaning("Margin and length", "rank correlation with the difference in characters", None),
    "format_correlation": Meaning("Margin and format", "rank correlation with the difference in Markdown", None),
    "insertion/": Meaning("Score gained by a phrase in front", "above a neutral phrase, in mean margins; should be "
        "near 0", None),
    "phrase_gain": Meaning("Score gained by a phrase of the file", "by the response that has it, above neutral words, "
        "in mean margins; should be near 0", None),
    "best_of_": Meaning("Best of n", "true quality of what is chosen from n", HIGH),
}  # fmt: skip

REWARD_MODEL = Suite(
    name="reward_model",
    about="Accuracy of a reward model on pairs, probes for shortcuts, and the best of n.",
    rows="`--reward_model`",
    options=RewardModelOptions,
    evaluation="align.evaluation.suites.reward_model.evaluation:RewardModelEvaluation",
    reads=("pairs", "items of RewardBench 2"),
    meanings=_MEANINGS,
)
