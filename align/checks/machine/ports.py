"""Whether the ports that TRL and torch use are free, and if not, who holds them."""

import os
import socket

from align.checks.finding import Finding
from align.models.vllm_server import ask_server, is_older_server
from align.recipe.fields import chain_fields
from align.versions import installed_version

_MASTER = 29500  # torch's and accelerate's default


def check_ports() -> list[Finding]:
    """Tries the port on which processes meet, and the two of TRL's vLLM server, at their defaults."""
    fields = chain_fields((("trl", "trainer/grpo_config.py", "GRPOConfig"),))
    server, group = (int(fields[f"vllm_{name}_port"].default) for name in ("server", "group"))
    master = int(os.environ.get("MASTER_PORT") or _MASTER)
    return [
        check_port(master, "of several processes of a run", "accelerate launch --main_process_port {free} ..."),
        _check_server(server),
        check_port(group, "for the weights of TRL's vLLM server", "--vllm_group_port {free}"),
    ]


def check_port(port: int, purpose: str, instead: str) -> Finding:
    """Tries to listen on a port; in use is a warning, since another one, `{free}` in `instead`, will do."""
    if is_free(port):
        return Finding("ok", "ports", f"Port {port} ({purpose}) is free.", {"port": port, "free": True})
    free = next((other for other in range(port + 1, port + 100) if is_free(other)), port + 100)
    text = f"Port {port} ({purpose}) is in use{_holder(port)}. Choose another:"
    return Finding("warning", "ports", text, {"port": port, "free": False}, instead.format(free=free))


def is_free(port: int) -> bool:
    """Says whether this machine can listen on a port, on all its addresses."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that was just left is free
        try:
            listener.bind(("", port))
        except OSError:
            return False
        return True


def _check_server(port: int) -> Finding:
    instead = "vllm serve ... --port {free}  # and in the recipe vllm_server_port: {free}"
    return (None if is_free(port) else _vllm_server(port)) or check_port(port, "of the vLLM server", instead)


def _vllm_server(port: int) -> Finding | None:
    """Looks for `vllm serve`, which `trl vllm-serve` starts since TRL 1.16, and for the server that it was before."""
    url, numbers = f"http://127.0.0.1:{port}", {"port": port, "free": False}
    try:
        served = ask_server(url)
    except OSError:
        return None
    except ValueError:
        if not is_older_server(url):
            return None
        text = (
            f"Port {port}: a vLLM server of an older TRL answers. TRL {installed_version('trl')} trains with "
            f"`vllm serve` only. Stop it, and start:"
        )
        fix = (
            f'VLLM_SERVER_DEV_MODE=1 vllm serve MODEL --port {port} --weight-transfer-config \'{{"backend": "nccl"}}\''
        )
        return Finding("warning", "ports", text, numbers, fix)
    text = (
        f"Port {port}: a vLLM server answers, with {served.root} on vLLM {served.version or 'of an unknown version'}."
    )
    return Finding("ok", "ports", text, numbers)


def _holder(port: int) -> str:
    """Names the process that listens on a port, if this user may know."""
    import psutil

    try:
        listening = [
            c for c in psutil.net_connections("inet") if c.status == psutil.CONN_LISTEN and c.laddr.port == port
        ]
        pids = [connection.pid for connection in listening if connection.pid]
        return f" by {psutil.Process(pids[0]).name()} (process {pids[0]})" if pids else ""
    except psutil.Error:
        return ""
