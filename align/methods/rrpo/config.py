"""Settings of RRPO."""

from dataclasses import dataclass, field

from trl import DPOConfig

from align.methods.pairs.config import ShareConfig
from align.methods.rrpo.rules import RULES, is_plain_dpo
from align.training.as_in_trl import CheckedConfig


@dataclass
class RRPOConfig(CheckedConfig, ShareConfig, DPOConfig):
    """Settings of `RRPOTrainer`; everything else is TRL's `DPOConfig`.

    Paper (arXiv 2504.12083) to field: beta is `beta`, alpha is `kl_coef`, the phrases y_i are the `spans`. The paper
    uses beta 0.1-0.9, alpha 0.01-0.05 and, with LoRA, learning rates about ten times those of DPO.

    With `spans: whole` and `kl_coef: 0` this is TRL's DPO. `spans: whole` alone is the paper's "RRPO without
    sub-sequence rewards", `kl_coef: 0` alone its "RRPO without KL".
    """

    RULES = RULES

    kl_coef: float = field(
        default=0.01,
        metadata={"help": "Weight of the KL to the reference, summed over the tokens of the chosen response."},
    )
    kl_placement: str = field(
        default="loss",
        metadata={
            "help": "`loss` adds the KL of the chosen response to the loss (RRPO); `margin` compares the KL of both "
            "responses inside the sigmoid, as TDPO does (arXiv 2404.11999)."
        },
    )
    spans: str = field(
        default="differing",
        metadata={
            "help": "Tokens that are rewarded: those that `differing` responses do not share (from character offsets, "
            "else <MASK> tags, else a diff), or the `whole` response, as in DPO."
        },
    )
    diff_unit: str = field(
        default="word", metadata={"help": "Unit of the diff of rows without spans of their own: `word`, or `token`."}
    )
    on_missing_spans: str = field(
        default="drop",
        metadata={
            "help": "What happens to pairs with nothing to mark: `drop` leaves them out and counts them, `whole` "
            "marks the whole responses, as DPO does."
        },
    )

    @property
    def is_dpo(self) -> bool:
        """Whether nothing is left of RRPO, so that TRL's own loss is computed."""
        return is_plain_dpo(self)
