import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from align.recipe.dataset import DEFAULT_TEMPLATE, check_system_prompt, check_template
from rewards.reading.options import render_options

Prompt = str | list[dict[str, Any]]
PLACEHOLDER = re.compile(r"\{(question|options)\}")


@dataclass(frozen=True)
class PromptTemplate:
    r"""Makes a prompt from a question and its options.

    `template` has `{question}` and `{options}` once each; other braces are ordinary text. Raises `ValueError` if one
    is missing, or if a `system_prompt` stands before a prompt that is no messages.

    Example:
        >>> PromptTemplate("{question}\n{options}\n", conversational=False).render("Which rusts?", ["iron", "gold"])
        'Which rusts?\nA. iron\nB. gold\n'
    """

    template: str = DEFAULT_TEMPLATE
    system_prompt: str | None = None
    conversational: bool = True

    def __post_init__(self) -> None:
        check_template(self.template)
        check_system_prompt(self.system_prompt, self.conversational)

    def render(self, question: str, options: Sequence[str]) -> Prompt:
        """Renders a question with its options in the order given."""
        parts = {"question": question, "options": render_options(options)}
        text = PLACEHOLDER.sub(lambda match: parts[match[1]], self.template)
        if not self.conversational:
            return text
        system = [] if self.system_prompt is None else [{"role": "system", "content": self.system_prompt}]
        return [*system, {"role": "user", "content": text}]
