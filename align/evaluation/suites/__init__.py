"""All suites, the only list of them, and what their metrics say. A suite is one folder with its record."""

from collections.abc import Mapping
from functools import cache

from align import plugins
from align.evaluation.statistics.glossary import SHARED, Meaning, entry_of
from align.evaluation.suite import Suite
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


class OurSuites:
    """Our suites, and by their names those of installed packages: each is a function of its options.

    Example: `align.evaluate.questions(model="outputs/run", data="questions.jsonl", out="outputs/evaluation")`.
    """

    questions = QUESTIONS
    prompts = PROMPTS
    tools = TOOLS
    tool_reliance = TOOL_RELIANCE
    pairs = PAIRS
    reward_model = REWARD_MODEL
    core_advantage = CORE_ADVANTAGE
    drift = DRIFT
    faithfulness = FAITHFULNESS
    perturbation = PERTURBATION
    references = REFERENCES
    reversal = REVERSAL

    def __getattr__(self, name: str) -> Suite[...]:
        """Returns the suite of an installed package."""
        if name not in all_suites():
            raise AttributeError(f"There is no suite `{name}`. There are: {', '.join(all_suites())}.")
        return all_suites()[name]


evaluate = OurSuites()
SUITES: dict[str, Suite[...]] = {each.name: each for each in vars(OurSuites).values() if isinstance(each, Suite)}


@cache
def all_suites() -> dict[str, Suite[...]]:
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
