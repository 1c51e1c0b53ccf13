"""What TRL reads of a trainer's settings while it prepares pairs, and nothing else."""

from typing import Any, NamedTuple


class Preparation(NamedTuple):
    """Settings by which TRL tokenises and leaves out pairs.

    `Dataset.filter` names what it keeps after all that its function refers to, and TRL's refer to the settings. With
    all of them each new `output_dir`, seed or learning rate would prepare the rows again, and keep one more copy.
    """

    dataset_num_proc: int | None
    max_length: int | None
    truncation_mode: str | None

    @classmethod
    def of(cls, args: Any) -> Any:
        """Picks them out of a trainer's settings, in whose place they stand."""
        return cls(*(getattr(args, name, None) for name in cls._fields))
