"""Every metric of a reward model in one line."""

from align.evaluation.statistics.glossary import Meaning

REWARD_MODEL_GLOSSARY = {
    "accuracy": Meaning("Accuracy", "pairs whose chosen response scores higher", "higher"),
    "accuracy/": Meaning("Accuracy by category", "of the pairs of one category", "higher"),
    "disagreement": Meaning("Disagreement of heads", "pairs that the two score heads order differently", None),
    "agreed_accuracy": Meaning("Accuracy where heads agree", "of the pairs that both order the same", "higher"),
    "reward_bench": Meaning("RewardBench", "mean of its four sections", "higher"),
    "reward_bench_2": Meaning("RewardBench 2", "mean of its six subsets, each counts the same", "higher"),
    "reward_bench_2/": Meaning(
        "RewardBench 2",
        "the right response scores highest; of Ties 60 % accuracy and 40 % whether right ones lie closer together "
        "than above wrong ones",
        "higher",
    ),
    "accuracy_drop/": Meaning(
        "Accuracy lost to a change that leaves the meaning",
        "before minus after, of the pairs that it changes; /phrases_in_X: phrases of a file in one response or both",
        "lower",
    ),
    "response_only_accuracy": Meaning(
        "Accuracy without the prompt", "far above one half, the responses alone give the order away", None
    ),
    "length_correlation": Meaning("Margin and length", "rank correlation with the difference in characters", None),
    "format_correlation": Meaning("Margin and format", "rank correlation with the difference in Markdown", None),
    "insertion/": Meaning(
        "Score gained by a phrase in front", "above a neutral phrase, in mean margins; should be near 0", None
    ),
    "phrase_gain": Meaning(
        "Score gained by a phrase of the file",
        "by the response that has it, above neutral words, in mean margins; should be near 0",
        None,
    ),
    "best_of_": Meaning("Best of n", "true quality of what is chosen from n", "higher"),
}
