import json
import os
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from align.checks.machine import ports
from align.checks.machine.ports import check_port, check_ports, is_free


@contextmanager
def occupied():
    with socket.socket() as listener:
        listener.bind(("", 0))
        listener.listen()
        yield listener.getsockname()[1]


class Healthy(BaseHTTPRequestHandler):
    reply = {"status": "ok"}

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(self.reply).encode())

    def log_message(self, *args):
        pass


@contextmanager
def server(reply):
    handler = type("Handler", (Healthy,), {"reply": reply})
    with HTTPServer(("", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running.server_port
        running.shutdown()
        thread.join()


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


@pytest.mark.parametrize(("reply", "level"), [({"status": "ok"}, "ok"), ({"files": []}, "warning")])
def test_a_vllm_server_of_trl_may_hold_its_port_and_another_server_may_not(reply, level):
    with server(reply) as port:
        assert ports._check_server(port).level == level
