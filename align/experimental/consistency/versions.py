"""Rows of a batch once more with another prompt, and where their answers stand in both."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from align.experimental.consistency.prompts import Prompt, other_prompt
from rewards.scoring.families import Family

IGNORED = -100
Tokenise = Callable[..., list[int]]
Batch = dict[str, Any]


class Changed(NamedTuple):
    """A row with another prompt."""

    ids: list[int]  # the answer at their end
    start: int  # place of the answer's first token in them
    clean_start: int  # the same in the row as it is
    compared: list[bool]  # which of the answer's tokens are learnt, and so compared


class VersionMaker:
    """Changes prompts of rows, differently at every visit; what is drawn depends on seed, step and row only.

    `tokenise` is told the prompt and the `settings` of a row; what is beyond `max_length` is not compared.
    """

    def __init__(
        self,
        families: Sequence[Family],
        prompts: Sequence[Prompt],
        tokenise: Tokenise,
        max_length: int | None,
        seed: int,
        settings: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        self.families, self.prompts, self.settings = families, prompts, settings
        self.tokenise, self.max_length, self.seed = tokenise, max_length, seed

    def change(self, row: int, ids: Sequence[int], labels: Sequence[int], step: int) -> Changed | None:
        """Puts the answer of a row behind another prompt; None if there is no other, or nothing to compare.

        The answer keeps its tokens: they are those behind the clean prompt. Where the end of the prompt has merged
        with its first token, that end has to be the same in the other prompt. Labels are `IGNORED` where nothing is
        learnt.
        """
        changed = other_prompt(
            self.families, {"prompt": self.prompts[row]}, random.Random(f"{self.seed}/{step}/{row}")
        )
        if changed is None:
            return None
        told = {} if self.settings is None else self.settings[row]
        before, after = self.tokenise(self.prompts[row], **told), self.tokenise(changed, **told)
        start = _common_prefix(before, ids)
        merged = before[start:]
        if merged and after[-len(merged) :] != merged:
            return None
        after = after[: len(after) - len(merged)]
        room = len(ids) if self.max_length is None else max(self.max_length - len(after), 0)
        answer = list(ids[start:])[:room]
        compared = [label != IGNORED for label in labels[start:]][:room]
        if not (start and after and any(compared)):
            return None
        return Changed(after + answer, len(after), start, compared)

    def extend(self, batch: Batch, rows: Sequence[int], step: int, pad_id: int) -> dict[str, Tensor]:
        """Adds changed rows behind those of a batch in place, `(B, S)` padded on the right, with nothing to learn.

        Returns `rows`, `(C,)` places of the clean rows; `clean_starts` and `starts`, `(C,)` of the answers in both;
        and `compared`, `(C, T)`.
        """
        ids, labels, mask = (batch[name] for name in ("input_ids", "labels", "attention_mask"))
        lengths = mask.sum(1).tolist()
        found = [
            (place, changed)
            for place, (row, length) in enumerate(zip(rows, lengths, strict=True))
            if (changed := self.change(row, ids[place, :length].tolist(), labels[place, :length].tolist(), step))
        ]
        width = max([ids.shape[1], *(len(changed.ids) for _, changed in found)])
        longest = max((len(changed.compared) for _, changed in found), default=0)
        more = [torch.tensor(changed.ids, device=ids.device) for _, changed in found]
        batch["input_ids"] = _stack(ids, more, width, pad_id)
        batch["labels"] = _stack(labels, [torch.full_like(each, IGNORED) for each in more], width, IGNORED)
        batch["attention_mask"] = _stack(mask, [torch.ones_like(each) for each in more], width, 0)
        compared = torch.zeros(len(found), longest, dtype=torch.bool)
        for number, (_, changed) in enumerate(found):
            compared[number, : len(changed.compared)] = torch.tensor(changed.compared)
        numbers = [(place, changed.clean_start, changed.start) for place, changed in found]
        columns = torch.tensor(numbers, dtype=torch.long).reshape(-1, 3).T.to(ids.device)
        made = dict(zip(("rows", "clean_starts", "starts"), columns, strict=True))
        return made | {"compared": compared.to(ids.device)}


def _stack(rows: Tensor, more: Sequence[Tensor], width: int, value: int) -> Tensor:
    padded = [pad(rows, (0, width - rows.shape[1]), value=value)]
    return torch.cat([*padded, *(pad(each[None], (0, width - len(each)), value=value) for each in more)])


def _common_prefix(ids: Sequence[int], others: Sequence[int]) -> int:
    """Counts the tokens that both begin with: where TRL has the answer begin."""
    return next((i for i, (a, b) in enumerate(zip(ids, others, strict=False)) if a != b), min(len(ids), len(others)))
