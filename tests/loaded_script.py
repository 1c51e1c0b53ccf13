"""Scripts of `scripts/`, each loaded as a run from that folder would load it, with those beside it."""

import importlib
from functools import cache
from types import ModuleType

import pytest
from started import ROOT


@cache
def load_script(name: str) -> ModuleType:
    """Imports a script; the folder does not stay on the path, where its names would hide those of packages."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts"))
        return importlib.import_module(name)
