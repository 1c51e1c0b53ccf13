"""Models that a reward function loads for itself while another model is trained in parts."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers.integrations import deepspeed as deepspeed_state

from align.evaluation.reward_models.reward_model import RewardModel


def load_reward_model(
    path: str | Path, *, dtype: str = "float32", device: str | torch.device | None = None, **settings: Any
) -> RewardModel:
    """Loads a reward model for use in a reward function, whole on every rank that asks, also under ZeRO-3.

    Args:
        path: What a trainer of reward models saved.
        dtype: Type of the loaded weights.
        device: Where to score; the rank's accelerator if there is one.
        **settings: As in `RewardModel`.

    Returns:
        The model; `score(prompts, responses)` may be called on one rank alone.

    Raises:
        UserError: If the path cannot be loaded, or holds something else than a reward model.
    """
    with whole_weights():
        return RewardModel.load(path, dtype=dtype, device=device, **settings)


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
