"""Settings that configs of all methods that learn from pairs have."""

from dataclasses import dataclass, field

SHARING: dict[str, tuple[str, ...]] = {"share_prompts": ("auto", "off")}


@dataclass
class ShareConfig:
    """How the two responses of a pair are read; with `off` each is read behind a prompt of its own."""

    share_prompts: str = field(
        default="auto",
        metadata={
            "help": "`auto` reads the prompt of a pair once where that is cheaper and gradients stay equal; `off` "
            "twice, as TRL does."
        },
    )
