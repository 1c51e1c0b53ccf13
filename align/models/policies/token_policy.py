"""What every policy with a tokenizer shares: prompts in tokens, and the place of the letter in a response."""

from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from align.data.questions.multiple_choice import Question
from align.data.questions.templates import PromptTemplate
from align.data.template_settings import template_settings
from align.errors import UserError
from align.models.policies.asking import LetterQuestion, Prompt
from align.models.reading import render
from align.models.second_pass.answer_place import AnswerPlace, answer_place, retokenised_place
from align.models.second_pass.forward import SecondPassRow
from rewards.reading.options import permute


class TokenPrompts:
    """Renders and tokenises questions, as in training."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, template: PromptTemplate) -> None:
        self.tokenizer = tokenizer
        self.template = template

    def show(self, question: Question) -> str:
        """Returns a prompt as text, chat template included."""
        prompt = self.template.render(question.question, question.options)
        return prompt if isinstance(prompt, str) else str(self._apply(prompt, tokenize=False))

    def encode(self, prompts: Sequence[tuple[Question, Sequence[int]]]) -> list[list[int]]:
        """Tokenises questions with their options in some order."""
        return self.encode_prompts([self.prompt(*each) for each in prompts])

    def prompt(self, question: Question, order: Sequence[int] | None = None) -> Prompt:
        """Renders a question, its options in some order or in their own."""
        options = question.options if order is None else permute(question.options, order)
        content = self.template.render(question.question, options)
        return Prompt(question.id, content, question.images, video=question.video)

    def encode_prompts(self, prompts: Sequence[Prompt]) -> list[list[int]]:
        """Tokenises prompts, each as a text or with the chat template, and behind it how the response begins."""
        with_images = next((prompt.id for prompt in prompts if prompt.images), None)
        if with_images is not None:
            raise UserError(
                f"{with_images!r} has images, and this policy reads text only. Make it with `make_policy` and the "
                "model's processor."
            )
        texts = [prompt.content for prompt in prompts if isinstance(prompt.content, str)]
        encoded = iter(self.tokenizer(texts)["input_ids"] if texts else ())
        rows = [
            list(next(encoded))
            if isinstance(prompt.content, str)
            else list(
                self._apply(prompt.content, tokenize=True, return_dict=False, **template_settings(prompt.template))
            )
            for prompt in prompts
        ]
        return [row + self._begun(prompt) for row, prompt in zip(rows, prompts, strict=True)]

    def _begun(self, prompt: Prompt) -> list[int]:
        """Tokenises how the response to a prompt begins."""
        return list(self.tokenizer(prompt.prefix, add_special_tokens=False)["input_ids"]) if prompt.prefix else []

    def media(self, prompt: Prompt) -> dict[str, Any]:
        """Returns what vLLM takes beside the tokens of a prompt: nothing for a text."""
        return {}

    def prompt_rows(self, prompts: Sequence[tuple[Question, Sequence[int]]]) -> list[SecondPassRow]:
        """Tokenises prompts as rows of a second pass, whose prefix and letters are still to be put in."""
        return [SecondPassRow(ids, [], []) for ids in self.encode(prompts)]

    def second_pass(self, rows: Sequence[LetterQuestion]) -> list[SecondPassRow]:
        """Tokenises questions with the beginning of a response."""
        prompts = self.prompt_rows([(row.question, row.order) for row in rows])
        places: dict[tuple[str, int, int], AnswerPlace] = {}
        found = []
        for row, prompt in zip(rows, prompts, strict=True):
            key = (row.prefix, id(row.first), len(row.order))
            if key not in places:
                places[key] = self._place(row)
            found.append(prompt._replace(**places[key]._asdict()))
        return found

    def _place(self, row: LetterQuestion) -> AnswerPlace:
        try:
            if row.first is None or row.first.completion.ids is None:
                return retokenised_place(self.tokenizer, row.prefix, len(row.order))
            completion = row.first.completion
            return answer_place(
                self.tokenizer, completion.ids or (), completion.text, row.first.response, len(row.order)
            )
        except ValueError as error:
            raise UserError(f"A second answer cannot be read: {error} Or measure `--suite accuracy` only.") from error

    def _apply(self, messages: Any, **how: Any) -> Any:
        if self.tokenizer.chat_template is None:
            raise UserError(
                "The tokenizer has no chat template, and prompts are messages. Questions are asked without one with "
                "`--no-conversational`, or a `--recipe` with `conversational: false`; prompts in a file must be texts."
            )
        return render(self.tokenizer, messages, add_generation_prompt=True, **how)


def cut_behind(text: str, stop: str) -> str:
    """Ends a text behind the first `stop` in it; without one, or where `stop` is empty, it stays.

    Example:
        >>> cut_behind("4</answer> or", "</answer>")
        '4</answer>'
    """
    head, found, _ = text.partition(stop) if stop else (text, "", "")
    return head + found


def end_tokens(tokenizer: PreTrainedTokenizerBase, generation_config: Any) -> list[int]:
    """Lists the tokens that end a response, those of a checkpoint's generation config included."""
    end = getattr(generation_config, "eos_token_id", None)
    return sorted({tokenizer.eos_token_id, *(end if isinstance(end, list) else [end])} - {None})
