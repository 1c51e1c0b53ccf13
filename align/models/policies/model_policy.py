import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase, ProcessorMixin

from align.data.questions.multiple_choice import Question
from align.data.questions.templates import PromptTemplate
from align.errors import UserError
from align.models.policies.answer_keys import digest
from align.models.policies.asking import Completion, Decoding, LetterQuestion, Prompt
from align.models.policies.token_policy import TokenPrompts, cut_behind, end_tokens
from align.models.policies.vision_prompts import VisionPrompts
from align.models.rope_lengths import forget_lengths, length_free, read_together
from align.models.second_pass.forward import score_letters
from align.models.videos import place_in_time

_CONSISTENCY_BATCHES = 4  # a second pass holds no generation cache, so it takes larger batches than the first
# All of it, because a checkpoint's own generation config (a repetition penalty, say) fills in what is not given.
_PLAIN = {"num_beams": 1, "repetition_penalty": 1.0}
_GREEDY = _PLAIN | {"do_sample": False, "temperature": 1.0, "top_k": 50, "top_p": 1.0}


class ModelPolicy:
    """Answers with a causal language model, in any wrapping whose forward and `generate` may be called.

    `batch_size` responses are generated at once. The `fingerprint` of the weights is needed only where answers are
    cached.
    """

    def __init__(
        self,
        model: Any,  # `PreTrainedModel` does not declare `generate`
        tokenizer: PreTrainedTokenizerBase,
        template: PromptTemplate,
        *,
        batch_size: int = 32,
        fingerprint: str = "",
    ) -> None:
        if tokenizer.pad_token_id is None:
            raise UserError("`tokenizer` needs a padding token. Set `tokenizer.pad_token = tokenizer.eos_token`.")
        self.model = model
        self.tokenizer = tokenizer
        self.chunk_size = batch_size
        self.fingerprint = digest([fingerprint, "transformers", str(model.dtype), repr(template)])
        self._prompts = TokenPrompts(tokenizer, template)
        if model.device.type == "cpu":
            # Frees one large block, after which glibc keeps freed blocks of up to its size for the next ones. Until
            # then it hands the memory of every large tensor back and takes it anew page by page, which was 40 to 60 %
            # of the time of a small model's second pass. It adapts to blocks below 32 MiB.
            torch.empty(31 << 20, dtype=torch.uint8)

    def show_prompt(self, question: Question) -> str:
        """Returns the prompt as text, chat template included."""
        return self._prompts.show(question)

    def generate(self, questions: Sequence[Question], decoding: Decoding) -> list[list[Completion]]:
        """Answers questions, their options in their own order; see `complete`."""
        return self.complete([self._prompts.prompt(question) for question in questions], decoding)

    def complete(self, prompts: Sequence[Prompt], decoding: Decoding) -> list[list[Completion]]:
        """Decodes in batches of similar length; responses come without the end token and what follows it."""
        encoded = self._prompts.encode_prompts(prompts)
        order = sorted(range(len(encoded)), key=lambda i: (prompts[i].stop, len(encoded[i])))
        size = self._batch_size(decoding)
        name = read_together(self.model, growth=decoding.max_new_tokens)
        parts = [list(part) for _, part in groupby(order, key=lambda i: (prompts[i].stop, name(len(encoded[i]))))]
        batches = [part[start : start + size] for part in parts for start in range(0, len(part), size)]

        def read(batch: list[int]) -> Any:
            ids = [encoded[i] for i in batch]
            return self.tokenizer.pad({"input_ids": ids}, padding_side="left", return_tensors="pt")

        return self._decode(prompts, batches, read, decoding)

    def score_letters(self, rows: Sequence[LetterQuestion]) -> list[list[float]]:
        """Scores the live letters of each row in forward passes, where the model allows it each common token once."""
        how = {"pad_token_id": self.tokenizer.pad_token_id, "batch_size": _CONSISTENCY_BATCHES * self.chunk_size}
        return score_letters(self.model, self._prompts.second_pass(rows), **how)

    def _batch_size(self, decoding: Decoding) -> int:
        return max(1, self.chunk_size // decoding.num_samples)

    def _decode(
        self,
        prompts: Sequence[Prompt],
        batches: Sequence[list[int]],
        read: Callable[[list[int]], Any],
        decoding: Decoding,
    ) -> list[list[Completion]]:
        found: list[list[Completion]] = [[] for _ in prompts]
        for batch in batches:
            seed = int(digest([decoding.seed, [prompts[i].id for i in batch]])[:15], 16)
            stop = prompts[batch[0]].stop
            generated = self._generate(read(batch), decoding, seed, stop)
            texts = self.tokenizer.batch_decode(generated, skip_special_tokens=True)
            for row, (ids, text) in enumerate(zip(generated, texts, strict=True)):
                found[batch[row // decoding.num_samples]].append(Completion(cut_behind(text, stop), tuple(ids)))
        return found

    @property
    def ends(self) -> list[int]:
        """The tokens that end a response."""
        return end_tokens(self.tokenizer, self.model.generation_config)

    @property
    def window(self) -> int:
        """The longest sequence that the model reads."""
        return int(getattr(self.model.config.get_text_config(), "max_position_embeddings", sys.maxsize))

    @contextmanager
    def drawing(self, seed: int) -> Iterator[None]:
        """Seeds what is drawn within, and leaves the generator as it was."""
        devices = [self.model.device] if self.model.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(seed)
            yield

    def go_on(self, ids: Sequence[Sequence[int]], decoding: Decoding, names: Sequence[str]) -> list[list[int]]:
        """Writes once behind each sequence, in one batch; returns new tokens, with the end token if there is one."""
        padded = self.tokenizer.pad({"input_ids": list(map(list, ids))}, padding_side="left", return_tensors="pt")
        how = _how(replace(decoding, num_samples=1))
        ends, written = self.ends, self._run(padded, how, decoding.max_new_tokens)
        return [row[: next((i + 1 for i, token in enumerate(row) if token in ends), len(row))] for row in written]

    def _generate(self, padded: Any, decoding: Decoding, seed: int, stop: str = "") -> list[list[int]]:
        ends, how = self.ends, _how(decoding)
        if stop:
            how = how | {"stop_strings": [stop], "tokenizer": self.tokenizer}
        with self.drawing(seed):
            completions = self._run(padded, how, decoding.max_new_tokens)
        if stop:  # rows that ended before the others are filled up, without an end token before
            ends = [*ends, self.tokenizer.pad_token_id]
        return [ids[: next((i for i, token in enumerate(ids) if token in ends), len(ids))] for ids in completions]

    def _run(self, padded: Any, how: Mapping[str, Any], max_new_tokens: int) -> list[list[int]]:
        padded = padded.to(self.model.device)
        forget_lengths(self.model)
        with torch.no_grad():
            output = self.model.generate(
                **padded,
                **how,
                max_new_tokens=max_new_tokens,
                pad_token_id=self.tokenizer.pad_token_id,
                eos_token_id=self.ends or None,
            )
        return output[:, padded["input_ids"].shape[1] :].tolist()


def _how(decoding: Decoding) -> dict[str, Any]:
    if decoding.greedy:
        return _GREEDY
    how = _PLAIN | {"do_sample": True, "temperature": decoding.temperature, "top_p": decoding.top_p}
    return how | {"top_k": 0, "num_return_sequences": decoding.num_samples} | decoding.cuts


class VisionPolicy(ModelPolicy):
    """Answers questions with and without images; settings are those of `ModelPolicy`."""

    def __init__(
        self, model: Any, processor: Any, template: PromptTemplate, *, batch_size: int = 32, fingerprint: str = ""
    ) -> None:
        super().__init__(model, processor.tokenizer, template, batch_size=batch_size, fingerprint=fingerprint)
        place_in_time(model)
        self.fingerprint = digest([self.fingerprint, "images"])
        self._prompts: VisionPrompts = VisionPrompts(processor, template)

    def complete(self, prompts: Sequence[Prompt], decoding: Decoding) -> list[list[Completion]]:
        """Decodes in batches of similar length and one template, those with images apart from those without."""
        templates = [repr(each.template) for each in prompts]
        lengths = [(len(each.images), len(str(each.content))) for each in prompts]
        order = sorted(range(len(prompts)), key=lambda i: (templates[i], lengths[i]))
        # How long a prompt with images is shows when it is read; where positions depend on that, each is read alone.
        size = self._batch_size(decoding) if length_free(self.model) else 1
        parts = [list(part) for _, part in groupby(order, key=lambda i: (templates[i], bool(prompts[i].images)))]
        batches = [part[start : start + size] for part in parts for start in range(0, len(part), size)]

        def read(batch: list[int]) -> Any:
            return self._prompts.read([prompts[i] for i in batch])

        return self._decode(prompts, batches, read, decoding)

    def score_letters(self, rows: Sequence[LetterQuestion]) -> list[list[float]]:
        """Scores the live letters of each row; with images, one question at a time, which bounds the memory."""
        scores: list[list[float]] = []
        for seen, group in groupby(rows, key=lambda row: id(row.question) if row.question.images else None):
            together = list(group)
            if seen is None:
                scores += super().score_letters(together)
            else:
                questions = self._prompts.second_pass(together)
                scores += score_letters(
                    self.model, questions, pad_token_id=self.tokenizer.pad_token_id, batch_size=self.chunk_size
                )
        return scores


def make_policy(model: Any, processing: Any, template: PromptTemplate, **settings: Any) -> ModelPolicy:
    """Makes the policy that a model's processing class calls for: a processor reads images, a tokenizer does not."""
    kind = VisionPolicy if reads_images(processing) else ModelPolicy
    return kind(model, processing, template, **settings)


def reads_images(processing: Any) -> bool:
    """Tells a processor of a vision-language model from a tokenizer."""
    return isinstance(processing, ProcessorMixin) and hasattr(processing, "image_processor")
