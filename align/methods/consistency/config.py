"""Settings of consistency, which configs of several methods have."""

from dataclasses import dataclass, field


@dataclass
class ConsistencyConfig:
    """Settings of consistency; with `consistency_coef: 0`, the default, nothing differs."""

    consistency_coef: float = field(
        default=0.0,
        metadata={
            "help": "Weight of the divergence between the answer's tokens behind the prompt and behind a perturbed "
            "one; with 0 none is computed."
        },
    )
    consistency_families: list[str] | None = field(
        default=None,
        metadata={
            "help": "Families that perturb prompts, `whitespace`, `distractor`, or functions as ./mine.py:function; "
            "by default `whitespace`."
        },
    )
    consistency_divergence: str = field(
        default="js",
        metadata={
            "help": "`js`, the Jensen-Shannon divergence, or `kl`, from the clean side, which is a constant, to the "
            "perturbed one."
        },
    )
