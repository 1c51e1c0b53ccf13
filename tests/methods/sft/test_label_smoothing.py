"""Label smoothing of a recipe is TRL's `label_smoothing_factor`, which does what its formula says."""

import pytest
import torch
from test_lfu import TOKENIZER, make_rows, make_trainer
from tiny import tiny_model


def by_hand(rows, factor):
    """Returns (1 - e) * nll + e * mean over the vocabulary of the negative log-probs, over the completions' tokens."""
    model, terms = tiny_model(vocabulary=len(TOKENIZER)), []
    for row in rows:
        prompt = TOKENIZER(row["prompt"])["input_ids"]
        ids = torch.tensor([*prompt, *TOKENIZER(row["completion"])["input_ids"], TOKENIZER.eos_token_id])
        with torch.no_grad():
            found = -model(ids[None]).logits[0].log_softmax(-1)
        for place in range(len(prompt), len(ids)):
            scores = found[place - 1]
            terms.append((1 - factor) * scores[ids[place]] + factor * scores.mean())
    return torch.stack(terms).mean().item()


@pytest.mark.parametrize("factor", [0.0, 0.3])
def test_the_loss_is_the_formula(tmp_path, factor):
    rows = make_rows(4)
    trainer = make_trainer(tmp_path, rows=rows, max_steps=1, learning_rate=0.0, label_smoothing_factor=factor)
    trainer.train()
    assert trainer.state.log_history[0]["loss"] == pytest.approx(by_hand(rows, factor), abs=1e-4)
