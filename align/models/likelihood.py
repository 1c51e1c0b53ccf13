from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch.nn.functional import cross_entropy

from align.models.rope_lengths import forget_lengths, read_together
from align.models.second_pass.forward import image_fields
from align.models.second_pass.shared_prompts import pad_rows

MOST_TOKENS = 2_048  # of a forward pass, padding included: a vocabulary of 150,000 then takes 1.2 GB of float32


class Tokens(NamedTuple):
    """A text in tokens that are scored, behind a prompt of one token at least."""

    prompt: Sequence[int]
    text: Sequence[int]
    images: Mapping[str, Any] = {}  # what the processor made of the prompt's images


def token_nll(
    model: Any,
    rows: Sequence[Tokens],
    *,
    pad_token_id: int,
    most_tokens: int = MOST_TOKENS,
) -> list[list[float]]:
    """Computes the negative log-likelihood of each token of the texts, in nats, as float32.

    The model is in evaluation mode. A pass has `most_tokens`, padding included; a longer row is read alone, and so is
    one with images, because every model lays out those of several another way.
    """
    found: list[list[float]] = [[] for _ in rows]
    plain = [i for i, row in enumerate(rows) if not row.images]
    lengths = [len(rows[i].prompt) + len(rows[i].text) for i in plain]
    batches = [[plain[j] for j in batch] for batch in batched_by_length(lengths, most_tokens, read_together(model))]
    batches += [[i] for i, row in enumerate(rows) if row.images]
    for batch in batches:
        forget_lengths(model)
        ids, mask = pad_rows([[*rows[i].prompt, *rows[i].text] for i in batch], pad_token_id, "right", model.device)
        fields = image_fields(rows[batch[0]].images, ids)
        with torch.no_grad():
            logits = model(input_ids=ids, attention_mask=mask, use_cache=False, **fields).logits
        for place, i in enumerate(batch):
            start, end = len(rows[i].prompt), len(rows[i].prompt) + len(rows[i].text)
            scored = logits[place, start - 1 : end - 1].float()
            found[i] = cross_entropy(scored, ids[place, start:end], reduction="none").tolist()
    return found


def batched_by_length(lengths: Sequence[int], most_tokens: int, name: Callable[[int], object]) -> list[list[int]]:
    """Puts rows of similar length and one name together, the longest first: memory that is too small shows at once."""
    batches: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        first = lengths[batches[-1][0]] if batches else 0
        if batches and (len(batches[-1]) + 1) * first <= most_tokens and name(first) == name(lengths[i]):
            batches[-1].append(i)
        else:
            batches.append([i])
    return batches
