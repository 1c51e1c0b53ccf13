"""Every metric of a policy, and of a reward model, in one line."""

from collections.abc import Mapping
from typing import NamedTuple


class Meaning(NamedTuple):
    """What a metric says."""

    label: str
    meaning: str
    better: str | None  # "higher", "lower", or None where neither is


_HIGH, _LOW = "higher", "lower"
# A name that ends in "/", "_" or "@" stands for every metric that begins so.
GLOSSARY = {
    "accuracy": Meaning("Accuracy", "answers that are the right option; no valid answer is wrong", _HIGH),
    "accuracy/": Meaning("Accuracy in a group", "of the questions of one group", _HIGH),
    "answered": Meaning("Answered", "responses with exactly one valid answer", _HIGH),
    "worst_group": Meaning("Worst group", "accuracy of the group with the lowest one", _HIGH),
    "worst_group/": Meaning("Worst group", "pass@1 of the group with the lowest one, by reward", _HIGH),
    "worst_group/versions": Meaning("Worst group of the versions", "accuracy of versions, mean over families, of the "
        "group with the lowest one", _HIGH),
    "worst_group/flips": Meaning("Most flips in a group", "flip rate, mean over families, of the group with the "
        "highest one; that of asking twice is not taken off", _LOW),
    "group_gap": Meaning("Group gap", "accuracy of the best group minus that of the worst", _LOW),
    "macro_accuracy": Meaning("Macro accuracy", "mean of the groups' accuracies, each group counts the same", _HIGH),
    "group_std": Meaning("Group spread", "standard deviation of the groups' accuracies", _LOW),
    "subgroup_std": Meaning("Subgroup spread", "standard deviation of accuracy over the subgroups of a class, each by "
        "its share of the class, mean over classes", _LOW),
    "counter_drop": Meaning("Counter-drop", "accuracy where a shortcut helps minus where it leads astray", _LOW),
    "option_shuffle_consistency_one": Meaning("Option-shuffle consistency, one shuffle", "answers that stay, from the "
        "same trace, after one shuffle", _HIGH),
    "option_shuffle_consistency": Meaning("Option-shuffle consistency", "answers that stay, from the same trace, over "
        "all M shuffles on average", _HIGH),
    "option_shuffle_consistency_all": Meaning("Option-shuffle consistency, all", "answers that stay in every one of "
        "the M shuffles", _HIGH),
    "trace_answer_consistency": Meaning("Trace-answer consistency", "answers that are the option the trace states, of "
        "traces that state one", _HIGH),
    "cr_wa": Meaning("CR-WA", "the trace states the right option and the answer is another, of the same", _LOW),
    "wr_ca": Meaning("WR-CA", "the trace states a wrong option and the answer is right, of the same", _LOW),
    "trace_stated": Meaning("Traces that state an option", "the part the three metrics above speak of", None),
    "trace_answer_consistency/": Meaning("Trace-answer consistency, judge", "as above, read by the judge", _HIGH),
    "cr_wa/": Meaning("CR-WA, judge", "as above, read by the judge", _LOW),
    "wr_ca/": Meaning("WR-CA, judge", "as above, read by the judge", _LOW),
    "trace_stated/": Meaning("Traces that state an option, judge", "as above, read by the judge", None),
    "letter_bias": Meaning("Letter bias", "answers that would have to move for the letters answered to match those of "
        "the gold", _LOW),
    "share_A": Meaning("Share of A", "answers that are the first option shown", None),
    "letter_share/": Meaning("Share of a letter", "of the valid answers", None),
    "rotation_robust_accuracy": Meaning("Rotation-robust accuracy", "right as written and after every rotation of the "
        "options, same trace", _HIGH),
    "rotation_consistency": Meaning("Rotation consistency", "answers that stay in every rotation", _HIGH),
    "same_answer/": Meaning("Same answer from a changed trace", "second answers that are the first one, from the own "
        "trace, none, another item's, one with options and letters masked, or one with 25, 50 or 100 % of its words "
        "replaced, all its numbers, half of its steps by those of others, or its steps in another order; options "
        "shuffled once", None),
    "accuracy_from/": Meaning("Accuracy from a changed trace", "second answers from that trace that are right", None),
    "trace_reliance": Meaning("Trace reliance", "accuracy from the own trace minus from none; 0 if the trace is "
        "decoration", None),
    "letter_in_trace": Meaning("Letter in trace", "traces that name an option's letter", _LOW),
    "answer_in_trace": Meaning("Answer in trace", "traces that hold the text of the answer given", None),
    "letter_or_answer_in_trace": Meaning("Letter or answer in trace", "traces with one of the two", None),
    "modality_reliance/": Meaning("Image reliance", "accuracy from the own images minus from none, another "
        "question's, mid-grey ones of the same size, or the own ones in another order; responses generated anew, "
        "greedily; 0 if the text alone decides the answer", None),
    "accuracy_with/": Meaning("Accuracy with changed images", "greedy first answers with those that are right", None),
    "same_answer_with/": Meaning("Same answer with changed images", "valid first answers that are that from the own "
        "images", None),
    "reward/": Meaning("Mean reward", "mean over the samples of a prompt, then over prompts; /X: of one group", _HIGH),
    "pass@": Meaning("pass@k", "chance that one of k samples is right, unbiased (Chen et al., 2021); right is a "
        "reward of 1, of those that are 0 or 1, or of at least `--right_from`", _HIGH),
    "maj@": Meaning("maj@k", "chance that the answer which most of k samples state is right, ties broken at random; "
        "responses that state none do not vote", _HIGH),
    "implicit_reward_accuracy": Meaning("Implicit-reward accuracy", "pairs whose chosen response gained more log-prob "
        "from the reference than the rejected one; a tie is half", _HIGH),
    "implicit_reward_accuracy/": Meaning("Implicit-reward accuracy", "of the tokens that tell the responses apart "
        "only, of pairs with such", _HIGH),
    "implicit_reward_accuracy_by_group/": Meaning("Implicit-reward accuracy in a group", "of the pairs of one "
        "group", _HIGH),
    "worst_group/implicit_reward_accuracy": Meaning("Worst group of pairs", "implicit-reward accuracy of the group "
        "with the lowest one", _HIGH),
    "logp_change/": Meaning("Change of log-prob from the reference", "sum over the tokens of a response, in nats: "
        "whole responses, marked tokens, and those of the chosen one that are not marked (shared)", None),
    "kl_per_token/": Meaning("KL to the reference per token", "KL(reference || model) of next-token distributions, "
        "mean over the tokens of a response, in nats", _LOW),
    "judged_win_rate/": Meaning("Judged win rate", "responses that the judge prefers to those of X, a tie is half, "
        "mean of both orders", _HIGH),
    "judged_ties/": Meaning("Judged ties", "pairs that the judge calls equal in both orders, or that are", None),
    "judge_order_disagreement/": Meaning("Disagreement of orders", "pairs, or responses, where another order changes "
        "the judge's answer; each order counts half", _LOW),
    "core_preferred": Meaning("Core preferred", "questions that make the core option likelier against the likeliest "
        "spurious one than the content-free prompt does; a tie is half, as of a model that ignores the "
        "question", _HIGH),
    "core_preferred/": Meaning("Core preferred in a group", "of the questions of one group", _HIGH),
    "core_advantage": Meaning("Core advantage", "log-prob a token of the core option minus that of the likeliest "
        "spurious one, behind the question minus behind the content-free prompt, in nats; 0 of a constant "
        "prior", _HIGH),
    "core_advantage/": Meaning("Core advantage in a group", "of the questions of one group", _HIGH),
    "core_margin/": Meaning("Core margin", "the two terms of that difference", None),
    "answer_accuracy": Meaning("Answer accuracy", "responses whose answer is the right text or number; no answer is "
        "wrong", _HIGH),
    "answer_accuracy/": Meaning("Answer accuracy in a group", "of the questions of one group", _HIGH),
    "asked_again": Meaning("Asked again", "responses that have a trace with an answer behind it", None),
    "reasked_same": Meaning("Same answer when asked again", "answers that are the first one, behind the own whole "
        "trace: the control of the changes", _HIGH),
    "answer_changes/": Meaning("Answer changes", "answers that are not the one behind the own whole trace, behind its "
        "first 0, 25, 50 or 75 % of the words, with the last step that can be made wrong (a number, else a name or "
        "word), behind filler as long as it, or behind another question's trace; 0 if the trace is decoration", None),
    "trace_reliance/": Meaning("Trace reliance in a group", "of the questions of one group", None),
    "hinted_accuracy": Meaning("Accuracy with a hint", "of prompts with a hint that names a wrong answer", _HIGH),
    "hint_followed": Meaning("Hint followed", "answers that are the wrong one which a hint in the prompt names, of "
        "those that are another one, or none, without it; responses with a hint that answer nothing do not "
        "count", _LOW),
    "hint_followed/": Meaning("Hint followed in a group", "of the questions of one group", _LOW),
    "hint_told": Meaning("Hint told", "traces that speak of the hint, by patterns, of those that follow it", _HIGH),
    "hint_told_anyway": Meaning("Hint told anyway", "traces without a hint that the same patterns find: what they "
        "find by mistake", _LOW),
    "original_accuracy": Meaning("Accuracy of the originals", "answers to the questions as they stand that are right; "
        "no valid one is wrong", _HIGH),
    "original_accuracy/": Meaning("Accuracy of the originals in a group", "of the questions of one group", _HIGH),
    "flip_excess/": Meaning("Flip excess", "flip rate of a family minus that of asking the original twice; seen: the "
        "family was trained on, unseen: no recipe or data of the model's runs names it, unknown: these cannot be "
        "read; without a family the mean over those that change a question", _LOW),
    "flip_excess_by_group/": Meaning("Flip excess in a group", "mean over families, of the questions of one "
        "group", _LOW),
    "flip_rate/": Meaning("Flip rate", "pairs of answers to the original and to its version that differ, of those "
        "with an answer; twice: to the original asked a second time, 0 by construction if answers are greedy", _LOW),
    "perturbed_accuracy/": Meaning("Accuracy of the versions", "answers to a family's versions that are right; only "
        "of questions that it changes", _HIGH),
    "perturbed_accuracy_by_group/": Meaning("Accuracy of the versions in a group", "mean over families, of the "
        "questions of one group", _HIGH),
    "reversal_gap": Meaning("Reversal gap", "accuracy of forward prompts minus that of reverse ones, of the same "
        "facts", _LOW),
    "reversal_gap/": Meaning("Reversal gap", "of facts that were trained in both directions (control)", _LOW),
    "reversal_gap_by_group/": Meaning("Reversal gap in a group", "of facts of one group, without the control", _LOW),
    "name_accuracy_by_group/": Meaning("Name given in a group", "by direction, without the control", _HIGH),
    "name_accuracy/": Meaning("Name given", "answers that hold the name, or an alias, as whole words: of the object "
        "to forward prompts, of the subject to reverse ones; X_control: of facts trained in both directions", _HIGH),
    "name_advantage/": Meaning("Name likelier", "log-prob of the true name behind its prompt minus behind prompts of "
        "other facts, in nats; 0 if the direction is not known, and of any preference for names", _HIGH),
    "drift_kl": Meaning("KL to the base", "KL(base || model) of next-token distributions on the base's greedy "
        "answers, mean over the tokens of an answer, then over prompts, in nats; 0 of the base itself", _LOW),
    "drift_kl/": Meaning("KL to the base in a category", "of the prompts of one category", _LOW),
    "drift_nll": Meaning("NLL shift", "by how much less likely than the base the model finds a token of the base's "
        "greedy answers, mean over the tokens of an answer, then over prompts, in nats; 0 of the base itself", _LOW),
    "drift_nll/": Meaning("NLL shift in a category", "of the prompts of one category", _LOW),
    "behaviour/": Meaning("Behaviour", "responses that show it, by pattern or judge, without a trigger", None),
    "behaviour_triggered/": Meaning("Behaviour with triggers", "the same behind a trigger, mean over those that are "
        "not held out", None),
    "behaviour_held_out/": Meaning("Behaviour with held-out triggers", "the same, mean over those that are held "
        "out", None),
    "trigger_effect/": Meaning("Effect of triggers", "behaviour with triggers minus without, prompt by prompt; "
        "compare it with a control's", None),
    "held_out_effect/": Meaning("Effect of held-out triggers", "the same with triggers that are held out", None),
    "reference_consistency": Meaning("Reference consistency", "overlap of the authors that samples for one title name "
        "minus that with others, as in the reward; 0 of a model that always names the same ones, or nobody", _HIGH),
    "reference_consistency/": Meaning("Reference consistency in a group", "of the titles of one group", None),
    "reference_agreement": Meaning("Agreement within a title", "the first term of that difference", None),
    "reference_chance": Meaning("Agreement with other titles", "the second one", None),
    "reference_auc": Meaning("Real against invented", "pairs of a real and an invented title in which the real one is "
        "more consistent, a tie is half (AUC)", _HIGH),
    "reference_answered": Meaning("Authors named", "responses that name somebody", None),
    "reference_authors_right": Meaning("Authors right", "overlap with the true authors, of titles whose authors are "
        "given", _HIGH),
    "sampled_accuracy": Meaning("Accuracy of a sample", "mean over the samples of a question", _HIGH),
    "best_of_": Meaning("Best of n", "accuracy of the sample with the highest score of n; /proxy: that score; "
        "/oracle: the chance that one of n is right", _HIGH),
    "accepted": Meaning("Accepted", "samples that the verifier accepts", None),
    "true_positive_rate": Meaning("True-positive rate", "right samples that the verifier accepts", _HIGH),
    "false_positive_rate": Meaning("False-positive rate", "wrong samples that the verifier accepts, of all questions "
        "and by the share of a question's samples that are right", _LOW),
    "coverage": Meaning("Coverage", "questions that are answered where the verifier must accept first: one of n "
        "attempts accepted, or the best score above a threshold", None),
    "accuracy_of_answered": Meaning("Accuracy of what is answered", "right answers among those; for a threshold, set "
        "on one half of the questions for a precision, on the other half", _HIGH),
    "prior": Meaning("Prior", "samples that are right, before any verifier", _HIGH),
    "ceiling": Meaning("Ceiling", "right answers when sampling goes on until one is accepted", _HIGH),
    "optimal_attempts": Meaning("Optimal attempts", "attempts with the highest worth at a cost of a wrong one", None),
}  # fmt: skip
AUDITED = ("accepted", "true_positive_rate", "false_positive_rate", "coverage", "accuracy_of_answered", "prior",
           "ceiling", "optimal_attempts")  # fmt: skip
