"""Loads the statistics libraries when they are needed; `import rewards` stays light."""

import importlib
from typing import Any

from rewards.extras import EXTRAS, missing, remedy


def library(module: str) -> Any:
    """Imports a module of the extra `deconfound`, or of what every install has.

    Raises:
        ImportError: If it is not installed, or broken; the message names the extra.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        if package not in EXTRAS["deconfound"]:
            raise
        needs = f"`rewards.correction` needs {EXTRAS['deconfound'][package]}"
        broken = f"{needs}, which cannot be imported ({error}). {remedy('deconfound')}"
        raise ImportError(missing("deconfound", "`rewards.correction`", package) or broken) from error
