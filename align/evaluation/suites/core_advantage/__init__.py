"""Whether a model prefers the core feature of a question to spurious ones, beyond what it prefers anyway."""

from dataclasses import dataclass

from align.evaluation.options import OwnRows
from align.evaluation.suite import RowSuite
from align.options import option


@dataclass(frozen=True, kw_only=True)
class CoreOptions(OwnRows):
    """What is measured."""

    content_free: str = option("N/A", "The prompt in place of a question, for what a model prefers anyway.")


CORE_ADVANTAGE = RowSuite(
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
)
