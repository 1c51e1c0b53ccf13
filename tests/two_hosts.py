"""Two hosts on one machine: a network namespace and a host name each, and a cable between them."""

import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from started import ROOT

PORT = 29517


def why_not() -> str | None:
    """Says why this machine cannot play two hosts, None if it can."""
    if shutil.which("ip") is None or shutil.which("unshare") is None:
        return "needs `ip` and `unshare`"
    name = f"align-{uuid.uuid4().hex[:8]}"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True).returncode:
        return "network namespaces are not allowed here"
    subprocess.run(["ip", "netns", "del", name], check=True)
    return None


class TwoHosts:
    """Hosts `host-0` and `host-1`; processes that still run are killed at the end."""

    def __init__(self, name: str) -> None:
        self._spaces = [f"{name}-0", f"{name}-1"]
        self._links = [f"{name[-6:]}-0", f"{name[-6:]}-1"]
        self.processes: list[subprocess.Popen[str]] = []

    def cable(self) -> None:
        """Connects them."""
        (first, second), (one, two) = self._spaces, self._links
        for space in self._spaces:
            _ip("netns", "add", space)
        _ip("link", "add", one, "netns", first, "type", "veth", "peer", "name", two, "netns", second)
        for number, (space, link) in enumerate(zip(self._spaces, self._links, strict=True), 1):
            _ip("-n", space, "addr", "add", f"10.77.0.{number}/24", "dev", link)
            _ip("-n", space, "link", "set", link, "up")
            _ip("-n", space, "link", "set", "lo", "up")

    def cut(self) -> None:
        """Pulls the cable."""
        _ip("-n", self._spaces[1], "link", "set", self._links[1], "down")

    def launch(self, host: int, config: str, *words: object, cwd: Path = ROOT) -> subprocess.Popen[str]:
        """Starts one host's `accelerate launch` with a file of `ds_configs/`, one process on each host."""
        launcher = [
            sys.executable, "-m", "accelerate.commands.launch", "--config_file",
            str(ROOT / "ds_configs" / config), "--num_machines", "2", "--num_processes", "2", "--machine_rank",
            str(host), "--main_process_ip", "10.77.0.1", "--main_process_port", str(PORT), "--rdzv_backend", "static",
            *(("--deepspeed_multinode_launcher", "standard") if config.startswith("zero") else ()),
            *map(str, words),
        ]  # fmt: skip
        named = 'hostname "$0" && exec "$@"'
        inside = ["ip", "netns", "exec", self._spaces[host], "unshare", "-u", "sh", "-c", named, f"host-{host}"]
        variables = {"GLOO_SOCKET_IFNAME": self._links[host], "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(
            [*inside, *launcher], cwd=cwd, env=os.environ | variables, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        self.processes.append(process)
        return process

    def remove(self) -> None:
        """Kills what runs, and takes the hosts away."""
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            if process.stdout and not process.stdout.closed:
                process.communicate()
        for space in self._spaces:
            subprocess.run(["ip", "netns", "del", space], capture_output=True)


@contextmanager
def two_hosts() -> Iterator[TwoHosts]:
    """Makes the hosts, and removes them at the end."""
    hosts = TwoHosts(f"align-{uuid.uuid4().hex[:8]}")
    try:
        hosts.cable()
        yield hosts
    finally:
        hosts.remove()


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
