"""Scripts of `scripts/`, each loaded as `python -m` would load it from the root."""

import importlib
from functools import cache
from types import ModuleType

import pytest
from started import ROOT


@cache
def load_script(name: str) -> ModuleType:
    """Imports a script by its name below `scripts`, wherever the tests run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        return importlib.import_module(f"scripts.{name}")
