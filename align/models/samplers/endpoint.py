import os
from collections import Counter
from typing import Any
from urllib.parse import urlsplit

from align.models.samplers.chat_calls import Address
from align.models.samplers.connection import Connection
from align.models.samplers.limits import Limits, Waiting
from align.models.samplers.sampler import SamplerError

DEFAULT_KEY_VARIABLE = "OPENAI_API_KEY"


class EndpointSampler:
    """Sends each request as one chat completion.

    Errors of the server (429, 5xx) and lost connections are tried again with growing pauses. An answer that is none,
    has no content or is too large, or does not come in time, is asked for again twice, and a key that is refused
    although it was accepted before is tried on for two minutes; see `Limits`. A request that still fails is a
    `Failure`. A key that is refused from the start, an unknown model, a server that is not there, or many failures in
    a row end the run: no new request is sent, and those on their way may still be answered.

    `api_key_env` is the variable that holds the key, `OPENAI_API_KEY` by default. `troubles` counts calls that
    were made again, `waiting` the seconds for which nobody answered or a rate was kept to.
    """

    uses_chat_template = True

    def __init__(
        self,
        endpoint: str,
        model: str,
        *,
        api_key_env: str | None = None,
        concurrency: int = 16,
        **limits: Any,
    ) -> None:
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SamplerError(f"`endpoint` must be a URL such as http://localhost:8000/v1, got {endpoint!r}.")
        self._address = Address(endpoint, model, *_find_key(api_key_env))
        self.concurrency, self._limits = concurrency, Limits(**limits)
        self.troubles: Counter[str] = Counter()
        self.waiting = Waiting()
        self.name = f"{model} ({self._address.shown})"

    @property
    def identity(self) -> dict[str, str]:
        """The model and where it is served."""
        return self._address.identity

    def connect(self) -> Connection:
        """Opens a connection; as a context it raises a `SamplerError` at the end if it was stopped on the way."""
        return Connection(self._address, self._limits, self.concurrency, self.troubles, self.waiting)


def _find_key(api_key_env: str | None) -> tuple[str, str]:
    variable = api_key_env or DEFAULT_KEY_VARIABLE
    key = os.environ.get(variable, "").strip()
    if api_key_env and not key:
        raise SamplerError(f"The variable {variable}, which should hold the API key, is not set.")
    if not (key.isascii() and key.isprintable()):  # HTTP libraries quote such a header in their errors
        raise SamplerError(f"The variable {variable} holds more than an API key: it has odd characters.")
    return variable, key
