import http.client
import json
import time
import urllib.error
import urllib.request
from typing import Any, NamedTuple

_SECONDS = 5.0  # for one answer
_SECONDS_INFO = 60.0  # for that of /server_info, whose first one collects packages and drivers
_BETWEEN = 1.0  # seconds between two looks for a server


class Served(NamedTuple):
    """A server as it describes itself."""

    model: str  # its name in requests
    root: str  # the folder or hub id that its weights came from
    window: int | None  # tokens of a prompt and its answer
    version: str | None  # of vLLM; None where the server does not say
    routes: frozenset[str] | None  # the paths that it serves; None where it hides the list
    config: dict[str, Any] | None  # its resolved settings; None without `VLLM_SERVER_DEV_MODE=1`


def server_url(settings: Any) -> str:
    """Returns the address that TRL's client asks."""
    url = settings.vllm_server_base_url
    return str(url) if url else f"http://{settings.vllm_server_host}:{settings.vllm_server_port}"


def is_healthy(url: str) -> bool:
    """Says whether a server is there and ready; `vllm serve` answers an empty 200."""
    try:
        return _get(f"{url}/health")[0] == 200
    except OSError:
        return False


def wait_until_healthy(url: str, seconds: float) -> bool:
    """Waits until a server is there and ready, and says whether it came in time."""
    deadline = time.monotonic() + seconds
    while not is_healthy(url):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_BETWEEN)
    return True


def ask_server(url: str) -> Served:
    """Asks a server what it is; raises `OSError` if nothing answers, `ValueError` with a clause if it is another."""
    status, _ = _get(f"{url}/health")
    if status != 200:
        raise ValueError(f"its /health answers {status}")
    status, models = _get(f"{url}/v1/models")
    if status == 401:
        raise ValueError("it wants an API key, and TRL's client sends none")
    try:
        first = models["data"][0]
        model, root = str(first["id"]), str(first.get("root") or first["id"])
    except (TypeError, LookupError) as error:
        raise ValueError("its /v1/models names no model, as that of `vllm serve` does") from error
    _, version = _get(f"{url}/version")
    _, openapi = _get(f"{url}/openapi.json")
    _, info = _get(f"{url}/server_info?config_format=json", _SECONDS_INFO)
    return Served(
        model,
        root,
        first.get("max_model_len"),
        version.get("version") if isinstance(version, dict) else None,
        frozenset(openapi["paths"]) if isinstance(openapi, dict) and "paths" in openapi else None,
        info.get("vllm_config") if isinstance(info, dict) else None,
    )


def _get(url: str, seconds: float = _SECONDS) -> tuple[int, Any]:
    """Returns a status and what was said as JSON, None where it was none."""
    try:
        with urllib.request.urlopen(url, timeout=seconds) as reply:
            content = reply.read()
            try:
                return reply.status, json.loads(content)
            except ValueError:
                return reply.status, None
    except urllib.error.HTTPError as error:  # an answer, too
        return error.code, None
    except http.client.HTTPException as error:  # no HTTP, or half an answer
        raise ConnectionError(f"{type(error).__name__}: {error}") from error
