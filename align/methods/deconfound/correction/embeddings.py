"""Embeddings of texts by a language model of the user's, in place of TF-IDF."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from align.errors import UserError
from align.models.at_hand import require_model
from align.models.pretrained import load_pretrained


def embed(texts: Sequence[str], model: str, *, batch_size: int = 32, max_length: int = 512) -> NDArray[np.float32]:
    """Averages the last hidden states over the tokens of each text.

    Args:
        texts: N texts; equal ones are read once.
        model: A folder or hub id that transformers can load as `AutoModel`.
        batch_size: Texts at once.
        max_length: Tokens that are read of a text.

    Returns:
        `(N, D)`.

    Raises:
        UserError: If the model cannot be loaded.
    """
    import torch
    from transformers import AutoModel, AutoTokenizer

    require_model(model)
    try:
        tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=False)
        network: Any = load_pretrained(AutoModel, model).eval()
    except (OSError, ValueError) as error:
        reason = str(error).strip().split("\n")[0]
        raise UserError(f"The embedding model {model} cannot be loaded: {reason}") from error
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else "cpu"
    network = network.to(device)
    distinct, codes = np.unique(np.asarray(texts, dtype=str), return_inverse=True)
    order = np.argsort([len(text) for text in distinct])
    found: dict[int, NDArray[np.float32]] = {}
    for start in range(0, len(order), batch_size):
        places = order[start : start + batch_size]
        inputs = tokenizer(
            [str(distinct[place]) for place in places], padding=True, truncation=True, max_length=max_length,
            return_tensors="pt", return_token_type_ids=False,
        ).to(device)  # fmt: skip
        with torch.no_grad():
            states = network(**inputs).last_hidden_state
        mask = inputs["attention_mask"][..., None]
        means = ((states * mask).sum(1) / mask.sum(1)).float().cpu().numpy()
        found.update(zip(places.tolist(), means, strict=True))
    return np.stack([found[place] for place in range(len(distinct))])[codes]
