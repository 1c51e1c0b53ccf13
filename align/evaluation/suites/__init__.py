"""All suites, the only list of them, and what their metrics say. A suite is one folder with its record."""

from collections.abc import Mapping
from functools import cache

from align import plugins
from align.evaluation.statistics.glossary import SHARED, Meaning, entry_of
from align.evaluation.suite import RowSuite, Suite
from align.evaluation.suites.core_advantage import CORE_ADVANTAGE
from align.evaluation.suites.drift import DRIFT
from align.evaluation.suites.faithfulness import FAITHFULNESS
from align.evaluation.suites.pairs import PAIRS
from align.evaluation.suites.perturbation import PERTURBATION
from align.evaluation.suites.prompts import PROMPTS
from align.evaluation.suites.questions import QUESTIONS
from align.evaluation.suites.references import REFERENCES
from align.evaluation.suites.reversal import REVERSAL
from align.evaluation.suites.reward_model import REWARD_MODEL
from align.evaluation.suites.tool_reliance import TOOL_RELIANCE
from align.evaluation.suites.tools import TOOLS

_ALL: tuple[Suite, ...] = (
    QUESTIONS,
    PROMPTS,
    TOOLS,
    TOOL_RELIANCE,
    PAIRS,
    REWARD_MODEL,
    CORE_ADVANTAGE,
    DRIFT,
    FAITHFULNESS,
    PERTURBATION,
    REFERENCES,
    REVERSAL,
)
SUITES: dict[str, Suite] = {suite.name: suite for suite in _ALL}
ROW_SUITES: dict[str, RowSuite] = {name: suite for name, suite in SUITES.items() if isinstance(suite, RowSuite)}


@cache
def all_suites() -> dict[str, Suite]:
    """Returns our suites and those of installed packages, by name; ours win."""
    return SUITES | plugins.installed(plugins.SUITES, Suite, SUITES)


@cache
def glossary(suite: str | None = None) -> Mapping[str, Meaning]:
    """Collects the sentences about metrics of policies, or those of one suite."""
    if suite is not None:
        return {name: Meaning(*words) for name, words in all_suites()[suite].meanings.items()}
    of_policies = (name for name in all_suites() if name != REWARD_MODEL.name)
    return SHARED | {name: meaning for each in of_policies for name, meaning in glossary(each).items()}


def explain(metric: str) -> Meaning | None:
    """Finds the meaning of a metric of policies.

    Example:
        >>> explain("accuracy/physics").label
        'Accuracy in a group'
    """
    found = entry_of(metric, glossary())
    return None if found is None else glossary()[found]
