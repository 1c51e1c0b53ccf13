"""Further prompts in place of those all of whose completions earned the same (DAPO, arXiv 2503.14476)."""

from dataclasses import replace

from align.methods.acre import ACRE
from align.methods.grpo import GRPO

HOME = "align.experimental.resampling"

RESAMPLING_GRPO, RESAMPLING_ACRE = (
    replace(
        method,
        config_chain=(
            ("align", "experimental/resampling/trainer.py", f"Resampling{method.name.upper()}Config"),
            ("align", "experimental/resampling/config.py", "ResamplingConfig"),
            *method.config_chain,
        ),
        rules=f"{HOME}.config:RULES",
        turned_on=f"{HOME}.config:turned_on",
        check=f"{HOME}.parts:check_{method.name}",
        check_batch=f"{HOME}.parts:check_batch",
        build=f"{HOME}.trainer:build_{method.name}",
        report=f"{HOME}.parts:OF_{method.name.upper()}",
    )
    for method in (GRPO, ACRE)
)
