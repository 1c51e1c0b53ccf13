"""Whether the evaluation after a pass was made."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any


def lacks_evaluation(setting: Callable[[str], Any], log: Sequence[Mapping[str, Any]], step: int, epoch: float) -> bool:
    """Says whether a pass that ended with a step is to be evaluated, and a log holds no evaluation of that step.

    Args:
        setting: Reads a setting by name.
        log: `log_history` of a trainer's state.
        step: The last one of the pass.
        epoch: Passes over the data.
    """
    if setting("eval_strategy") != "epoch" or setting("eval_delay") > epoch:
        return False
    return not any(entry["step"] == step and any(name.startswith("eval_") for name in entry) for entry in log)
