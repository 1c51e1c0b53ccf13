"""Models that a reward function loads for itself while another model is trained in parts."""

from pathlib import Path
from typing import Any

import torch

from align.evaluation.reward_models.reward_model import RewardModel
from align.models.pretrained import whole_weights


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
