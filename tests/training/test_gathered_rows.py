"""What a real trainer logs of the rows of a step, some of whose batches are not full."""

import torch
from line_trainer import line_trainer
from transformers import Trainer

from align.training.as_in_trl import gather_rows


def test_only_the_last_batch_of_a_pass_is_cut(tmp_path, monkeypatch):
    counted, loss_of = [], Trainer.compute_loss

    def compute_loss(trainer, model, inputs, *args, **kwargs):
        rows = gather_rows(trainer.accelerator, inputs["x"].detach(), model.training)
        counted.append((len(inputs["x"]), len(rows)))
        return loss_of(trainer, model, inputs, *args, **kwargs)

    monkeypatch.setattr(Trainer, "compute_loss", compute_loss)
    trainer = line_trainer(tmp_path, per_device_train_batch_size=2, gradient_accumulation_steps=3, num_train_epochs=2)
    trainer.train()
    assert counted == [(2, 2), (2, 2), (1, 1)] * 2
    counted.clear()
    trainer.evaluate()
    assert sum(rows for _, rows in counted) == len(trainer.eval_dataset)
    assert torch.isfinite(trainer.model.weight).all()
