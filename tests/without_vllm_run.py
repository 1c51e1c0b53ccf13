"""Runs a script in a process that leaves out vLLM, which takes longer to import than its steps: `... SCRIPT WORDS`.

As in the processes of tests, imports look for no garbage, full collections pass over what is imported, and accelerate
does not read from the disk in each step which packages are installed.
"""

import atexit
import functools
import gc
import runpy
import sys
from pathlib import Path

from align.training.mended import leave_out_vllm

if __name__ == "__main__":
    del sys.argv[0]
    sys.path.insert(0, str(Path(sys.argv[0]).parent))
    gc.disable()
    leave_out_vllm()
    import trl  # noqa: F401  # also where no vLLM is installed
    from accelerate.utils import imports

    imports._is_package_available = functools.cache(imports._is_package_available)
    gc.freeze()
    atexit.register(gc.unfreeze)
    gc.enable()
    runpy.run_path(sys.argv[0], run_name="__main__")
