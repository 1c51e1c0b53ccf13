"""Whether the two heads of a reward model agree about a completion, as a reward that opens or closes others."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from align.models.reward_model import RewardModel, Text, Values, load_reward_model


def agreement_in_group(scores: Values) -> Values:
    """Returns, of `(2, G)` rewards, `(G,)` shares of others that both heads order alike, minus 0.5; alone 0.5.

    Example:
        >>> agreement_in_group(np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 0.0]]))
        array([ 0. ,  0. , -0.5])
    """
    first, second = (np.sign(head[:, None] - head[None, :]) for head in scores)
    others = scores.shape[1] - 1
    if not others:
        return np.array([0.5])
    return ((first == second).sum(1) - 1) / others - 0.5  # each is alike with itself


class HeadAgreement:
    """Scores completions by the agreement of a reward model's two heads within the completions of the same prompt.

    Above 0 where the heads order a completion alike with more than half of the others, which as a gate
    (`reward_gates`) lets the model's reward count. A group is what a training process has of it.

    Args:
        path: A reward model that was trained with `num_heads: 2`.
        dtype: Type of the loaded weights.
        device: Where to score; the rank's accelerator if there is one.
        batch_size: Sequences per forward pass.
    """

    whole_batch = True  # never one completion at a time, in a worker
    renders_messages = True

    def __init__(self, path: str, dtype: str = "float32", device: str | None = None, batch_size: int = 16) -> None:
        self.__name__ = "head_agreement"
        self._path = path
        self._settings: dict[str, Any] = {"dtype": dtype, "device": device, "batch_size": batch_size}
        self._model: RewardModel | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_model": None}  # loaded where it is needed

    def __call__(self, prompts: Sequence[Text], completions: Sequence[Text], **kwargs: Any) -> list[float]:
        """Returns the agreement about each completion."""
        if self._model is None:
            self._model = load_reward_model(Path(self._path), **self._settings)
        scores = self._model.head_scores(prompts, completions)
        groups: dict[str, list[int]] = defaultdict(list)
        for place, prompt in enumerate(prompts):
            groups[str(prompt)].append(place)
        found = np.empty(len(prompts))
        for places in groups.values():
            found[places] = agreement_in_group(scores[:, places])
        return [float(value) for value in found]
