"""What a policy learnt to prefer on pairs, how far it moved, and what a judge prefers."""

from dataclasses import dataclass

from align.evaluation.options import OfPolicies, WithAdapter, WithDecoding, WithJudge, WithReference
from align.evaluation.statistics.glossary import HIGH, LOW
from align.evaluation.suite import Suite
from align.options import Media


@dataclass(frozen=True, kw_only=True)
class PairSuiteOptions(WithAdapter, WithJudge, WithReference, WithDecoding, Media, OfPolicies):
    """What is measured."""


_MEANINGS = {
    "implicit_reward_accuracy": ("Implicit-reward accuracy", "pairs whose chosen response gains more log-prob over "
        "the reference; a tie is half", HIGH),
    "implicit_reward_accuracy/": ("Implicit-reward accuracy", "of tokens that tell the responses apart only", HIGH),
    "implicit_reward_accuracy_by_group/": ("Implicit-reward accuracy in a group", "of the pairs of one group", HIGH),
    "worst_group/implicit_reward_accuracy": ("Worst group of pairs", "lowest accuracy of a group", HIGH),
    "logp_change/": ("Change of log-prob from the reference", "log-prob minus the reference's, in nats: of responses, "
        "marked tokens, and unmarked ones (shared)", None),
    "kl_per_token/": ("KL to the reference per token", "KL(reference || model) per token of a response, in nats", LOW),
    "judged_win_rate/": ("Judged win rate", "responses preferred to X's by the judge, mean of orders; a tie is "
        "half", HIGH),
    "judged_ties/": ("Judged ties", "pairs that the judge calls equal in both orders, or that are", None),
}  # fmt: skip

PAIRS = Suite(
    name="pairs",
    about="Implicit-reward accuracy and KL on pairs of responses, and what a judge prefers.",
    rows="pairs",
    options=PairSuiteOptions,
    load="align.evaluation.suites.pairs.evaluation:load",
    measure="align.evaluation.suites.pairs.evaluation:measure",
    finish="align.evaluation.suites.pairs.evaluation:finish",
    reads=("pairs",),
    adapters="align.data.pairs.preference_adapters:PREFERENCE_ADAPTERS",
    makes_prompts=False,
    verb="Reading with",
    items="pairs",
    meanings=_MEANINGS,
)
