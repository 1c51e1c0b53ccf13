"""Adapters that go on in the type in which they train."""

from functools import partial
from typing import Any

from accelerate.utils import is_peft_model


def keep_adapter_dtype(trainer: Any) -> None:
    """Has an adapter read its checkpoints without a change of type.

    TRL trains adapters of quantized weights in bfloat16, and PEFT would make them float32 as it reads a checkpoint:
    the run would go on with other numbers than the one that was never stopped.
    """
    if is_peft_model(trainer.model):
        trainer.model.load_adapter = partial(trainer.model.load_adapter, autocast_adapter_dtype=False)
