"""The suites that bring rows of their own, and the only list of them. A suite is one folder with its record."""

from align.evaluation.suites.core_advantage import CORE_ADVANTAGE
from align.evaluation.suites.drift import DRIFT
from align.evaluation.suites.faithfulness import FAITHFULNESS
from align.evaluation.suites.perturbation import PERTURBATION
from align.evaluation.suites.references import REFERENCES
from align.evaluation.suites.reversal import REVERSAL
from align.evaluation.suites.suite import RowSuite

_SUITES = (CORE_ADVANTAGE, DRIFT, FAITHFULNESS, PERTURBATION, REFERENCES, REVERSAL)
ROW_SUITES: dict[str, RowSuite] = {suite.name: suite for suite in _SUITES}
