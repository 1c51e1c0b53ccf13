"""Whether a model prefers the core feature of a question to spurious ones, beyond what it prefers anyway."""

from dataclasses import dataclass

from align.evaluation.options import OwnRows
from align.evaluation.statistics.glossary import HIGH
from align.evaluation.suite import Suite
from align.options import Media, option


@dataclass(frozen=True, kw_only=True)
class CoreOptions(Media, OwnRows):
    """What is measured."""

    content_free: str = option("N/A", "The prompt in place of a question without images; those are greyed.")


_MEANINGS = {
    "core_preferred": ("Core preferred", "questions that raise core over every spurious option; a tie is half", HIGH),
    "core_preferred/": ("Core preferred in a group", "of the questions of one group", HIGH),
    "core_advantage": ("Core advantage", "core minus likeliest spurious log-prob per token in nats, beyond the "
        "content-free or grey prompt's", HIGH),
    "core_advantage/": ("Core advantage in a group", "of the questions of one group", HIGH),
    "core_margin/": ("Core margin", "the two terms of that difference", None),
}  # fmt: skip

CORE_ADVANTAGE = Suite(
    name="core_advantage",
    about="Whether a model prefers a question's core feature to spurious ones.",
    options=CoreOptions,
    rows="questions with a core and spurious options",
    needs=(("question", "core", "spurious"),),
    load="align.evaluation.suites.core_advantage.measure:load",
    measure="align.evaluation.suites.core_advantage.measure:measure",
    headline=("core_preferred", "core_advantage"),
    compared="core_preferred",
    reads_likelihoods=True,
    meanings=_MEANINGS,
)
