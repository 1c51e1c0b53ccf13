"""What rewards say of a policy's answers to prompts."""

from dataclasses import dataclass

from align.evaluation.options import ByEngine, OfPolicies, Sampled
from align.evaluation.statistics.glossary import HIGH, Meaning
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
        None,
        "Value of a reward from which a response is right, for pass@k and maj@k; 1 if the reward gives only 0 and 1.",
    )
    pass_at_k: list[str] | None = option(None, "Each k; 1 and `num_samples` if not given.")


@dataclass(frozen=True, kw_only=True)
class PromptOptions(ByRewards, Sampled, ByEngine, Media, OfPolicies):
    """What is kept for reward models to choose from."""

    samples_out: str | None = option(
        None,
        "New .jsonl file for the samples of `--model`, as `--best_of_n` of a reward model reads them; their quality "
        "is the first reward of which more is better.",
    )


_MEANINGS = {
    "worst_group/": Meaning("Worst group", "pass@1 of the group with the lowest one, by reward", HIGH),
    "reward/": Meaning("Mean reward", "mean over the samples of a prompt, then over prompts; /X: of one group", HIGH),
    "pass@": Meaning("pass@k", "chance that one of k samples is right, unbiased (Chen et al., 2021); right is a "
        "reward of 1, of those that are 0 or 1, or of at least `--right_from`", HIGH),
    "maj@": Meaning("maj@k", "chance that the answer which most of k samples state is right, ties broken at random; "
        "responses that state none do not vote", HIGH),
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
