"""Whether vLLM writes with the weights that are trained: its log-probabilities on fixed prompts and the trainer's."""

from dataclasses import replace

from align.methods.acre import ACRE
from align.methods.grpo import GRPO

CANARY_GRPO, CANARY_ACRE = (
    replace(
        method,
        config_chain=(
            ("align", "experimental/canary/trainer.py", f"Canary{method.name.upper()}Config"),
            ("align", "experimental/canary/config.py", "CanaryConfig"),
            *method.config_chain,
        ),
        rules="align.experimental.canary.config:RULES",
        turned_on="align.experimental.canary.config:turned_on",
        build=f"align.experimental.canary.trainer:build_{method.name}",
        report=f"align.experimental.canary.report:OF_{method.name.upper()}",
    )
    for method in (GRPO, ACRE)
)
