"""Settings of SFT with LfU, or with consistency."""

from dataclasses import dataclass, field
from typing import Any

from trl import SFTConfig

from align.methods.consistency.config import ConsistencyConfig
from align.methods.sft.rules import RULES, check_together, is_plain_sft
from align.recipe.config_numbers import check_numbers
from align.recipe.rules import check_choice
from align.recipe.saved_arguments import SavedWithoutSecrets
from align.training.renamed_settings import take_new_names


@dataclass
class LfUConfig(SavedWithoutSecrets, ConsistencyConfig, SFTConfig):
    """Settings of `LfUTrainer`; everything else is TRL's `SFTConfig`.

    Paper (arXiv 2511.13052) to field: lambda is `lfu_coef` (5 there), alpha is `lfu_alpha`. With `lfu_coef: 0`, the
    default, this is TRL's SFT. With `consistency_coef` of `ConsistencyConfig` above 0 answers behind perturbed prompts
    are compared.
    """

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
        """Checks the settings that have no meaning together.

        Raises:
            TypeError: If a number or a list is something else.
            ValueError: If a setting is outside its choices or range, or LfU cannot be trained with it.
        """
        check_choice("sft", "lfu_mode", self.lfu_mode)
        check_numbers(self, RULES.ranges)
        layers: Any = self.lfu_layers
        if isinstance(layers, int):
            raise TypeError(f"`lfu_layers` must be a list, got {layers}. Write [{layers}].")
        for name, least in (("lfu_coef", 0), ("lfu_alpha", 0), ("lfu_rank", 1)):
            if not getattr(self, name) >= least:
                raise ValueError(f"`{name}` must be {least} or more, got {getattr(self, name)}.")
        take_new_names(self)
        super().__post_init__()
        check_together(self._setting)

    @property
    def is_sft(self) -> bool:
        """Whether nothing is left of LfU, so that TRL's own step is made."""
        return is_plain_sft(self._setting)

    def _setting(self, name: str) -> Any:
        return getattr(self, name)
