"""A process that trains without vLLM does not import it: TRL does wherever it is installed, and that takes seconds."""

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Any

GENERATION = "trl.generation.vllm_generation"  # with its client all of TRL that imports vLLM, each when it is loaded


def leave_out_vllm() -> None:
    """Loads what TRL generates with as if vLLM were not installed; this process cannot use vLLM afterwards."""
    if GENERATION in sys.modules or find_spec("vllm") is None:
        return
    import_utils: Any = import_module("trl.import_utils")
    installed = import_utils.is_vllm_available
    import_utils.is_vllm_available = lambda min_version=None: False
    try:
        import_module(GENERATION)
    finally:
        import_utils.is_vllm_available = installed
