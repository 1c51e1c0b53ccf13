"""Settings that configs of all methods that sample have."""

from dataclasses import dataclass, field

SKIPPING: dict[str, tuple[str, ...]] = {"skip_without_advantage": ("auto", "off")}


@dataclass
class SkipConfig:
    """What the update leaves out; with `off` it is TRL's."""

    skip_without_advantage: str = field(
        default="auto",
        metadata={
            "help": "`auto` leaves completions whose advantage is 0, and padding, out of the update where the "
            "gradient stays TRL's up to rounding; `off` computes what TRL does, bit for bit."
        },
    )
