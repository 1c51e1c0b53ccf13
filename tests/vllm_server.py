"""A real vLLM server on the CPU, for as long as a test needs it."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def serve(folder: Path, log: Path, *, max_length: int, flags: Sequence[str] = (), **environment: str) -> Iterator[str]:
    """Serves a model folder under the name `tiny`.

    Args:
        folder: The model and its tokenizer.
        log: File for what the server prints.
        max_length: Tokens of a prompt and its answer.
        flags: More words of the command line.
        environment: More variables.
    """
    port = _free_port()
    variables = {
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "MASTER_PORT": str(_free_port()),
    }
    module = ["vllm.entrypoints.openai.api_server", "--model", folder, "--served-model-name", "tiny", "--port", port]
    limits = ["--enforce-eager", "--max-model-len", max_length, "--max-num-seqs", "8"]
    command = ["timeout", "--kill-after=10", "560", sys.executable, "-m", *module, *limits, *flags]
    with log.open("w") as output:
        server = subprocess.Popen(
            [*map(str, command)],
            env=os.environ | variables | environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        url = f"http://127.0.0.1:{port}/v1"
        _wait_for(f"{url}/models", server, log)
        yield url
    finally:
        server.terminate()
        try:
            server.wait(30)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _wait_for(url: str, server: subprocess.Popen, log: Path, seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            assert server.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(1)
