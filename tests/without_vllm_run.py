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

from align.training.imports import load_libraries

if __name__ == "__main__":
    del sys.argv[0]
    sys.path.insert(0, str(Path(sys.argv[0]).parent))
    gc.disable()
    load_libraries(without_vllm=True)
    from accelerate.utils import imports

    imports._is_package_available = functools.cache(imports._is_package_available)
    gc.freeze()
    atexit.register(gc.unfreeze)
    gc.enable()
    runpy.run_path(sys.argv[0], run_name="__main__")
