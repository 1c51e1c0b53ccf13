from collections.abc import Sequence
from itertools import groupby
from typing import Any

from transformers import ProcessorMixin

from align.data.questions.templates import PromptTemplate
from align.models.policies.answer_keys import digest
from align.models.policies.asking import Completion, Decoding, LetterQuestion, Prompt
from align.models.policies.model_policy import ModelPolicy
from align.models.policies.vision_prompts import VisionPrompts
from align.models.rope_lengths import length_free
from align.models.second_pass.forward import score_letters
from align.models.videos import place_in_time


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
