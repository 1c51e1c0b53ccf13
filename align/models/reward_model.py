"""A trained reward model, loaded to score answers the way it was trained."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import cached_file, find_adapter_config_file, logging

from align.data.pairs.pairwise import ADAPTER_MARK, label_ids, pairwise_prompt
from align.errors import DataError, UserError
from align.models.at_hand import require_model
from align.models.pretrained import load_adapter, load_pretrained, refuse_pickled_weights, whole_weights
from align.models.reading import reading_model, render
from align.models.rope_lengths import forget_lengths, read_together
from align.models.second_pass.shared_prompts import pad_rows


class NotARewardModelError(UserError):
    """A model without a head that learnt to score."""

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(
            f"{source} is not a reward model: {reason}. Give one saved by `align train` with `method: crome` or by "
            "TRL's `RewardTrainer`: a sequence classification model with one label, or a pairwise model with "
            f"`truealign_pairwise: true` in its `config.json`, or with `{ADAPTER_MARK}` beside its adapter."
        )


@contextmanager
def loading(source: str) -> Iterator[None]:
    """Names the model in errors, and keeps transformers from warning about a head that the adapter brings."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with reading_model(source, "reward model"):
            yield
    finally:
        logging.set_verbosity(verbosity)


def load_whole(source: str, dtype: str) -> tuple[Any, bool]:
    """Loads a whole model, and says whether it is pairwise."""
    config = AutoConfig.from_pretrained(source, trust_remote_code=False)
    pairwise = bool(getattr(config, "truealign_pairwise", False))
    names = ", ".join(config.architectures or ["nothing"])
    if not pairwise and not names.endswith("ForSequenceClassification"):
        raise NotARewardModelError(source, f"its `config.json` names {names}")
    if not pairwise and config.num_labels != 1:
        raise NotARewardModelError(source, f"it has `num_labels` = {config.num_labels}")
    model_class = AutoModelForCausalLM if pairwise else AutoModelForSequenceClassification
    model, info = load_pretrained(model_class, source, dtype=dtype, output_loading_info=True)
    if missing := info["missing_keys"]:
        raise NotARewardModelError(source, f"its weights lack {', '.join(sorted(missing))}")
    return model, pairwise


def load_adapter_model(source: str, dtype: str, num_tokens: int) -> tuple[Any, bool]:
    """Loads an adapter and its base, and says whether it is pairwise."""
    from peft import PeftConfig, TaskType

    refuse_pickled_weights(source)
    adapter = PeftConfig.from_pretrained(source)
    pairwise = cached_file(source, ADAPTER_MARK, _raise_exceptions_for_missing_entries=False) is not None
    if not pairwise and adapter.task_type != TaskType.SEQ_CLS:
        raise NotARewardModelError(source, f"its `task_type` is {adapter.task_type}, so no head was saved with it")
    base_class = AutoModelForCausalLM if pairwise else AutoModelForSequenceClassification
    labels = {} if pairwise else {"num_labels": 1}
    of_base = str(adapter.base_model_name_or_path)
    base, info = load_pretrained(base_class, of_base, dtype=dtype, output_loading_info=True, **labels)
    saved = set(adapter.modules_to_save or ())
    lost = {name for name in info["missing_keys"] if not set(name.split(".")) & saved}
    if lost:
        raise NotARewardModelError(source, f"neither it nor its base holds {', '.join(sorted(lost))}")
    if num_tokens > base.get_input_embeddings().num_embeddings:
        base.resize_token_embeddings(num_tokens)
    return load_adapter(base, source), pairwise


Text = str | Sequence[Mapping[str, Any]]  # a text, or messages
Values = NDArray[np.float64]
# What is asked, how, by what each answer is known, their lengths, and how many at once; `KeptAnswers.ask` is one.
Ask = Callable[[str, Callable[[list[int]], list[Any]], Sequence[Any], Sequence[int], int], list[Any]]


