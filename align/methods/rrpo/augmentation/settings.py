"""Settings of `align augment --method rrpo`."""

from dataclasses import dataclass

from align.errors import UserError
from align.methods.pairs.augmentation.settings import SamplingSettings, check_at_least_one, check_choice
from align.methods.rrpo.augmentation.options import PairOptions
from align.methods.rrpo.augmentation.perturbations import PERTURBATIONS
from align.methods.rrpo.augmentation.wordings import WORDINGS


@dataclass(frozen=True, kw_only=True)
class PairSettings(PairOptions, SamplingSettings):
    """What decides the pairs of `--method rrpo`; names are those of `PERTURBATIONS` and `WORDINGS`."""

    temperature: float = 0.7
    max_new_tokens: int = 128

    def __post_init__(self) -> None:
        """Checks the values."""
        check_choice("perturbation", self.perturbation, list(PERTURBATIONS))
        check_choice("wording", self.wording, WORDINGS)
        check_at_least_one("num_samples", self.num_samples)
        super().__post_init__()
        if self.temperature == 0 and self.num_samples > 1:
            raise UserError(
                f"`temperature` 0 gives the same response {self.num_samples} times. Set `--num_samples 1`, or a "
                "temperature above 0."
            )
