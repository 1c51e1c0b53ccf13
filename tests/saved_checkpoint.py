"""Checkpoints as a run writes them, without a run."""

from pathlib import Path

from align.runs.checkpoints import write_manifest

FILES = {
    "model.safetensors": b"weights" * 50,
    "config.json": b"{}",
    "optimizer.pt": b"moments" * 90,
    "scheduler.pt": b"rate",
    "rng_state.pth": b"dice",
    "trainer_state.json": b'{"global_step": 1}',
}


def save_checkpoint(folder: Path, step: int, **facts) -> Path:
    """Writes a checkpoint and its manifest; `facts` replace some of it."""
    checkpoint = folder / f"checkpoint-{step}"
    checkpoint.mkdir(parents=True, exist_ok=True)
    for name, content in FILES.items():
        (checkpoint / name).write_bytes(content)
    plain = {"max_steps": 4, "epoch": 0.5, "processes": 1, "sharding": "none", "resumable": True}
    write_manifest(checkpoint, plain | {"step": step} | facts)
    return checkpoint
