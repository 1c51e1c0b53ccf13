"""Whether a model prefers the core feature of a question to spurious ones, beyond what it prefers anyway."""

from align.evaluation.suites.suite import RowSuite

CORE_ADVANTAGE = RowSuite(
    name="core_advantage",
    rows="questions with a core and spurious options",
    needs=(("question", "core", "spurious"),),
    load="align.evaluation.suites.core_advantage.rows:load",
    measure="align.evaluation.suites.core_advantage.measure:measure",
    headline=("core_preferred", "core_advantage"),
    compared="core_preferred",
    options=("content_free",),
    reads_likelihoods=True,
)
