"""Checkpoints as a run writes them, without a run."""

import json
from pathlib import Path
from typing import Any

from align.runs.checkpoints import write_manifest

FILES = {
    "model.safetensors": b"weights" * 50,
    "config.json": b"{}",
    "optimizer.pt": b"moments" * 90,
    "scheduler.pt": b"rate",
    "rng_state.pth": b"dice",
    "trainer_state.json": b'{"global_step": 1}',
}


def save_checkpoint(folder: Path, step: int, state: dict[str, Any] | None = None, **facts) -> Path:
    """Writes a checkpoint with the state of its trainer, and its manifest; `facts` replace some of it."""
    checkpoint = folder / f"checkpoint-{step}"
    checkpoint.mkdir(parents=True, exist_ok=True)
    for name, content in FILES.items():
        (checkpoint / name).write_bytes(content)
    if state is not None:
        (checkpoint / "trainer_state.json").write_text(json.dumps(state))
    plain = {"max_steps": 4, "epoch": 0.5, "processes": 1, "sharding": "none", "resumable": True}
    write_manifest(checkpoint, plain | {"step": step} | facts)
    return checkpoint
