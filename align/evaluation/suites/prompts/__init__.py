"""What rewards say of a policy's answers to prompts."""

from dataclasses import dataclass

from align.evaluation.options import ByEngine, OfPolicies, Sampled
from align.evaluation.suite import Suite
from align.options import Media, option


@dataclass(frozen=True, kw_only=True)
class ByRewards:
    """What is measured."""

    rewards: list[str] | None = option(
        None,
        "Rewards that measure answers to prompts, as `reward_funcs` names them: names, file.py:function, reward "
        "models; several words. By default the rewards and audits of the recipe.",
    )
    reward_kwargs: str = option("", "Settings of rewards, such as '{number_accuracy: {rel_tol: 0.01}}'.")
    reward_workers: int | None = option(None, "Processes that call rewards; else the recipe's, or none.")
    reward_timeout: float | None = option(None, "Seconds for one response, with `--reward_workers`.")
    right_from: float | None = option(
        None, "Value of a reward from which a response is right, for pass@k and maj@k; 1 of rewards that are 0 or 1."
    )
    pass_at_k: list[str] | None = option(None, "Each k; 1 and `num_samples` if not given.")


@dataclass(frozen=True, kw_only=True)
class PromptOptions(ByRewards, Sampled, ByEngine, Media, OfPolicies):
    """What is taken where rewards measure answers to prompts."""


PROMPTS = Suite(
    name="prompts",
    about="Rewards, pass@k and maj@k of answers to prompts.",
    rows="prompts and rewards",
    options=PromptOptions,
    evaluation="align.evaluation.suites.prompts.evaluation:PromptEvaluation",
    reads=("prompts",),
)
