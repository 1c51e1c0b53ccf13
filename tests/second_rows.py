"""Questions of a second pass, and what a plain forward says about them."""

import random

import torch

from align.models.second_pass.forward import SecondPassRow


def make_rows(count: int, seed: int = 0) -> list[SecondPassRow]:
    """Rows of different lengths whose K runs from 2 to 10."""
    rng = random.Random(seed)
    return [
        SecondPassRow(
            prompt_ids=[rng.randrange(3, 100) for _ in range(rng.randrange(5, 90))],
            prefix_ids=[rng.randrange(3, 100) for _ in range(rng.randrange(0, 40))],
            letter_ids=rng.sample(range(3, 100), 2 + i % 9),
        )
        for i in range(count)
    ]


def forward_scores(model, row: SecondPassRow) -> list[float]:
    with torch.no_grad():
        logits = model(torch.tensor([row.prompt_ids + row.prefix_ids])).logits[0, -1]
    return logits[row.letter_ids].log_softmax(-1).tolist()
