"""What a policy answers to multiple-choice questions, whether it stays with it, and what that owes to its trace."""

from dataclasses import dataclass

from align.evaluation.options import ByEngine, OfPolicies, Sampled, Worded
from align.evaluation.suite import Suite
from align.options import Media, option


@dataclass(frozen=True, kw_only=True)
class QuestionOptions(Worded, Sampled, ByEngine, Media, OfPolicies):
    """What is measured."""

    adapter: str | None = option(None, "Public schema of the questions, such as arc or mmlu.")
    prompt_template: str | None = option(None, "The prompt, with {question} and {options} once each.")
    suite: list[str] | None = option(
        None,
        "accuracy consistency rotation reliance (all four if not given), modality (too, where questions have images), "
        "best_of_n, lm-eval:TASK (a name or a YAML file); several words.",
    )
    num_shuffles: int = option(4, "Shuffles of each question's options.")
    common_group: str | None = option(None, "Group in which a shortcut helps, for the counter-drop.")
    counter_group: str | None = option(None, "Group in which the shortcut leads astray.")
    judge: str | None = option(None, "Model that reads from traces which option they state.")
    verifier: str | None = option(None, "best_of_n: scalar reward model that chooses; else the shuffles survived.")
    verifier_threshold: float = option(0.0, "Rewards above it are accepted.", rare=True)


QUESTIONS = Suite(
    name="questions",
    about="Accuracy, consistency under shuffles and reliance on the trace, on multiple-choice questions.",
    rows="multiple-choice questions",
    options=QuestionOptions,
    evaluation="align.evaluation.suites.questions.evaluation:QuestionEvaluation",
    reads=("multiple-choice questions",),
)
