"""What a policy answers to multiple-choice questions, whether it stays with it, and what that owes to its trace."""

from dataclasses import dataclass

from align.evaluation.options import ByEngine, OfPolicies, WithJudge, WithOptions, WithSamples, Worded
from align.evaluation.statistics.glossary import HIGH, LOW
from align.evaluation.suite import Suite
from align.options import Media, option


@dataclass(frozen=True, kw_only=True)
class QuestionOptions(WithJudge, WithOptions, Worded, WithSamples, ByEngine, Media, OfPolicies):
    """What is measured."""

    suite: list[str] | None = option(
        None,
        "accuracy consistency rotation reliance (these by default), modality (with images), best_of_n.",
    )
    num_shuffles: int = option(4, "Shuffles of each question's options.")
    verifier: str | None = option(
        None, "Reward model that chooses the best of n; by default the share of shuffles survived."
    )


_MEANINGS = {
    "accuracy": ("Accuracy", "answers that are the right option; no valid answer is wrong", HIGH),
    "accuracy/": ("Accuracy in a group", "of the questions of one group", HIGH),
    "macro_accuracy": ("Macro accuracy", "mean of the groups' accuracies, each group counts the same", HIGH),
    "set_accuracy": ("Set accuracy", "contrast sets all of whose questions are right", HIGH),
    "set_accuracy/": ("Set accuracy in a group", "of the sets of one group", HIGH),
    "option_shuffle_consistency_one": ("Option-shuffle consistency, one shuffle", "answers that stay, from the same "
        "trace, after one shuffle", HIGH),
    "option_shuffle_consistency": ("Option-shuffle consistency", "answers that stay, from the same trace, over all M "
        "shuffles on average", HIGH),
    "option_shuffle_consistency_all": ("Option-shuffle consistency, all", "answers that stay in all M shuffles", HIGH),
    "trace_answer_consistency": ("Trace-answer consistency", "answers that the trace states, where it states "
        "one", HIGH),
    "cr_wa": ("Right trace, wrong answer (CR-WA)", "right option stated, another one answered, of the same", LOW),
    "wr_ca": ("Wrong trace, right answer (WR-CA)", "wrong option stated, right one answered, of the same", LOW),
    "trace_stated": ("Traces that state an option", "the part the three metrics above speak of", None),
    "trace_answer_consistency/": ("Trace-answer consistency, judge", "as above, read by the judge", HIGH),
    "cr_wa/": ("Right trace, wrong answer (CR-WA), judge", "as above, read by the judge", LOW),
    "wr_ca/": ("Wrong trace, right answer (WR-CA), judge", "as above, read by the judge", LOW),
    "trace_stated/": ("Traces that state an option, judge", "as above, read by the judge", None),
    "letter_bias": ("Letter bias", "answers that would have to move for their letters to match the gold's", LOW),
    "share_A": ("Share of A", "answers that are the first option shown", None),
    "letter_share/": ("Share of a letter", "of the valid answers", None),
    "rotation_robust_accuracy": ("Rotation-robust accuracy", "right as written and after every rotation, same "
        "trace", HIGH),
    "rotation_consistency": ("Rotation consistency", "answers that stay in every rotation", HIGH),
    "same_answer/": ("Same answer from a changed trace", "answers kept when the trace is own, removed, replaced, "
        "masked or corrupted; options shuffled", None),
    "letter_in_trace": ("Letter in trace", "traces that name an option's letter", LOW),
    "answer_in_trace": ("Answer in trace", "traces that hold the text of the answer given", None),
    "letter_or_answer_in_trace": ("Letter or answer in trace", "traces with one of the two", None),
    "modality_reliance/": ("Image reliance", "accuracy from own images minus from none, others, grey or shuffled "
        "ones, answered greedily", None),
    "accuracy_with/": ("Accuracy with changed images", "greedy first answers with those that are right", None),
    "same_answer_with/": ("Same answer with changed images", "valid first answers equal to those from the own "
        "images", None),
    "sampled_accuracy": ("Accuracy of a sample", "mean over the samples of a question", HIGH),
    "best_of_": ("Best of n", "accuracy of the best-scored of n; /proxy: its score; /oracle: any of n is right", HIGH),
}  # fmt: skip

QUESTIONS = Suite(
    name="questions",
    about="Accuracy, consistency under shuffles and reliance on the trace, on multiple-choice questions.",
    rows="multiple-choice questions",
    options=QuestionOptions,
    load="align.evaluation.suites.questions.evaluation:load",
    measure="align.evaluation.suites.questions.evaluation:measure",
    finish="align.evaluation.suites.questions.evaluation:finish",
    reads=("multiple-choice questions",),
    items="answers",
    meanings=_MEANINGS,
)
