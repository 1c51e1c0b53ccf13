"""Settings of Crome's experiments."""

from dataclasses import dataclass, field

from align.experimental.crome.rules import RULES
from align.methods.crome.config import CromeConfig


@dataclass
class ExperimentalCromeConfig(CromeConfig):
    """`CromeConfig` with second heads, which are off by default."""

    RULES = RULES

    odin_coef: float = field(
        default=0.0,
        metadata={
            "help": "ODIN, a rival: weight of the correlations with length of two heads, of which the one that goes "
            "with length is dropped; 0 has one head."
        },
    )
    num_heads: int = field(
        default=1,
        metadata={
            "help": "1, or 2 score heads that learn the same labels and are made to tell unlabelled pairs apart "
            "independently (`dataset.unlabelled_path`). The reward is their mean."
        },
    )
    disagreement_coef: float = field(
        default=1.0,
        metadata={"help": "With two heads, weight of the mutual information of their orders of unlabelled pairs."},
    )
