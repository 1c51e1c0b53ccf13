"""What all judges share: their settings, the model that they ask, and what that costs."""

import asyncio
import hashlib
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from align.errors import UserError
from align.models.judges.asked_model import AskedModel, Estimate, Prices
from align.models.model_files import pickled_weights
from align.models.samplers.reply import Reply, UnreadableReplyError
from align.models.samplers.sampler import CHARACTERS_PER_TOKEN, Answer, Failure
from rewards.reading.responses import Completion, completion_text

_FILES = (".md", ".txt")
_OF_ENDPOINTS = ("api_key_env", "requests_per_minute", "tokens_per_minute", "limits")

R = TypeVar("R", bound=Reply)


class Judged(NamedTuple):
    """What came of completions; None where a reply is not as asked."""

    scores: list[float | None]
    results: list[Answer | Failure]
    shares: dict[str, float]  # to log


@dataclass(kw_only=True, eq=False)
class ModelJudge(ABC):
    """A reward that asks a model by a rubric.

    The model is behind an OpenAI-compatible endpoint, or runs in the training process. Answers are kept in `cache` as
    they come, so that a killed run pays for none twice; what is asked again, by `reward_repeats` or in a later pass,
    is another request, which shows how much the judge differs from itself. While nobody answers, training waits, up
    to `outage_seconds`; then it ends by the rules of `on_invalid`. A reply that is not as asked is None, never a
    number, and counted.

    Responses are put between marks that no policy can foresee; a judge can be talked into a verdict all the same, so
    watch it with `audit_funcs`.

    Args:
        rubric: What is good, as a text, or a file that ends with `.md` or `.txt`.
        model: Name the server knows the model by; without an endpoint a folder or hub id with safetensors.
        endpoint: Base URL, such as `http://localhost:8000/v1`; None runs the model in the training process.
        api_key_env: Variable that holds the key; `OPENAI_API_KEY` if it is set.
        reference: Column with a response or answer to every prompt; what it is for says the judge.
        cache: Folder for answers; without one nothing is kept.
        temperature: Of the judge.
        max_new_tokens: Of a reply.
        concurrency: Requests on their way at once, per training process; replies that a local model writes at once.
        requests_per_minute: Most requests, per training process.
        tokens_per_minute: Most tokens, prompts by estimate and replies by `max_new_tokens`, per training process.
        outage_seconds: How long a server that does not answer is waited for.
        prompt_price: Of a million tokens that are sent, for the cost before and after training.
        completion_price: Of a million tokens that come back.
        limits: Settings of `align.models.samplers.limits.Limits`, such as `{timeout: 60}`.
    """

    rubric: str = field(kw_only=False)
    model: str
    endpoint: str | None = None
    api_key_env: str | None = None
    reference: str | None = None
    cache: str | None = None
    temperature: float = 0.0
    max_new_tokens: int = 256
    concurrency: int = 16
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    outage_seconds: float = 1800.0
    prompt_price: float | None = None
    completion_price: float | None = None
    limits: Mapping[str, float] = field(default_factory=dict)

    asks_a_model = True
    renders_messages = True  # the last message is shown as it stands

    def __post_init__(self) -> None:
        self._rubric = _read_rubric(self.rubric)
        for name in ("prompt_price", "completion_price"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise UserError(f"`{name}` must be a number from 0, for a million tokens; got {value!r}.")
        if self.max_new_tokens < 1 or self.concurrency < 1:
            raise UserError("`max_new_tokens` and `concurrency` must be at least 1.")
        if self.endpoint is None:
            self._check_local()
        of_endpoint = ("endpoint", *_OF_ENDPOINTS[:-1], "concurrency", "outage_seconds")
        at = {name: getattr(self, name) for name in of_endpoint} | dict(self.limits)
        endpoint = None if self.endpoint is None else at
        self._asked = AskedModel(self.model, endpoint, cache=self.cache, batch_size=self.concurrency)

    def _check_local(self) -> None:
        given = [name for name in _OF_ENDPOINTS if getattr(self, name)]
        if given:
            raise UserError(f"`{given[0]}` needs `endpoint`, which is not set. Set it, or remove the key.")
        folder = Path(self.model)
        looks_local = self.model.startswith((".", "/", "~")) or self.model.count("/") != 1
        if not folder.is_dir() and (looks_local or folder.parent.is_dir()):
            raise UserError(
                f"`model`: there is no folder {self.model} in {os.getcwd()}. Name a folder or hub id of a model, or "
                "set `endpoint` for one that a server knows by this name."
            )
        if problem := pickled_weights(self.model):
            raise UserError(f"`model`: {problem}")

    async def __call__(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Completion],
        log_metric: Callable[[str, float], None] | None = None,
        **kwargs: Any,
    ) -> list[float | None]:
        """Scores completions; `log_metric` gets shares, such as that of unread replies, and the tokens of a reply."""
        texts = [completion_text(completion) for completion in completions]
        judged = await self._judge(prompts, texts, self._of_reference(kwargs, len(prompts)))
        answers = [result for result in judged.results if isinstance(result, Answer)]
        tokens = {
            each: sum(getattr(answer, each) for answer in answers) / max(len(answers), 1)
            for each in ("prompt_tokens", "completion_tokens")
        }
        for quantity, value in {**judged.shares, **tokens}.items():
            if log_metric is not None and not math.isnan(value):
                log_metric(f"{getattr(self, '__name__', 'judge')}/{quantity}", value)
        return judged.scores

    @abstractmethod
    async def _judge(self, prompts: Sequence[Any], texts: list[str], golds: list[Any]) -> Judged:
        """Scores texts; `golds` are of the column of `reference`, None without one."""

    @property
    def prices(self) -> Prices:
        """Of a million tokens."""
        return Prices(self.prompt_price, self.completion_price)

    def for_trial(self) -> "ModelJudge":
        """Returns a copy that does not wait for a server that is not there."""
        return replace(self, outage_seconds=0.0)

    def take_spending(self) -> dict[str, float]:
        """Returns what was asked since this was called last, by name, and forgets it; `cost` if prices are known."""
        spent = self._asked.take_spending()
        cost = self.prices.of(spent["prompt_tokens"], spent["completion_tokens"])
        return spent if cost is None else spent | {"cost": cost}

    @abstractmethod
    def estimate(self, rows: Sequence[Mapping[str, Any]], generations: int, longest: int) -> Estimate:
        """Says what one completion of up to `longest` tokens costs at most, counted on some rows of the data."""

    async def _ask(self, texts: Sequence[str], kind: type[R]) -> tuple[list[Answer | Failure], list[R | None]]:
        """Asks texts at once; returns what came of each, and its reply, None where it is not as asked."""
        how: dict[str, Any] = {"temperature": self.temperature, "max_new_tokens": self.max_new_tokens}
        results = await asyncio.gather(*(self._asked.ask(text, **how) for text in texts))
        return results, [_read_reply(result, kind) for result in results]

    def _of_reference(self, columns: Mapping[str, Any], count: int) -> list[Any]:
        if self.reference is None:
            return [None] * count
        if self.reference not in columns:
            raise UserError(f"`reference` names the column {self.reference!r}, which the rows do not have.")
        return list(columns[self.reference])

    def _of_rows(self, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
        name = self.reference
        if name is None or not all(name in row for row in rows):
            return self._of_reference({}, len(rows))
        return [row[name] for row in rows]


def _read_reply(result: Answer | Failure, kind: type[R]) -> R | None:
    try:
        return None if isinstance(result, Failure) else kind.read(result.text)
    except UnreadableReplyError:
        return None


def mark_of(*texts: str) -> str:
    """Returns a mark to put around texts, which none of them can hold but by chance."""
    return "=" * 4 + hashlib.sha256("\0".join(texts).encode("utf-8", "replace")).hexdigest()[:12]


def tokens_of(texts: Sequence[str]) -> float:
    """Returns about how many tokens a text has on average."""
    return sum(len(text) // CHARACTERS_PER_TOKEN + 1 for text in texts) / max(len(texts), 1)


def share(count: float, total: float) -> float:
    """Divides; NaN where there is nothing."""
    return count / total if total else math.nan


def _read_rubric(rubric: str) -> str:
    path = Path(rubric) if "\n" not in rubric and rubric.endswith(_FILES) else None
    if path is not None and not path.is_file():
        raise UserError(f"`rubric`: there is no file {path} in {os.getcwd()}. Name one, or write what is good.")
    text = rubric if path is None else path.read_text(encoding="utf-8")
    if not text.strip():
        raise UserError("`rubric` is empty. Say what a good response is.")
    return text.strip()
