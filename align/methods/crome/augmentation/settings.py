from collections.abc import Sequence
from dataclasses import dataclass

from align.data.pairs.phrases import FRONT, check_position
from align.data.pairs.reward_pairs import NEUTRAL
from align.errors import UserError
from align.methods.crome.augmentation.neutrals import INSERTED
from align.methods.crome.augmentation.oracle import NUM_ATTRIBUTES
from align.methods.pairs.augmentation.settings import SamplingSettings, check_choice

NO_NEUTRALS = "none"
TIES_OF = ("any", "original")


@dataclass(frozen=True, kw_only=True)
class CromeSettings(SamplingSettings):
    """What decides the pairs of `--method crome`."""

    num_attributes: int = NUM_ATTRIBUTES  # those of the largest weight, along which answers are edited
    neutrals: Sequence[str] = ("irrelevant_query",)  # kinds of ties, names in `NEUTRAL`
    ties_of: str = "any"  # whose answers an irrelevant query gets: of `any` pair (the paper), or of the `original` one
    phrases: Sequence[str] = ()  # of `inserted_phrase`
    position: str = FRONT  # of the phrase, one of `POSITIONS`
    temperature: float = 0.0
    max_new_tokens: int = 2048

    def __post_init__(self) -> None:
        """Checks the values."""
        super().__post_init__()
        if not 1 <= self.num_attributes <= NUM_ATTRIBUTES:
            raise UserError(f"`num_attributes` must lie between 1 and {NUM_ATTRIBUTES}, got {self.num_attributes}.")
        check_choice("ties_of", self.ties_of, TIES_OF)
        check_position(self.position)
        for name in self.neutrals:
            check_choice("neutrals", name, (*NEUTRAL, NO_NEUTRALS))
        if NO_NEUTRALS in self.neutrals and len(self.neutrals) > 1:
            raise UserError(f"`neutrals` has {NO_NEUTRALS} beside other kinds. Leave one of them out.")
        if INSERTED in self.neutrals and not self.phrases:
            raise UserError(
                f"`neutrals` has {INSERTED}, and there are no phrases. Give a file of them with `--phrases`, such as "
                "the `phrases.txt` of `align eval --mine`."
            )
        if self.phrases and INSERTED not in self.neutrals:
            raise UserError(f"`phrases` are put in by ties of the kind {INSERTED} only. Add it to `neutrals`.")
        if self.position != FRONT and not self.phrases:
            raise UserError("`position` says where phrases are put, and there are none. Give `--phrases`.")
        # In a fixed order, so that the same kinds make the same data whichever is named first.
        object.__setattr__(self, "neutrals", [name for name in NEUTRAL if name in self.neutrals])