class RewardModel:
    """Scores answers with a model that `CromeTrainer` or TRL's `RewardTrainer` saved.

    A scalar model gives each answer a reward; a pairwise one reads two answers and says by how much the first is
    better. Both have `margins`. Texts are tokenised as in training: prompt, response and end token, or the chat
    template over prompt and assistant message. The reward is read where transformers reads it, at the last token that
    is not padding.
    """

    def __init__(
        self,
        model: Any,  # a sequence classification model with one label, or for `pairwise` a causal language model
        tokenizer: Any,
        *,
        pairwise: bool = False,  # it predicts the letter of the better answer
        batch_size: int = 16,  # sequences per forward pass
        max_length: int | None = None,  # in tokens, else the model's own limit; nothing is ever cut off
        on_too_long: Literal["raise", "nan"] = "raise",  # `nan` gives longer sequences no score
        ask: Ask
        | None = None,  # asks for scores by batch, because padding changes their last digits; else all are read
        identity: str = "",  # there, which model and type of weights gave them
    ) -> None:
        if tokenizer.pad_token_id is None:
            raise UserError(
                "The tokenizer has no padding token, so the place of the reward is unknown. Save it with the "
                "`pad_token` that the model was trained with."
            )
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.pairwise = pairwise
        self._batch_size = batch_size
        self._on_too_long = on_too_long
        self._ask, self._identity = ask, identity
        self._label_ids = label_ids(tokenizer) if pairwise else None
        text_config = model.config.get_text_config()
        text_config.pad_token_id = tokenizer.pad_token_id  # as the trainer does
        self._max_length = max_length or getattr(text_config, "max_position_embeddings", None)

    @classmethod
    def load(
        cls, path: str | Path, *, dtype: str = "float32", device: str | torch.device | None = None, **settings: Any
    ) -> "RewardModel":
        """Loads the weights of a model or adapter, safetensors only; `dtype: auto` keeps their type."""
        source = str(path)
        require_model(source)
        with loading(source):
            tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
            if find_adapter_config_file(source) is None:
                model, pairwise = load_whole(source, dtype)
            else:
                model, pairwise = load_adapter_model(source, dtype, num_tokens=len(tokenizer))
            accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else "cpu"
            model = model.to(device or accelerator)
        return cls(model, tokenizer, pairwise=pairwise, **settings)

    def score(self, prompts: Sequence[Text], responses: Sequence[Text]) -> Values:
        """Gives each response its reward, `(N,)`; equal sequences have equal ones, and what is not finite is nan.

        Prompts are texts, or lists of messages; beside messages a response may be a list of one assistant message.
        """
        if self.pairwise:
            raise UserError("A pairwise model compares two answers and gives none a reward. Use `margins`.")
        return self._read([self._tokens(*row) for row in zip(prompts, responses, strict=True)])

    def margins(self, prompts: Sequence[Text], first: Sequence[Text], second: Sequence[Text]) -> Values:
        """Returns `(N,)` differences of rewards; if pairwise, means of logit(A) - logit(B) over both orders."""
        if not self.pairwise:
            scores = self.score([*prompts, *prompts], [*first, *second])
            return scores[: len(first)] - scores[len(first) :]
        orders = [*zip(prompts, first, second, strict=True), *zip(prompts, second, first, strict=True)]
        logits = self._read([self._question_tokens(*row) for row in orders])
        return (logits[: len(first)] - logits[len(first) :]) / 2

    def reads(self, prompt: Text, *responses: Text) -> bool:
        """Tells whether responses to a prompt are short enough to be scored; a pairwise model reads two at once."""
        if self.pairwise:
            orders = (responses, responses[::-1])
            return all(self._fits(self._question_tokens(prompt, *order)) for order in orders)
        return all(self._fits(self._tokens(prompt, each)) for each in responses)

    def _tokens(self, prompt: Text, response: Text) -> tuple[int, ...]:
        if isinstance(prompt, str):
            if not isinstance(response, str):
                raise UserError("A prompt is a text and its response messages. Write both as texts, or as messages.")
            end = self.tokenizer.eos_token or ""
            text = prompt + (response if response.endswith(end) else response + end)
            return tuple(self.tokenizer(text)["input_ids"])
        answer = [{"role": "assistant", "content": response}] if isinstance(response, str) else response
        return self._render([*prompt, *answer])

    def _question_tokens(self, prompt: Text, first: Text, second: Text) -> tuple[int, ...]:
        question = pairwise_prompt(prompt, first, second)
        if isinstance(question, str):
            return tuple(self.tokenizer(question)["input_ids"])
        return self._render(question, add_generation_prompt=True)

    def _render(self, messages: Any, **kwargs: Any) -> tuple[int, ...]:
        if self.tokenizer.chat_template is None:
            raise UserError(
                "The tokenizer has no chat template, so prompts and responses must be texts, not messages."
            )
        encoded = render(self.tokenizer, messages, tokenize=True, return_dict=True, **kwargs)
        return tuple(encoded["input_ids"])

    def _read(self, sequences: list[tuple[int, ...]]) -> Values:
        """Reads each distinct sequence once, so that batching cannot tell equal ones apart, the longest first."""
        self._check_lengths(sequences)
        distinct = sorted({ids for ids in sequences if self._fits(ids)}, key=lambda ids: (-len(ids), ids))
        name = read_together(self.model)
        parts = [list(part) for _, part in groupby(distinct, key=lambda ids: name(len(ids)))]
        batches = [part[i : i + self._batch_size] for part in parts for i in range(0, len(part), self._batch_size)]

        def forward(places: list[int]) -> list[Any]:
            return [self._forward(batches[i]) for i in places]

        contents = [["scores", self._identity, batch] for batch in batches]
        lengths = [0] * len(batches)  # they stay in their order
        found = self._ask("scoring", forward, contents, lengths, 1) if self._ask else forward([*range(len(batches))])
        scores = dict(zip(distinct, (score for each in found for score in each), strict=True))
        values = np.array([scores.get(ids, math.nan) for ids in sequences])
        return np.where(np.isfinite(values), values, math.nan)

    def _fits(self, ids: Sequence[int]) -> bool:
        return self._max_length is None or len(ids) <= self._max_length

    def _check_lengths(self, sequences: Sequence[Sequence[int]]) -> None:
        too_long = [len(ids) for ids in sequences if not self._fits(ids)]
        if too_long and self._on_too_long == "raise":
            raise DataError(
                f"{len(too_long)} of {len(sequences)} sequences are longer than `max_length` = {self._max_length} "
                f"tokens, the longest has {max(too_long)}. Nothing is cut off: leave them out, or raise `max_length`."
            )

    @torch.no_grad()
    def _forward(self, batch: Sequence[tuple[int, ...]]) -> list[float]:
        forget_lengths(self.model)
        device = self.model.device
        ids, mask = pad_rows(batch, self.tokenizer.pad_token_id, "right", device)
        inputs = {"input_ids": ids, "attention_mask": mask, "use_cache": False}
        if self._label_ids is None:
            rewards: list[float] = self.model(**inputs).logits.squeeze(-1).float().tolist()
            return rewards
        places, row_place = (mask.sum(1) - 1).unique(return_inverse=True)  # only these positions are projected
        logits = (
            self.model(**inputs, logits_to_keep=places)
            .logits[torch.arange(len(batch), device=device), row_place]
            .float()
        )
        first, second = self._label_ids
        return (logits[:, first] - logits[:, second]).tolist()


def load_reward_model(
    path: str | Path, *, dtype: str = "float32", device: str | torch.device | None = None, **settings: Any
) -> RewardModel:
    """Loads a reward model for use in a reward function, whole on every rank that asks, also under ZeRO-3.

    Args:
        path: What a trainer of reward models saved.
        dtype: Type of the loaded weights.
        device: Where to score; the rank's accelerator if there is one.
        **settings: As in `RewardModel`.

    Returns:
        The model; `score(prompts, responses)` may be called on one rank alone.

    Raises:
        UserError: If the path cannot be loaded, or holds something else than a reward model.
    """
    with whole_weights():
        return RewardModel.load(path, dtype=dtype, device=device, **settings)
