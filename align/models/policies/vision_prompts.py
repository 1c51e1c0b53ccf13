from collections.abc import Sequence
from typing import Any, NamedTuple

from torch.nn.functional import pad

from align.data.conversations import put_images_in
from align.data.questions.multiple_choice import Question
from align.data.questions.templates import PromptTemplate
from align.data.template_settings import template_settings
from align.errors import UserError
from align.models.policies.asking import Prompt
from align.models.policies.token_policy import TokenPrompts
from align.models.reading import render, rendering
from align.models.second_pass.forward import SecondPassRow
from align.models.videos import engine_media, opened, places, shown, video_reading
from align.models.vllm_engine import placeholder_ids


class ProcessedPrompt(NamedTuple):
    """A prompt with images as the model reads it, and as text."""

    row: SecondPassRow  # each image is as many tokens as the model reads
    text_ids: list[int]  # each image is one placeholder

    def respell(self, text_ids: list[int]) -> SecondPassRow | None:
        """Makes the row of another prompt with the same images from its text; None if the texts differ before them.

        Example:
            >>> known = ProcessedPrompt(SecondPassRow([1, 9, 9, 9, 2, 5], [], []), [1, 9, 2, 5])
            >>> known.respell([1, 9, 2, 6, 7]).prompt_ids
            [1, 9, 9, 9, 2, 6, 7]
        """
        tail = self._tail()
        head = len(self.text_ids) - tail
        if text_ids[:head] != self.text_ids[:head]:
            return None
        kept = len(self.row.prompt_ids) - tail
        ids = self.row.prompt_ids[:kept] + text_ids[head:]
        images = {
            name: pad(value[:, :kept], (0, len(ids) - kept)) if name.endswith("token_type_ids") else value
            for name, value in self.row.images.items()
        }
        return SecondPassRow(ids, [], [], images)

    def _tail(self) -> int:
        """Counts the tokens behind the last image that both spellings end with."""
        pairs = zip(reversed(self.row.prompt_ids), reversed(self.text_ids), strict=False)
        same = next((i for i, (left, right) in enumerate(pairs) if left != right), len(self.text_ids))
        types = [value[0].flip(0) for name, value in self.row.images.items() if name.endswith("token_type_ids")]
        of_text = [int(value.nonzero()[0]) if value.any() else len(value) for value in types]
        return min([same, *of_text])


class VisionPrompts(TokenPrompts):
    """Renders questions with their images, or their video, and makes of them what the model reads."""

    def __init__(self, processor: Any, template: PromptTemplate) -> None:
        super().__init__(processor.tokenizer, template)
        self.processor = video_reading(processor)
        self._respells: bool | None = None  # whether the processor's tokens can be told from those of the text

    def show(self, question: Question) -> str:
        """Returns a prompt as text, chat template and one placeholder per image included."""
        return self._show(question, range(len(question.options)))

    def prompt_rows(self, prompts: Sequence[tuple[Question, Sequence[int]]]) -> list[SecondPassRow]:
        """Processes the images of each question once; equal prompts become one object, which is then read once."""
        keys = [(id(question), *order) for question, order in prompts]
        made: dict[tuple[int, ...], SecondPassRow] = {}
        known: dict[int, ProcessedPrompt] = {}
        for key, prompt in zip(keys, prompts, strict=True):
            if key not in made:
                made[key] = self._row(prompt, known) if prompt[0].images else self.process(self.prompt(*prompt))
        return [made[key] for key in keys]

    def read(self, prompts: Sequence[Prompt]) -> Any:
        """Returns a batch as `generate` takes it, padded on the left; of one template, all or none with images."""
        if given := next((prompt.id for prompt in prompts if prompt.prefix or prompt.stop), None):
            raise UserError(
                f"Prompt {given!r} fixes how its response begins or ends, and a policy that reads images cannot be "
                "held to it. Ask one that reads text only."
            )
        rendered = [
            self._render(each, [{"type": "image", "image": image} for image in opened(self._shown(each))])
            for each in prompts
        ]
        padding = {"padding": True, "padding_side": "left"}
        settings = template_settings(prompts[0].template) if prompts[0].template else {}
        if isinstance(rendered[0], str):
            return self.processor(text=rendered, return_tensors="pt", **padding)
        return render(
            self.processor,
            rendered,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs=padding,
            **settings,
        )

    def _row(self, prompt: tuple[Question, Sequence[int]], known: dict[int, ProcessedPrompt]) -> SecondPassRow:
        text_ids = self.tokenizer(self._show(*prompt))["input_ids"]
        respelt = None
        if self._respells is not False and id(prompt[0]) in known:
            respelt = known[id(prompt[0])].respell(text_ids)
        if respelt is not None and self._respells:
            return respelt
        row = self.process(self.prompt(*prompt))
        if respelt is not None:
            self._respells = row.prompt_ids == respelt.prompt_ids
        known.setdefault(id(prompt[0]), ProcessedPrompt(row, text_ids))
        return row

    def process(self, prompt: Prompt) -> SecondPassRow:
        """Makes of a prompt what the model reads, each image as many tokens as it has for it."""
        fields = dict(self.read([prompt]))
        ids = fields.pop("input_ids")[0].tolist()
        fields.pop("attention_mask", None)
        return SecondPassRow(ids, [], [], fields if prompt.images else {})

    def _show(self, question: Question, order: Sequence[int]) -> str:
        prompt = self.prompt(question, order)
        rendered = self._render(prompt, places(self._shown(prompt)))
        if isinstance(rendered, str):
            return rendered
        return str(render(self.processor, rendered, add_generation_prompt=True, tokenize=False))

    def _shown(self, prompt: Prompt) -> list[Any]:
        return shown(prompt.images, prompt.video, self.processor)

    def _render(self, prompt: Prompt, images: list[dict[str, Any]]) -> Any:
        if not isinstance(prompt.content, str):
            if self.processor.chat_template is None:
                raise UserError(
                    "The processor has no chat template, and prompts are messages. Save one beside the model."
                )
            return put_images_in(prompt.content, images)
        if images:
            raise UserError(
                f"{prompt.id!r} has images, which need messages, and prompts are plain text. Give "
                "`--conversational`, or a `--recipe` with `conversational: true`."
            )
        return prompt.content


class EnginePrompts(VisionPrompts):
    """Prompts as vLLM reads them: one token for an image or video, which the engine's processor expands, and these."""

    def encode_prompts(self, prompts: Sequence[Prompt]) -> list[list[int]]:
        """Tokenises prompts, with images or without, and behind each how its response begins."""
        return [self._ids(each) + self._begun(each) for each in prompts]

    def media(self, prompt: Prompt) -> dict[str, Any]:
        """Opens the images of a prompt."""
        return engine_media(opened(self._shown(prompt)))

    def prompt_rows(self, prompts: Sequence[tuple[Question, Sequence[int]]]) -> list[SecondPassRow]:
        """Tokenises prompts as rows of a second pass, which hold images as the engine takes them."""
        media: dict[int, dict[str, Any]] = {}
        made = []
        for (question, _), ids in zip(prompts, self.encode(prompts), strict=True):
            if id(question) not in media:
                media[id(question)] = self.media(self.prompt(question))
            made.append(SecondPassRow(ids, [], [], media[id(question)]))
        return made

    def _ids(self, prompt: Prompt) -> list[int]:
        rendered = self._render(prompt, places(self._shown(prompt)))
        if isinstance(rendered, str):
            return list(self.tokenizer(rendered)["input_ids"])
        with rendering(self.tokenizer):
            return placeholder_ids(self.processor, [rendered], **template_settings(prompt.template))[0]
