"""DDPO of RLHF-V as a rival of RRPO: what differs weighs more than what both responses share."""

from dataclasses import replace

from align.methods.rrpo import RRPO

DDPO = replace(
    RRPO,
    config_chain=(
        ("align", "experimental/rrpo/trainer.py", "DDPOConfig"),
        ("align", "experimental/rrpo/config.py", "WeightedSpans"),
        *RRPO.config_chain,
    ),
    rules="align.experimental.rrpo.config:RULES",
    turned_on="align.experimental.rrpo.config:turned_on",
    build="align.experimental.rrpo.trainer:build",
    card="align.experimental.rrpo.trainer:card",
)
