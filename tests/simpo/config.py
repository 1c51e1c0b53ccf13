from dataclasses import dataclass, field

from trl import DPOConfig


@dataclass
class SimPOConfig(DPOConfig):
    gamma: float = field(default=0.5, metadata={"help": "Margin that the mean log-probability has to win by."})
