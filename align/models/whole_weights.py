"""Whole weights for a model that is not trained, while another one is trained in parts."""

from collections.abc import Iterator
from contextlib import contextmanager

from transformers.integrations import deepspeed as deepspeed_state


@contextmanager
def whole_weights() -> Iterator[None]:
    """Lets `from_pretrained` load whole weights while DeepSpeed trains with ZeRO-3.

    transformers 5 splits every model it loads over the ranks once ZeRO-3 is configured, and a model that no DeepSpeed
    engine holds is then left with empty weights ("'weight' must be 2-D").
    """
    kept = deepspeed_state._hf_deepspeed_config_weak_ref  # there is no public way to put it back
    deepspeed_state.unset_hf_deepspeed_config()
    try:
        yield
    finally:
        deepspeed_state._hf_deepspeed_config_weak_ref = kept
