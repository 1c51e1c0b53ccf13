"""What all processes say of the rows of a batch, for means that are logged."""

from accelerate import Accelerator
from torch import Tensor


def gather_rows(accelerator: Accelerator, rows: Tensor, in_training: bool) -> Tensor:
    """Gathers `(B, ...)` of all processes, without the rows that fill the last batch of a pass up.

    transformers fetches all batches of a step before it computes the first, and accelerate takes the loader for ended
    as soon as the last is fetched: it would cut each of them.
    """
    if in_training and not accelerator.sync_gradients:  # not the last batch of its step
        return accelerator.gather(rows)
    return accelerator.gather_for_metrics(rows)
