"""Which suite with rows of its own is asked for, and what goes with it."""

from collections.abc import Mapping
from typing import Any

from align.cli.evaluation.tasks import BY_REWARDS, OF_QUESTIONS, OF_SUITES, ON_PAIRS
from align.errors import UserError
from align.evaluation.suites import ROW_SUITES
from align.evaluation.suites.suite import RowSuite

_OF_ALL = {"suite", "system_prompt", "conversational"}  # of what is asked in words of ours
_OF_REFERENCE = {"reference"}
_OF_OPTIONS = {"prompt_template", "adapter"}


def find_row_suite(options: Mapping[str, Any]) -> RowSuite | None:
    """Finds it; None where other suites, or none, are asked for.

    Raises:
        UserError: If it is asked for beside others.
    """
    named = [name for name in options["suite"] if name in ROW_SUITES]
    if not named:
        return None
    if len(options["suite"]) > 1:
        raise UserError(
            f"`--suite {named[0]}` has rows of its own and stands alone, got {' '.join(options['suite'])}. Give one "
            "command for each."
        )
    suite = ROW_SUITES[named[0]]
    if options["data"] is None and not suite.has_rows:
        raise UserError(f"`--suite {suite.name}` needs `--data`: {suite.rows}, with {_columns(suite)}.")
    return suite


def check_suite_options(suite: RowSuite, given: set[str]) -> None:
    """Refuses options that say nothing about a suite.

    Raises:
        UserError: At the first of them.
    """
    takes = _OF_ALL | set(suite.options) | (_OF_REFERENCE if suite.has_reference else set())
    takes |= _OF_OPTIONS if suite.asks_options else set()
    foreign = (OF_QUESTIONS | BY_REWARDS | ON_PAIRS | OF_SUITES) - takes
    if wrong := sorted(given & foreign):
        raise UserError(f"`--{wrong[0]}` does not go with `--suite {suite.name}`. Leave it out.")


def _columns(suite: RowSuite) -> str:
    return ", or ".join(" ".join(names) for names in suite.needs)
