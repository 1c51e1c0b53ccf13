"""Whether a vLLM server can give the second answers."""

from collections.abc import Mapping, Sequence
from typing import Any

from align.checks.finding import Finding
from align.checks.vllm_server import logprobs_mode, uses_server
from align.models.vllm_server import ask_server, server_url
from align.recipe.recipe import Recipe


def check_second_server(recipe: Recipe, rows: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Finds a server whose log-probs do not know of the restriction to the letters, which ends the first step."""
    asks_server = uses_server(recipe) and recipe.settings.second_pass in ("auto", "vllm")
    if not asks_server or any(row.get("images") for row in rows):
        return []
    try:
        mode = logprobs_mode(ask_server(server_url(recipe.settings)))
    except (OSError, ValueError):
        return []  # said by the check of the server
    if mode in (None, "processed_logprobs"):
        return []
    text = (
        f"The second pass reads log-probs after the restriction to the letters, and the vLLM server reports `{mode}`. "
        f"Restart it with --logprobs-mode processed_logprobs, or set `second_pass: forward`."
    )
    return [Finding("error", "second pass", text)]
