"""Runs a script in a process that leaves out vLLM, which takes longer to import than its steps: `... SCRIPT WORDS`."""

import runpy
import sys
from pathlib import Path

from align.training.without_vllm import leave_out_vllm

if __name__ == "__main__":
    del sys.argv[0]
    sys.path.insert(0, str(Path(sys.argv[0]).parent))
    leave_out_vllm()
    runpy.run_path(sys.argv[0], run_name="__main__")
