"""Settings of the canary, which configs of all methods that sample have."""

from dataclasses import dataclass, field


@dataclass
class CanaryConfig:
    """Settings of the canary; with `canary_steps: 0`, the default, nothing differs."""

    canary_steps: int = field(
        default=0,
        metadata={
            "help": "Steps after which vLLM writes behind the same prompts again, and its log-probabilities are "
            "compared with the trainer's; also at the first step of a process. With 0 never."
        },
    )
    canary_prompts: int = field(
        default=8,
        metadata={"help": "Prompts of the training data that are drawn for it, by `seed`; each is continued once."},
    )
