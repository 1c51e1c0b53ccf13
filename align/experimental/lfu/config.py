"""Settings of LfU."""

from dataclasses import dataclass, field
from typing import Any

from align.experimental.lfu.rules import RULES, turned_on
from align.methods.sft.config import SFTConfig


@dataclass
class LfUConfig(SFTConfig):
    """Settings of `LfUTrainer`; everything else is TRL's `SFTConfig`.

    Paper (arXiv 2511.13052) to field: lambda is `lfu_coef` (5 there), alpha is `lfu_alpha`. With `lfu_coef: 0`, the
    default, this is TRL's SFT.
    """

    RULES = RULES

    lfu_coef: float = field(
        default=0.0,
        metadata={
            "help": "Weight of the distance between the model's hidden states and those after a step that makes its "
            "loss worse; 0 is plain SFT, the paper uses 5."
        },
    )
    lfu_alpha: float = field(default=0.1, metadata={"help": "Length of that step, over all weights that it moves."})
    lfu_mode: str = field(
        default="params",
        metadata={
            "help": "What the step moves: `params`, the weights that are trained, which are restored afterwards, or "
            "`aux_lora`, a low-rank term beside every linear layer that exists for the step only."
        },
    )
    lfu_layers: list[int] | None = field(
        default=None,
        metadata={"help": "Layers whose hidden states are compared, from 0, or from -1 for the last; by default all."},
    )
    lfu_rank: int = field(default=8, metadata={"help": "Rank of the term of `lfu_mode: aux_lora`."})

    def __post_init__(self) -> None:
        """Checks the layers, too."""
        layers: Any = self.lfu_layers
        if isinstance(layers, int):
            raise TypeError(f"`lfu_layers` must be a list, got {layers}. Write [{layers}].")
        super().__post_init__()

    @property
    def is_sft(self) -> bool:
        """Whether nothing is left of LfU, so that TRL's own step is made."""
        return not turned_on(self)
