import pytest
import torch
from tiny import tiny_model

from align.models.likelihood import Tokens, token_nll


def by_hand(model, ids, start):
    """NLL of the tokens from `start`, of one text alone, in float64."""
    logits = model.double()(torch.tensor([ids])).logits[0]
    log_probs = logits - torch.log(torch.exp(logits).sum(-1, keepdim=True))
    return [-log_probs[place - 1, ids[place]].item() for place in range(start, len(ids))]


@pytest.mark.parametrize("most_tokens", [1, 24, 2_048])
def test_the_nll_of_a_padded_batch_is_that_of_each_text_alone(most_tokens):
    rows = [Tokens([5, 6, 7], [8, 9, 10, 11]), Tokens([5], [20]), Tokens([9] * 10, [30, 31, 4])]
    found = token_nll(tiny_model().eval(), rows, pad_token_id=0, most_tokens=most_tokens)
    expected = [by_hand(tiny_model().eval(), [*row.prompt, *row.text], len(row.prompt)) for row in rows]
    assert [len(each) for each in found] == [4, 1, 3]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)
