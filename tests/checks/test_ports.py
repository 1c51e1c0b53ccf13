import os
import socket
from contextlib import contextmanager

import pytest
from http_answers import answering

from align.checks.machine import _check_server, check_port, check_ports, is_free


@contextmanager
def occupied():
    with socket.socket() as listener:
        listener.bind(("", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_port_in_use_is_a_warning_that_names_the_process_and_a_free_port():
    with occupied() as port:
        found = check_port(port, "of tests", "use --port {free}")
        assert found.level == "warning"
        assert f"(process {os.getpid()})" in found.text
        other = int(found.fix.rpartition(" ")[2])
        assert other > port
        assert is_free(other)
    assert check_port(port, "of tests", "").level == "ok"


def test_the_ports_are_those_of_torch_and_of_trl(monkeypatch):
    monkeypatch.delenv("MASTER_PORT", raising=False)
    assert [finding.numbers["port"] for finding in check_ports()] == [29500, 8000, 51216]
    monkeypatch.setenv("MASTER_PORT", "29777")
    assert check_ports()[0].numbers["port"] == 29777


MODELS = {"data": [{"id": "policy", "root": "org/policy"}]}


@pytest.mark.parametrize(
    ("answers", "level", "words"),
    [
        (
            {"/health": None, "/v1/models": MODELS, "/version": {"version": "0.31.0"}},
            "ok",
            "org/policy on vLLM 0.31.0",
        ),
        ({"*": {"status": "ok"}}, "warning", "is in use by"),
        ({"/health": None}, "warning", "is in use by"),
        ({"*": {"files": []}}, "warning", "is in use by"),
        ({}, "warning", "is in use by"),
    ],
)
def test_a_vllm_server_may_hold_its_port_and_another_server_may_not(answers, level, words):
    with answering(answers) as port:
        found = _check_server(port)
    assert (found.level, words in found.text) == (level, True), found.text
