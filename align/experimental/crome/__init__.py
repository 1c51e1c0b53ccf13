"""What was tried beside Crome: a second head, and ODIN as a rival."""

from dataclasses import replace

from align.methods.crome import CROME

EXPERIMENTAL_CROME = replace(
    CROME,
    config_chain=(("align", "experimental/crome/config.py", "ExperimentalCromeConfig"), *CROME.config_chain),
    rules="align.experimental.crome.rules:RULES",
    turned_on="align.experimental.crome.rules:turned_on",
    load="align.experimental.crome.parts:load",
    check="align.experimental.crome.parts:check",
    build="align.experimental.crome.trainer:build",
    report="align.experimental.crome.parts:REPORT",
)
