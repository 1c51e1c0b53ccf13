"""All suites, and the only list of them. A suite is one folder with its record."""

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
