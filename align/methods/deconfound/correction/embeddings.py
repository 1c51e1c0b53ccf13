"""Embeddings of texts by a language model of the user's, in place of TF-IDF."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from align.models.at_hand import require_model
from align.models.pretrained import load_pretrained
from align.models.reading import reading_model, refuse_unfit

BATCH = 32  # texts at once
LONGEST = 512  # tokens that are read of a text


def embed(texts: Sequence[str], model: str) -> NDArray[np.float32]:
    """Averages the last hidden states of an `AutoModel` over the tokens of each text, `(N, D)`."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    require_model(model)
    with reading_model(model, "embedding model"):
        tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=False)
        network, info = load_pretrained(AutoModel, model, output_loading_info=True)
    unpooled = [name for name in info["missing_keys"] if not name.startswith("pooler.")]  # embeddings are means
    refuse_unfit(model, info | {"missing_keys": unpooled})
    network.eval()
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else "cpu"
    network = network.to(device)
    distinct, codes = np.unique(np.asarray(texts, dtype=str), return_inverse=True)
    order = np.argsort([len(text) for text in distinct])
    found: dict[int, NDArray[np.float32]] = {}
    for start in range(0, len(order), BATCH):
        places = order[start : start + BATCH]
        inputs = tokenizer(
            [str(distinct[place]) for place in places], padding=True, truncation=True, max_length=LONGEST,
            return_tensors="pt", return_token_type_ids=False,
        ).to(device)  # fmt: skip
        with torch.no_grad():
            states = network(**inputs).last_hidden_state
        mask = inputs["attention_mask"][..., None]
        means = ((states * mask).sum(1) / mask.sum(1)).float().cpu().numpy()
        found.update(zip(places.tolist(), means, strict=True))
    return np.stack([found[place] for place in range(len(distinct))])[codes]