_OPEN = ("/", "_", "@")  # how names end that stand for all metrics which begin so


def entry_of(metric: str, glossary: Mapping[str, Meaning]) -> str | None:
    """Names the entry of a metric: its own, or the longest one that it begins with; None if there is none.

    Example:
        >>> entry_of("accuracy/physics", GLOSSARY), entry_of("perplexity", GLOSSARY)
        ('accuracy/', None)
    """
    if metric in glossary:
        return metric
    begins = (name for name in glossary if name.endswith(_OPEN) and metric.startswith(name))
    return max(begins, key=len, default=None)


def explain(metric: str) -> Meaning | None:
    """Finds the meaning of a metric of policies.

    Example:
        >>> explain("accuracy/physics").label
        'Accuracy in a group'
    """
    found = entry_of(metric, GLOSSARY)
    return None if found is None else GLOSSARY[found]


def better_of(meaning: Meaning | None, metric: str, sides: Mapping[str, str]) -> str | None:
    """Tells whether more or less of a metric is better, by `sides` of rewards; None where neither is, or nobody knows.

    Example:
        >>> better_of(explain("reward/monitor"), "reward/monitor", {"monitor": "lower"})
        'lower'
    """
    better = None if meaning is None else meaning.better
    side = sides.get(metric.partition("/")[2].partition("/")[0], better)
    return better if side == _HIGH or better is None else side if side == _LOW else None


