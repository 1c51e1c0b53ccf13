"""Loads the statistics libraries when they are needed; `import rewards` stays light."""

import importlib
from typing import Any

from rewards.extras import EXTRAS, not_imported


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
        raise ImportError(not_imported("deconfound", "`rewards.correction`", error, package)) from error
