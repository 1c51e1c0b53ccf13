"""What `evaluation.json` holds of policies that were read on pairs of responses."""

from align.evaluation.record.answers import Answers, Decoded, Run
from align.evaluation.record.policies import Source


class AboutPairs(Run):
    """What was run; `profile` is of the responses that a judge compared, and None without a judge."""

    reference: Source
    judge: Source | None
    profile: Decoded | None
    with_marks: int  # pairs with tokens that tell their responses apart


class PairsRecord(Answers):
    """An evaluation of policies on pairs."""

    about: AboutPairs
