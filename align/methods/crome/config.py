"""Settings of Crome."""

from dataclasses import dataclass, field

from trl import RewardConfig

from align.methods.crome.rules import RULES, check_crome
from align.methods.pairs.config import ShareConfig
from align.recipe.rules import check_choice, check_numbers
from align.recipe.saved_arguments import SavedWithoutSecrets
from align.training.as_in_trl import take_new_names


@dataclass
class CromeConfig(SavedWithoutSecrets, ShareConfig, RewardConfig):
    """Settings of `CromeTrainer`; everything else is TRL's `RewardConfig`.

    Paper (arXiv 2506.16507) to field: lambda is `tie_coef`, BT and PairPM are the `model_type`s. On data without ties,
    and with `share_prompts: off`, a `scalar` model is trained as by TRL's `RewardTrainer`.
    """

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

    def __post_init__(self) -> None:
        """Checks the settings that have no meaning together."""
        for name in RULES.choices:
            check_choice("crome", name, getattr(self, name))
        check_numbers(self, RULES.ranges)
        take_new_names(self)
        super().__post_init__()
        check_crome(self)
