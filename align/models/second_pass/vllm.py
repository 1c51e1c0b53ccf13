"""The second pass through TRL's vLLM engine: which letter or text follows from a given trace, in one call per row."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar, cast

import torch
from accelerate.utils import broadcast_object_list, gather_object

if TYPE_CHECKING:  # TRL's module imports vLLM, which need not be installed
    from trl.generation.vllm_generation import VLLMGeneration

    from align.models.second_pass.forward import SecondPassRow
    from align.models.vllm_rejoin import ServerGeneration

T = TypeVar("T")
MAX_LOGPROBS = 20  # vLLM's default ceiling per token, which TRL's engine keeps


class SecondAnswers(NamedTuple, Generic[T]):
    """The answers of a second pass."""

    found: list[T]  # per row, log-probs of its K live letters in nats, normalised over them, or tokens
    cached_token_share: float | None  # share of the prompt tokens found in the prefix cache; None if not known


def second_answers(generation: VLLMGeneration, rows: Sequence[SecondPassRow]) -> SecondAnswers[list[float]]:
    """Scores the live letters of each row, text only, as its next token: one greedy single-token call per row.

    Every rank calls it, also with no rows. In server mode the main process asks for all ranks; colocated, each rank
    (or tensor-parallel group) asks its own engine. Weights are those of the last sync. Of more than 20 letters, those
    beyond the 20 most likely score `-inf`. Raises `ValueError` if a server reports log-probabilities from before the
    restriction to the letters.
    """
    all_rows, own = _gather_rows(generation, rows)
    if generation.mode == "server":
        scores = _from_server(generation, all_rows, lambda client: _server_scores(client, all_rows))
        return SecondAnswers(_restricted(scores, all_rows)[own], None)
    with _awake(generation):
        log_probs, cached_token_share = ask_engine(generation.llm, all_rows)
    return SecondAnswers(log_probs[own], cached_token_share)


def written_answers(
    generation: VLLMGeneration,
    rows: Sequence[SecondPassRow],
    *,
    max_new_tokens: int,
    temperature: float = 0.0,
    seed: int = 0,
    stop: str | None = None,
) -> SecondAnswers[list[int]]:
    """Writes what follows each row, as `second_answers` scores letters: on every rank, with the weights of last sync.

    `letter_ids` is not read. Temperature 0 takes the likeliest tokens. Each row has its own seed, made from `seed`; a
    server takes one for a whole call, with which like rows would be answered alike, so there tokens are sampled
    without. `stop` ends a row beside the end of the text; a row may go on a little.
    """
    all_rows, own = _gather_rows(generation, rows)
    settings: dict[str, Any] = {"temperature": temperature, "max_tokens": max_new_tokens}
    more: dict[str, Any] = {"stop": [stop], "include_stop_str_in_output": True} if stop else {}  # of the engine alone
    if generation.mode == "server":
        prompts = [row.prompt_ids + row.prefix_ids for row in all_rows]

        def ask(client: Any) -> list[list[int]]:
            return list(client.generate(prompts=prompts, **settings, generation_kwargs=more)["completion_ids"])

        return SecondAnswers(_from_server(generation, all_rows, ask)[own], None)
    with _awake(generation):
        tokens, cached_token_share = write_by_engine(generation.llm, all_rows, seed, **settings, **more)
    return SecondAnswers(tokens[own], cached_token_share)


def write_by_engine(
    llm: Any, rows: Sequence[SecondPassRow], seed: int, **settings: Any
) -> tuple[list[list[int]], float | None]:
    """Writes what follows each row with a vLLM engine in this process; returns tokens and the share of cached ones."""
    from vllm import SamplingParams

    prompts: list[Any] = [{"prompt_token_ids": row.prompt_ids + row.prefix_ids} for row in rows]
    params = [SamplingParams(**settings, seed=seed + place) for place in range(len(rows))]
    outputs: list[Any] = llm.generate(prompts, sampling_params=params, use_tqdm=False) if rows else []
    return [list(output.outputs[0].token_ids) for output in outputs], _cached_share(prompts, outputs)


def _cached_share(prompts: list[Any], outputs: list[Any]) -> float | None:
    num_tokens = sum(len(prompt["prompt_token_ids"]) for prompt in prompts)
    return sum(output.num_cached_tokens or 0 for output in outputs) / num_tokens if prompts else None


def _from_server(generation: VLLMGeneration, rows: list[SecondPassRow], ask: Callable[[Any], list[T]]) -> list[T]:
    """Asks the server on the main process, and tells every process the answers; without rows it is not asked."""
    server = cast("ServerGeneration", generation)
    asks = rows and server.accelerator.is_main_process
    answers = [server.until_answered(lambda: ask(server.vllm_client) if asks else [])]
    broadcast_object_list(answers, from_process=0)
    return answers[0]


def _gather_rows(generation: VLLMGeneration, rows: Sequence[SecondPassRow]) -> tuple[list[SecondPassRow], slice]:
    """Collects the rows that one call answers, and where this rank's are among them."""
    if generation.mode == "server":
        by_rank, rank = gather_object([list(rows)]), generation.accelerator.process_index
    elif generation.tensor_parallel_size > 1:
        by_rank, rank = [None] * generation.tensor_parallel_size, torch.distributed.get_rank(generation.tp_group)
        torch.distributed.all_gather_object(by_rank, list(rows), group=generation.tp_group)
    else:
        by_rank, rank = [list(rows)], 0
    start = sum(len(each) for each in by_rank[:rank])
    return [row for each in by_rank for row in each], slice(start, start + len(rows))


