"""Second answers by a `vllm serve` of its own, and training with it where there is a second GPU.

    python -m scripts.checks.server --model random-large --device cuda --dtype bfloat16 --json server.json
    python -m scripts.checks.server --model random-large --device cuda --dtype bfloat16 --train --json server.json

Without `--train` the server shares the GPU, and no weights are sent: NCCL wants a GPU for each side. `letters` is the
mean difference between the second answers of the server and those of the policy's forward pass, in nats. With
`--train` the server has the last GPU: two steps with second answers by the server and two by the policy, then the
numbers of `engine.py` after weights that were moved and sent.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from accelerate import Accelerator
from transformers import AutoModelForCausalLM, AutoTokenizer

from align.checks.devices import list_gpus
from align.models.second_pass.forward import score_letters
from align.models.second_pass.vllm import second_answers
from align.models.vllm_rejoin import NotingClient, ServerGeneration
from align.models.vllm_server import is_healthy, wait_until_healthy
from scripts.benches.device import add_device, weights
from scripts.benches.random_model import NAMES, random_model
from scripts.checks.engine import (
    SHARE,
    after_an_update,
    make_trainer,
    mean_difference,
    second_rows,
    trained_in_both_ways,
)
from scripts.harness import Options, quiet, write_numbers


class Asking(ServerGeneration):
    """An engine that is asked and never sent weights."""

    def _init_vllm(self) -> None:
        self.vllm_client = NotingClient(base_url=self.server_base_url)


@contextmanager
def served(folder: str, arguments: Namespace) -> Iterator[str]:
    """Serves a model as the page about server mode says, and ends the server with all its processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # It has a session of its own, so that nothing ends it where this process is killed.
    words = ["timeout", "--kill-after=5", "600", sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    command = [*words, "--model", folder, "--port", str(port)]
    command += ["--logprobs-mode", "processed_logprobs", "--max-model-len", "1024", "--dtype", arguments.dtype]
    environment = os.environ | {"VLLM_SERVER_DEV_MODE": "1"}
    if arguments.device == "cuda":
        command += ["--gpu-memory-utilization", str(SHARE), "--weight-transfer-config", '{"backend": "nccl"}']
    else:
        environment |= {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
        command += ["--enforce-eager"]
    if arguments.train:
        environment["CUDA_VISIBLE_DEVICES"] = arguments.last_gpu
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        url = f"http://127.0.0.1:{port}"
        try:
            while not wait_until_healthy(url, 2.0):
                if server.poll() is not None:
                    break
            if not is_healthy(url):
                log.seek(0)
                raise SystemExit(f"The server ended:\n{log.read()[-4000:].decode(errors='replace')}")
            yield url
        finally:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def compare(folder: str, url: str, arguments: Namespace) -> dict[str, Any]:
    """Asks server and policy the same."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, **weights(arguments)).to(arguments.device).eval()
    accelerator = Accelerator(cpu=arguments.device == "cpu")
    generation = Asking(model, accelerator, tokenizer, mode="server", server_base_url=url)
    rows = second_rows(Namespace(_tokenizer=tokenizer))
    theirs = second_answers(generation, rows).found
    ours = score_letters(model, rows, pad_token_id=tokenizer.pad_token_id, batch_size=8)
    return {"letters": mean_difference(theirs, ours), "rows": len(rows)}


def main(argv: list[str] | None = None) -> None:
    """Starts the server and asks it."""
    parser = Options(__doc__)
    parser.add_argument("--model", choices=NAMES, default="random")
    parser.add_argument("--train", action="store_true", help="needs two GPUs")
    add_device(parser)
    parser.add_numbers()
    arguments = parser.parse_args(argv)
    quiet()
    if arguments.train:  # before torch looks: with two GPUs a trainer of one process would use both
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(len(list_gpus()))))).split(",")
        if len(visible) < 2:
            raise SystemExit(f"`--train` needs two GPUs, one for the server; there is {len(visible)}.")
        os.environ["CUDA_VISIBLE_DEVICES"], arguments.last_gpu = visible[0], visible[-1]
    folder = random_model(tempfile.mkdtemp(), arguments.model, dtype=arguments.dtype)
    with served(folder, arguments) as url:
        if arguments.train:
            trainer = make_trainer(folder, arguments, vllm_mode="server", vllm_server_base_url=url)
            found = trained_in_both_ways(trainer) | after_an_update(trainer)
        else:
            found = compare(folder, url, arguments)
    print(", ".join(f"{name} {value}" for name, value in found.items()))
    write_numbers(arguments.json, found)


if __name__ == "__main__":
    main()