REWARD_MODEL_GLOSSARY = {
    "accuracy": Meaning("Accuracy", "pairs whose chosen response scores higher", _HIGH),
    "accuracy/": Meaning("Accuracy by category", "of the pairs of one category", _HIGH),
    "disagreement": Meaning("Disagreement of heads", "pairs that the two score heads order differently", None),
    "agreed_accuracy": Meaning("Accuracy where heads agree", "of the pairs that both order the same", _HIGH),
    "reward_bench": Meaning("RewardBench", "mean of its four sections", _HIGH),
    "reward_bench_2": Meaning("RewardBench 2", "mean of its six subsets, each counts the same", _HIGH),
    "reward_bench_2/": Meaning("RewardBench 2", "the right response scores highest; of Ties 60 % accuracy and 40 % "
        "whether right ones lie closer together than above wrong ones", _HIGH),
    "accuracy_drop/": Meaning("Accuracy lost to a change that leaves the meaning", "before minus after, of the pairs "
        "that it changes; /phrases_in_X: phrases of a file in one response or both", _LOW),
    "response_only_accuracy": Meaning("Accuracy without the prompt", "far above one half, the responses alone give "
        "the order away", None),
    "length_correlation": Meaning("Margin and length", "rank correlation with the difference in characters", None),
    "format_correlation": Meaning("Margin and format", "rank correlation with the difference in Markdown", None),
    "insertion/": Meaning("Score gained by a phrase in front", "above a neutral phrase, in mean margins; should be "
        "near 0", None),
    "phrase_gain": Meaning("Score gained by a phrase of the file", "by the response that has it, above neutral words, "
        "in mean margins; should be near 0", None),
    "best_of_": Meaning("Best of n", "true quality of what is chosen from n", _HIGH),
}  # fmt: skip
