"""What rewards say of a policy's answers to prompts."""

from dataclasses import dataclass

from align.evaluation.options import ByEngine, OfPolicies, WithSamples
from align.evaluation.statistics.glossary import HIGH
from align.evaluation.suite import Suite
from align.options import Media, option


@dataclass(frozen=True, kw_only=True)
class ByRewards:
    """What is measured."""

    rewards: list[str] | None = option(
        None,
        "Names, file.py:function or reward models, several words; by default the recipe's rewards and audits.",
    )
    reward_kwargs: str = option("", "Settings of rewards, such as '{number_accuracy: {rel_tol: 0.01}}'.")
    reward_workers: int | None = option(None, "Processes that call rewards; else the recipe's, or none.")
    reward_timeout: float | None = option(None, "Seconds for one response, with `--reward_workers`.")
    right_from: float | None = option(
        None,
        "Reward from which a response is right (pass@k, maj@k); 1 if it is binary.",
    )
    pass_at_k: list[str] | None = option(None, "Each k; 1 and `num_samples` if not given.")


@dataclass(frozen=True, kw_only=True)
class PromptOptions(ByRewards, WithSamples, ByEngine, Media, OfPolicies):
    """What is kept for reward models to choose from."""

    samples_out: str | None = option(
        None,
        "New .jsonl file of samples for `--best_of_n`; quality: first reward where more is better.",
    )


_MEANINGS = {
    "worst_group/": ("Worst group", "pass@1 of the group with the lowest one, by reward", HIGH),
    "reward/": ("Mean reward", "mean over the samples of a prompt, then over prompts; /X: of one group", HIGH),
    "pass@": ("pass@k", "chance that one of k samples is right (reward at least `--right_from`), unbiased", HIGH),
    "maj@": ("maj@k", "chance that the majority answer of k samples is right; ties broken at random", HIGH),
}  # fmt: skip

PROMPTS = Suite(
    name="prompts",
    about="Rewards, pass@k and maj@k of answers to prompts.",
    rows="prompts and rewards",
    options=PromptOptions,
    load="align.evaluation.suites.prompts.evaluation:load",
    measure="align.evaluation.suites.prompts.evaluation:measure",
    finish="align.evaluation.suites.prompts.evaluation:finish",
    reads=("prompts",),
    told_by="rewards",
    makes_prompts=False,
    items="answers",
    meanings=_MEANINGS,
)
