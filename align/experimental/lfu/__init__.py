"""Learning from the Undesirable (LfU, arXiv 2511.13052): hidden states that a harmful step hardly changes."""

from dataclasses import replace

from align.methods.sft import SFT

LFU = replace(
    SFT,
    config_chain=(("align", "experimental/lfu/config.py", "LfUConfig"), *SFT.config_chain),
    rules="align.experimental.lfu.rules:RULES",
    turned_on="align.experimental.lfu.rules:turned_on",
    check="align.experimental.lfu.parts:check",
    check_batch="align.experimental.lfu.parts:check_batch",
    footprint="align.experimental.lfu.parts:footprint",
    build="align.experimental.lfu.trainer:build",
    card="align.experimental.lfu.parts:card",
    report="align.experimental.lfu.parts:REPORT",
    console={**SFT.console, "lfu/consistency": "consistency"},
)
