"""Prompts with images, as TRL's parts and vLLM need them."""

from typing import TYPE_CHECKING, Any

from trl.data_utils import prepare_multimodal_messages

from align.errors import UserError
from align.models.vllm_engine import placeholder_ids

if TYPE_CHECKING:
    from trl import GRPOTrainer as Parent
else:
    Parent = object


class ImagePrompts(Parent):
    """Lets rows without images stand beside rows with images, and vLLM see each image once."""

    def _tokenize_prompts(self, prompts: list[Any]) -> tuple[list[Any], list[Any] | None, dict[str, Any]]:
        prompt_ids, images, fields = super()._tokenize_prompts(prompts)
        if images and self.use_vllm and self.vllm_mode == "colocate":
            if self.tools:
                raise UserError("Tools and images do not go together with `vllm_mode: colocate`. Use `server`.")
            processor: Any = self.processing_class
            template: Any = self.chat_template_kwargs
            messages = [prepare_multimodal_messages(prompt) for prompt in prompts]
            self._engine_prompt_ids = placeholder_ids(
                processor, messages, chat_template=self.chat_template, **template
            )
        # TRL 1.16 says None for a prompt without images, which the processors refuse beside prompts with images.
        return prompt_ids, images and [each or [] for each in images], fields

    def _generate_single_turn(
        self, prompt_ids: list[Any], images: list[Any] | None, *args: Any, **kwargs: Any
    ) -> tuple[list[Any], list[Any] | None]:
        prompt_ids, images = self._for_engine(prompt_ids, images)
        found: tuple[list[Any], list[Any] | None] = super()._generate_single_turn(prompt_ids, images, *args, **kwargs)
        return found

    def _for_engine(self, prompt_ids: list[Any], images: list[Any] | None) -> tuple[list[Any], list[Any] | None]:
        """Returns the prompts of the last call of `_tokenize_prompts` as vLLM takes them."""
        if not (images and self.use_vllm):
            return prompt_ids, images
        images = [each or None for each in images]
        return (self._engine_prompt_ids if self.vllm_mode == "colocate" else prompt_ids), images
