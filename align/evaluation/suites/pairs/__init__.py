"""What a policy learnt to prefer on pairs, how far it moved, and what a judge prefers."""

from dataclasses import dataclass

from align.evaluation.options import Adapted, Decoded, Judged, OfPolicies, Referenced
from align.evaluation.statistics.glossary import HIGH, LOW, Meaning
from align.evaluation.suite import Suite
from align.options import Media


@dataclass(frozen=True, kw_only=True)
class PairOptions(Adapted, Judged, Referenced, Decoded, Media, OfPolicies):
    """What is measured."""


_MEANINGS = {
    "implicit_reward_accuracy": Meaning("Implicit-reward accuracy", "pairs whose chosen response gains more log-prob "
        "over the reference; a tie is half", HIGH),
    "implicit_reward_accuracy/": Meaning("Implicit-reward accuracy", "of the tokens that tell the responses apart "
        "only, of pairs with such", HIGH),
    "implicit_reward_accuracy_by_group/": Meaning("Implicit-reward accuracy in a group", "of the pairs of one "
        "group", HIGH),
    "worst_group/implicit_reward_accuracy": Meaning("Worst group of pairs", "implicit-reward accuracy of the group "
        "with the lowest one", HIGH),
    "logp_change/": Meaning("Change of log-prob from the reference", "log-prob minus the reference's, in nats: of "
        "responses, marked tokens, and unmarked ones (shared)", None),
    "kl_per_token/": Meaning("KL to the reference per token", "KL(reference || model) of next-token distributions, "
        "mean over the tokens of a response, in nats", LOW),
    "judged_win_rate/": Meaning("Judged win rate", "responses the judge prefers to X's; a tie is half, mean of both "
        "orders", HIGH),
    "judged_ties/": Meaning("Judged ties", "pairs that the judge calls equal in both orders, or that are", None),
}  # fmt: skip

PAIRS = Suite(
    name="pairs",
    about="Implicit-reward accuracy and KL on pairs of responses, and what a judge prefers.",
    rows="pairs",
    options=PairOptions,
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
