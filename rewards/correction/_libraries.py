"""Loads the statistics libraries when they are needed; `import rewards` stays light."""

import importlib
from typing import Any


def library(module: str) -> Any:
    """Imports a module of the extra `deconfound`.

    Raises:
        ImportError: If it is not installed; the message names the extra.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0].replace("sklearn", "scikit-learn")
        raise ImportError(
            f"`rewards.correction` needs {package}, which is not installed ({error}). "
            'Install it with `pip install "truealign[deconfound]"`.'
        ) from error
