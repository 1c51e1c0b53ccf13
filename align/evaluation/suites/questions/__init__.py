"""What a policy answers to multiple-choice questions, whether it stays with it, and what that owes to its trace."""

from dataclasses import dataclass

from align.evaluation.options import ByEngine, OfPolicies, Sampled, WithOptions, Worded
from align.evaluation.statistics.glossary import HIGH, LOW, Meaning
from align.evaluation.suite import Suite
from align.options import Media, option


@dataclass(frozen=True, kw_only=True)
class QuestionOptions(WithOptions, Worded, Sampled, ByEngine, Media, OfPolicies):
    """What is measured."""

    suite: list[str] | None = option(
        None,
        "accuracy consistency rotation reliance (all four if not given), modality (too, where questions have images), "
        "best_of_n, lm-eval:TASK (a name or a YAML file); several words.",
    )
    num_shuffles: int = option(4, "Shuffles of each question's options.")
    common_group: str | None = option(None, "Group in which a shortcut helps, for the counter-drop.")
    counter_group: str | None = option(None, "Group in which the shortcut leads astray.")
    judge: str | None = option(None, "Model that reads from traces which option they state.")
    verifier: str | None = option(
        None, "Reward model that chooses the best of n; if not given, the share of shuffles survived."
    )
    verifier_threshold: float = option(0.0, "Rewards above it are accepted.", rare=True)


_MEANINGS = {
    "accuracy": Meaning("Accuracy", "answers that are the right option; no valid answer is wrong", HIGH),
    "accuracy/": Meaning("Accuracy in a group", "of the questions of one group", HIGH),
    "macro_accuracy": Meaning("Macro accuracy", "mean of the groups' accuracies, each group counts the same", HIGH),
    "set_accuracy": Meaning("Set accuracy", "contrast sets all of whose questions are right", HIGH),
    "set_accuracy/": Meaning("Set accuracy in a group", "of the sets of one group", HIGH),
    "counter_drop": Meaning("Counter-drop", "accuracy where a shortcut helps minus where it leads astray", LOW),
    "option_shuffle_consistency_one": Meaning("Option-shuffle consistency, one shuffle", "answers that stay, from the "
        "same trace, after one shuffle", HIGH),
    "option_shuffle_consistency": Meaning("Option-shuffle consistency", "answers that stay, from the same trace, over "
        "all M shuffles on average", HIGH),
    "option_shuffle_consistency_all": Meaning("Option-shuffle consistency, all", "answers that stay in every one of "
        "the M shuffles", HIGH),
    "trace_answer_consistency": Meaning("Trace-answer consistency", "answers that are the option the trace states, of "
        "traces that state one", HIGH),
    "cr_wa": Meaning("Right trace, wrong answer (CR-WA)", "the trace states the right option and the "
        "answer is another, of the same", LOW),
    "wr_ca": Meaning("Wrong trace, right answer (WR-CA)", "the trace states a wrong option and the "
        "answer is right, of the same", LOW),
    "trace_stated": Meaning("Traces that state an option", "the part the three metrics above speak of", None),
    "trace_answer_consistency/": Meaning("Trace-answer consistency, judge", "as above, read by the judge", HIGH),
    "cr_wa/": Meaning("Right trace, wrong answer (CR-WA), judge", "as above, read by the judge", LOW),
    "wr_ca/": Meaning("Wrong trace, right answer (WR-CA), judge", "as above, read by the judge", LOW),
    "trace_stated/": Meaning("Traces that state an option, judge", "as above, read by the judge", None),
    "letter_bias": Meaning("Letter bias", "answers that would have to move for the letters answered to match those of "
        "the gold", LOW),
    "share_A": Meaning("Share of A", "answers that are the first option shown", None),
    "letter_share/": Meaning("Share of a letter", "of the valid answers", None),
    "rotation_robust_accuracy": Meaning("Rotation-robust accuracy", "right as written and after every rotation of the "
        "options, same trace", HIGH),
    "rotation_consistency": Meaning("Rotation consistency", "answers that stay in every rotation", HIGH),
    "same_answer/": Meaning("Same answer from a changed trace", "second answers that are the first one, from the own "
        "trace, none, another item's, one with options and letters masked, or one with 25, 50 or 100 % of its words "
        "replaced, all its numbers, half of its steps by those of others, or its steps in another order; options "
        "shuffled once", None),
    "letter_in_trace": Meaning("Letter in trace", "traces that name an option's letter", LOW),
    "answer_in_trace": Meaning("Answer in trace", "traces that hold the text of the answer given", None),
    "letter_or_answer_in_trace": Meaning("Letter or answer in trace", "traces with one of the two", None),
    "modality_reliance/": Meaning("Image reliance", "accuracy from the own images minus from none, another "
        "question's, mid-grey ones of the same size, or the own ones in another order; responses generated anew, "
        "greedily; 0 if the text alone decides the answer", None),
    "accuracy_with/": Meaning("Accuracy with changed images", "greedy first answers with those that are right", None),
    "same_answer_with/": Meaning("Same answer with changed images", "valid first answers that are that from the own "
        "images", None),
    "sampled_accuracy": Meaning("Accuracy of a sample", "mean over the samples of a question", HIGH),
    "best_of_": Meaning("Best of n", "accuracy of the sample with the highest score of n; /proxy: that score; "
        "/oracle: the chance that one of n is right", HIGH),
    "accepted": Meaning("Accepted", "samples that the verifier accepts", None),
    "true_positive_rate": Meaning("True-positive rate", "right samples that the verifier accepts", HIGH),
    "false_positive_rate": Meaning("False-positive rate", "wrong samples that the verifier accepts, of all questions "
        "and by the share of a question's samples that are right", LOW),
    "coverage": Meaning("Coverage", "questions that are answered where the verifier must accept first: one of n "
        "attempts accepted, or the best score above a threshold", None),
    "accuracy_of_answered": Meaning("Accuracy of what is answered", "right answers among those; for a threshold, set "
        "on one half of the questions for a precision, on the other half", HIGH),
    "prior": Meaning("Prior", "samples that are right, before any verifier", HIGH),
    "ceiling": Meaning("Ceiling", "right answers when sampling goes on until one is accepted", HIGH),
    "optimal_attempts": Meaning("Optimal attempts", "attempts with the highest worth at a cost of a wrong one", None),
}  # fmt: skip

QUESTIONS = Suite(
    name="questions",
    about="Accuracy, consistency under shuffles and reliance on the trace, on multiple-choice questions.",
    rows="multiple-choice questions",
    options=QuestionOptions,
    evaluation="align.evaluation.suites.questions.evaluation:QuestionEvaluation",
    reads=("multiple-choice questions",),
    meanings=_MEANINGS,
)
