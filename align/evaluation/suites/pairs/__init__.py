"""What a policy learnt to prefer on pairs, how far it moved, and what a judge prefers."""

from dataclasses import dataclass

from align.evaluation.options import Decoded, OfPolicies
from align.evaluation.suite import Suite
from align.options import Media, option


@dataclass(frozen=True, kw_only=True)
class PairOptions(Decoded, Media, OfPolicies):
    """What is measured."""

    adapter: str | None = option(None, "Public schema of the pairs.")
    reference: str | None = option(
        None,
        "The model that log-probs are compared with; an adapter's base, the model of the run's recipe, or the only "
        "baseline if not given.",
    )
    judge: str | None = option(None, "Model that says which of two responses is better.")


PAIRS = Suite(
    name="pairs",
    about="Implicit-reward accuracy and KL on pairs of responses, and what a judge prefers.",
    rows="pairs",
    options=PairOptions,
    evaluation="align.evaluation.suites.pairs.evaluation:PairEvaluation",
    reads=("pairs",),
)
