"""A vLLM server that goes away during training: the next one is waited for, given the weights, and asked again.

TRL 1.16's client tries for about a minute and then raises on the main process, while the others wait for its answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, TypeVar

import torch
from accelerate.utils import broadcast_object_list
from trl.generation.vllm_client import VLLMClient
from trl.generation.vllm_generation import VLLMGeneration

from align.console import say
from align.errors import ServerError
from align.models.vllm_server import server_url, wait_until_healthy

Answer = TypeVar("Answer")
_MOST_SERVERS = 3  # lost over one question, after which the question may be what they die of
_RESUME = "The last checkpoint is kept: start a server and go on with `align train RECIPE --resume auto`."


class NotingClient(VLLMClient):
    """TRL's client, which notes that its server is lost, so that all processes can act on it together.

    From then on it answers with nothing. Lost is what `requests` gave up on, an `OSError`; an answer that says no is
    another error of TRL's, and raised as before.
    """

    lost: Exception | None = None

    def _post(self, url: str, **kwargs: Any) -> dict[str, Any]:
        try:
            return super()._post(url, **kwargs)
        except OSError as error:
            self.lost = error
            if self.communicator is not None:  # NCCL would wait for its peer for ever, in another thread
                self.communicator.destroy()
            raise

    def generate(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Generates as TRL's does."""
        nothing: dict[str, Any] = {"prompt_ids": [], "completion_ids": [], "logprobs": None, "logprob_token_ids": None}
        return self._unless_lost(super().generate, nothing, *args, **kwargs)

    def image_features(self, images: list[Any], *args: Any, **kwargs: Any) -> list[Any]:
        """Processes images as TRL's does."""
        return self._unless_lost(super().image_features, [None] * len(images), images, *args, **kwargs)

    def update_named_params(self, metadata: list[Any], named_params: Iterator[tuple[str, torch.Tensor]]) -> None:
        """Sends weights as TRL's does, and reads them to their end: others gather them, too."""
        self._unless_lost(super().update_named_params, None, metadata, named_params)
        for _ in named_params:
            pass

    def reset_prefix_cache(self) -> None:
        """Empties the server's cache as TRL's does."""
        self._unless_lost(super().reset_prefix_cache, None)

    def _unless_lost(self, ask: Callable[..., Answer], nothing: Answer, *args: Any, **kwargs: Any) -> Answer:
        if self.lost is not None:
            return nothing
        try:
            return ask(*args, **kwargs)
        except OSError as error:
            self.lost = error
        except Exception:
            if self.lost is None:
                raise  # else it is NCCL's, whose peer is lost
        return nothing


class ServerGeneration(VLLMGeneration):
    """TRL's engine in server mode, which waits `server_timeout` seconds for the next server where its own is lost."""

    vllm_client: NotingClient  # of the main process; the others have none
    _logprobs_mode: str | None = None

    def _init_vllm(self) -> None:
        self._join()
        self.accelerator.wait_for_everyone()

    def sync_weights(self) -> None:
        """Sends the weights as TRL's does."""
        self.until_answered(super().sync_weights)

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        """Generates as TRL's does."""
        ask = super().generate
        return self.until_answered(lambda: ask(*args, **kwargs))

    def until_answered(self, ask: Callable[[], Answer]) -> Answer:
        """Asks the server, and the next one where it was lost meanwhile; every process calls it.

        `ask` uses `vllm_client` on the main process; its answer counts only if the server is still there. Raises
        `ServerError` on every process, if no server comes in time, it cannot be used, or three are lost in a row.
        """
        times = 0
        while True:
            answer = ask()
            lost = self._from_main(lambda: self.vllm_client.lost and _reason(self.vllm_client.lost))
            if not lost:
                return answer
            times += 1
            if times == _MOST_SERVERS:
                raise ServerError(
                    f"The vLLM server at {self._url} was lost {times} times over one question. {_RESUME}"
                )
            say(
                f"The vLLM server at {self._url} is lost ({lost}). Waiting up to {self.server_timeout:g} s "
                f"(`vllm_server_timeout`) for one to take its place."
            )
            self._join()
            super().sync_weights()  # if this one is lost, too, the next question finds out
            say(f"The vLLM server at {self._url} has the weights now; the step goes on.")

    @property
    def _url(self) -> str:
        names = ("server_base_url", "server_host", "server_port")
        return server_url(SimpleNamespace(**{f"vllm_{name}": getattr(self, name, None) for name in names}))

    def _join(self) -> None:
        """Lets the main process join the server that is there, or comes in time; every process hears how it went."""
        if problem := self._from_main(self._try_to_join):
            raise ServerError(problem)

    def _try_to_join(self) -> str | None:
        rejoins, server = self._logprobs_mode is not None, f"vLLM server at {self._url}"
        if rejoins:
            self.vllm_client.close_communicator()  # frees `group_port`
        after = f" {_RESUME}" if rejoins else ""
        deadline = time.monotonic() + self.server_timeout
        while wait_until_healthy(self._url, deadline - time.monotonic()):
            try:
                client = NotingClient(base_url=self._url, group_port=self.group_port)
                client.init_communicator(device=self.accelerator.device)
                mode = client.get_server_info()["model_config"]["logprobs_mode"]
            except OSError:
                if time.monotonic() >= deadline:
                    break
                continue
            except Exception as error:  # a sentence of TRL's, or NCCL's words
                return f"The {server} cannot be used: {error}{after}"
            if rejoins and mode != self._logprobs_mode:
                before = self._logprobs_mode
                return f"The {server} reports log-probs of `{mode}`, the one before it `{before}`.{after}"
            self.vllm_client, self._logprobs_mode = client, mode
            return None
        return f"There was no {server} within {self.server_timeout:g} s (`vllm_server_timeout`).{after}"

    def _from_main(self, ask: Callable[[], Answer | None]) -> Answer | None:
        answer = [ask() if self.accelerator.is_main_process else None]
        broadcast_object_list(answer, from_process=0)
        return answer[0]


def _reason(error: Exception) -> str:
    """Names the innermost cause: `requests` and urllib3 wrap it several times."""
    inner: BaseException = error
    while True:
        cause = getattr(inner, "reason", None) or next(
            (each for each in inner.args if isinstance(each, Exception)), None
        )
        if not isinstance(cause, Exception):
            return f"{type(inner).__name__}: {inner}".split("\n")[0]
        inner = cause
