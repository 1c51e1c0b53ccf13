"""Where transformers reads the score of a text, for what looks at the same token."""

import torch
from torch import Tensor


def score_places(input_ids: Tensor, pad_token_id: int) -> Tensor:
    """Finds the last token of each row that is not padding, `(B,)`.

    Where the end token fills rows up, that is the one before it: `GenericForSequenceClassification` of transformers
    5.17 looks at tokens, and not at the mask.

    Example:
        >>> score_places(torch.tensor([[5, 6, 1, 1], [5, 6, 7, 1]]), pad_token_id=1)
        tensor([1, 2])
    """
    places = torch.arange(input_ids.shape[-1], device=input_ids.device)
    return (places * (input_ids != pad_token_id)).argmax(-1)
