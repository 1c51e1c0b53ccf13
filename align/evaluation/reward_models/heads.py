"""The second output of reward models that learnt with two score heads: half of their difference."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers.utils import cached_file

from align.models.score_head import DIFFERENCE, HEAD_FILE, read_head


def read_difference(source: str, model: Any) -> list[float] | None:
    """Reads what two heads differ in from a folder or hub id; None where there is one head.

    Raises:
        UserError: If the file is broken, or of another model.
    """
    found = cached_file(source, HEAD_FILE, _raise_exceptions_for_missing_entries=False)
    if found is None or DIFFERENCE not in json.loads(Path(found).read_text(encoding="utf-8")):
        return None
    return read_head(Path(found), DIFFERENCE, model.score.in_features)


def difference_head(model: Any, difference: Sequence[float]) -> torch.nn.Linear:
    """Makes a score head of the difference, of the type and on the device of the model's own."""
    own = model.score.weight
    head = torch.nn.Linear(len(difference), 1, bias=False, device="meta")
    head.weight = torch.nn.Parameter(torch.tensor([difference], dtype=own.dtype), requires_grad=False)
    return head.to(own.device)


@contextmanager
def with_score_head(model: Any, head: torch.nn.Linear) -> Iterator[None]:
    """Puts another score head into a model for a while."""
    kept, model.score = model.score, head
    try:
        yield
    finally:
        model.score = kept
