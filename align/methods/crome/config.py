"""Settings of Crome."""

from dataclasses import dataclass, field

from trl import RewardConfig

from align.methods.crome.rules import RULES
from align.methods.pairs.config import ShareConfig
from align.training.as_in_trl import CheckedConfig


@dataclass
class CromeConfig(CheckedConfig, ShareConfig, RewardConfig):
    """Settings of `CromeTrainer`; everything else is TRL's `RewardConfig`.

    Paper (arXiv 2506.16507) to field: lambda is `tie_coef`, BT and PairPM are the `model_type`s. On data without ties,
    and with `share_prompts: off`, a `scalar` model is trained as by TRL's `RewardTrainer`.
    """

    RULES = RULES

    tie_coef: float = field(
        default=1.0, metadata={"help": "Weight of the tie loss on pairs without an order (neutral augmentations)."}
    )
    model_type: str = field(
        default="scalar",
        metadata={
            "help": "`scalar` gives each answer a reward (Bradley-Terry); `pairwise` reads both answers and predicts "
            "the letter of the better one (the paper's PairPM)."
        },
    )
