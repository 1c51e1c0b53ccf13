"""A GPU that is pretended: tensors of this CPU which say that they are there, and may not meet those which are not.

What would mix the two on a GPU fails here, with the call. Numbers are those of the CPU; kernels, memory and streams
are not tried.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map_only

GPU = torch.device("cuda", 0)
_SAID = {"device": GPU, "is_cuda": True, "is_cpu": False}
_SAID_BY = {getattr(torch.Tensor, name).__get__: value for name, value in _SAID.items()}
_DATA = torch.Tensor.data.__set__
_COPIES = (torch.Tensor.copy_, torch.Tensor.grad.__set__, torch._has_compatible_shallow_copy_type, _DATA)
_INDEXED = (torch.Tensor.__getitem__, torch.Tensor.__setitem__)  # there, by what may be here


def is_there(value: Any) -> bool:
    """Says whether a tensor is on the pretended GPU."""
    return getattr(value, "_is_there", False)


def _put(tensor: torch.Tensor, there: bool = True) -> torch.Tensor:
    tensor._is_there = there
    return tensor


class _Placed(TorchFunctionMode):
    """Notes for each tensor where it is: where it was asked for, or where what it was computed from is."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        there = bool(args) and is_there(args[0])
        if func in _SAID_BY:
            return _SAID_BY[func] if there else func(*args)
        if func is torch.Tensor.get_device:
            return 0 if there else -1
        if func is torch.Tensor.numpy and there:
            raise TypeError("A tensor on the pretended GPU was made an array.")
        if func is torch.Tensor.cpu:
            return args[0].clone() if there else args[0]
        if func is torch.Tensor.to:
            return _moved(there, *args, **kwargs)
        device = kwargs.get("device")
        if device is None:
            to = func not in _COPIES and _meeting(func, args, kwargs)
        else:
            to = torch.device(device).type == GPU.type
        result = func(*args, **kwargs | ({"device": "cpu"} if to and device is not None else {}))
        if func == _DATA:
            _put(args[0], is_there(args[1]))
        elif to:
            tree_map_only(torch.Tensor, _put, result)
        return result


def _meeting(func: Any, *given: Any) -> bool:
    """Says whether a call computes on the pretended GPU; numbers of this machine may take part, and nothing larger."""
    tensors = [value for value in tree_leaves(given) if isinstance(value, torch.Tensor)]
    if not any(map(is_there, tensors)):
        return False
    here = [tuple(tensor.shape) for tensor in tensors if not is_there(tensor) and tensor.dim()]
    if here and not (func in _INDEXED and is_there(given[0][0])):
        raise RuntimeError(f"{func} got tensors on the pretended GPU and, of shapes {here}, on the CPU.")
    return True


def _moved(there: bool, tensor: torch.Tensor, *args: Any, copy: bool = False, **kwargs: Any) -> torch.Tensor:
    """Does what `tensor.to` is asked for."""
    if others := [value for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor)]:
        to, dtype = is_there(others[0]), others[0].dtype
    else:
        device, dtype, *_ = torch._C._nn._parse_to(*args, **kwargs)
        if device is not None and device.type == "meta":
            return tensor.to(*args, **kwargs)
        to = there if device is None else device.type == GPU.type
    return _put(tensor.to(dtype or tensor.dtype, copy=copy or to != there), to)


class _Generator(torch.Generator):
    def __new__(cls, device: Any = "cpu") -> torch.Generator:
        return super().__new__(cls)


@contextmanager
def pretended_gpu() -> Iterator[None]:
    """Has trainers take the pretended GPU for that of this machine."""
    from trl.kernels import chunked_logprob
    from trl.trainer import base_trainer
    from trl.trainer import utils as trl_losses

    AcceleratorState._reset_state(reset_partial_state=True)
    with pytest.MonkeyPatch.context() as patch, _Placed():
        patch.setenv("ACCELERATE_TORCH_DEVICE", str(GPU))
        patch.setattr("accelerate.state.check_cuda_p2p_ib_support", lambda: True)
        patch.setattr(base_trainer._BaseTrainer, "_send_telemetry", lambda trainer: None)  # names the GPU
        # Triton needs a GPU. The rest of TRL does what it does there: it scores no token without a label, for one.
        patch.setattr(chunked_logprob, "_use_triton", lambda device: False)
        patch.setattr(trl_losses, "_supports_trl_loss_kernel", lambda *logits: False)
        patch.setattr(torch, "Generator", _Generator)
        patch.setattr(torch.cuda, "set_device", lambda device: None)
        patch.setattr(torch.cuda, "get_rng_state", lambda device=GPU: torch.get_rng_state())
        patch.setattr(torch.cuda, "set_rng_state", lambda state, device=GPU: None)
        yield
    AcceleratorState._reset_state(reset_partial_state=True)
