"""What a trainer has logged, and its weights as one vector."""

import torch


def logged(trainer, key="loss"):
    return [record[key] for record in trainer.state.log_history if key in record]


def weights(trainer):
    """Returns all parameters, one after the other: (P,)."""
    return torch.cat([parameter.detach().flatten() for parameter in trainer.model.parameters()])