def ask_engine(llm: Any, rows: Sequence[SecondPassRow]) -> tuple[list[list[float]], float | None]:
    """Scores the live letters of each row with a `vllm.LLM` that is awake; returns what `SecondAnswers` holds.

    `images` of a row are what the engine takes beside the tokens, in which each image is one.
    """
    from vllm import SamplingParams

    params = [
        SamplingParams(
            temperature=0.0, max_tokens=1, logprobs=_num_logprobs(row.letter_ids), allowed_token_ids=row.letter_ids
        )
        for row in rows
    ]
    prompts: list[Any] = [{"prompt_token_ids": row.prompt_ids + row.prefix_ids} | row.images for row in rows]
    outputs: list[Any] = llm.generate(prompts, sampling_params=params, use_tqdm=False) if rows else []
    scores = [{token: each.logprob for token, each in output.outputs[0].logprobs[0].items()} for output in outputs]
    return _restricted(scores, rows), _cached_share(prompts, outputs)


@contextmanager
def _awake(generation: VLLMGeneration) -> Iterator[None]:
    """Wakes an engine that TRL put to sleep after its rollouts, and puts it back."""
    if not generation.enable_sleep_mode:
        yield
        return
    if generation._llm_weights_sleeping:
        generation.sync_weights()  # level 2 discards the weights
    generation.llm.wake_up(tags=["kv_cache"])
    yield
    generation.llm.sleep(level=2)
    generation._llm_weights_sleeping = True


def _server_scores(client: Any, rows: list[SecondPassRow]) -> list[dict[int, float]]:
    """Asks once per set of letters: a request has one set of sampling parameters. A lost server tells nothing."""
    places: dict[tuple[int, ...], list[int]] = {}
    for i, row in enumerate(rows):
        places.setdefault(tuple(row.letter_ids), []).append(i)
    scores: list[dict[int, float]] = [{} for _ in rows]
    for letters, indices in places.items():
        output = client.generate(
            prompts=[rows[i].prompt_ids + rows[i].prefix_ids for i in indices],
            temperature=0.0,
            max_tokens=1,
            logprobs=_num_logprobs(letters),
            generation_kwargs={"allowed_token_ids": list(letters)},
        )
        if client.lost is not None:
            return []
        for i, tokens, logprobs in zip(indices, output["logprob_token_ids"], output["logprobs"], strict=True):
            scores[i] = dict(zip(tokens[0], logprobs[0], strict=True))
    return scores


def _num_logprobs(letter_ids: Sequence[int]) -> int:
    return min(len(letter_ids), MAX_LOGPROBS)


def _restricted(scores: list[dict[int, float]], rows: Sequence[SecondPassRow]) -> list[list[float]]:
    restricted = []
    for tokens, row in zip(scores, rows, strict=True):
        if strangers := tokens.keys() - set(row.letter_ids):
            raise ValueError(
                f"The second pass allows the tokens {row.letter_ids} only, but the vLLM server reports "
                f"log-probabilities for {sorted(strangers)} too. Restart it with `--logprobs-mode processed_logprobs`."
            )
        total = math.log(sum(math.exp(value) for value in tokens.values()))
        restricted.append([tokens.get(letter, -math.inf) - total for letter in row.letter_ids])
    return restricted
