"""The score head of a reward model: which token it reads, and what a folder says of it beside the weights, as JSON.

The weights themselves are those of an ordinary reward model, which any library reads.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from align.errors import UserError

HEAD_FILE = "truealign_head.json"
DIFFERENCE, OF_LENGTH = "difference", "of_length"


def write_head(folder: Path, terms: Mapping[str, Sequence[float]]) -> None:
    """Writes numbers, one for each feature, by name."""
    text = json.dumps({name: [*values] for name, values in terms.items()})
    (folder / HEAD_FILE).write_text(f"{text}\n", encoding="utf-8")


def read_head(file: Path, name: str, size: int) -> list[float]:
    """Reads the numbers of a name."""
    try:
        terms = json.loads(file.read_text(encoding="utf-8"))
        values = [float(value) for value in terms[name]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file} cannot be read as numbers named {name!r}: {error!r}. Save the model anew.") from error
    if len(values) != size:
        raise UserError(f"{file} has {len(values)} numbers named {name!r} for {size} features. Save the model anew.")
    return values


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
