from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from align.data.problems import BadRow
from align.data.question_checks import check_row
from align.recipe.dataset import PLACE, MadePrompts, places_of
from rewards.reading.options import render_options

OPTIONS = "options"


@dataclass(frozen=True)
class RowTemplate:
    r"""Makes the prompt of a row of its other columns, named in braces; `{{name}}` is `{name}` as it stands.

    Example:
        >>> template = RowTemplate(("Who wrote {title}?", "Name the authors of {title}."), conversational=False)
        >>> template.render({"title": "Emma"}, 1)
        'Name the authors of Emma.'
    """

    wordings: tuple[str, ...]
    system_prompt: str | None = None
    conversational: bool = True
    has_labels: bool = True  # whether a question with options has its right answer

    @property
    def columns(self) -> tuple[str, ...]:
        """What rows need for it."""
        names = dict.fromkeys(name for wording in self.wordings for name in places_of(wording))
        return (*names, "answer") if OPTIONS in names and self.has_labels else tuple(names)

    def fill(self, row: Mapping[str, Any], *, untyped: bool = False) -> dict[str, Any]:
        """Adds the prompt to a row, in the first wording; a question with options is checked as multiple choice."""
        added: dict[str, Any] = {}
        if OPTIONS in self.columns:
            checked = check_row(row, untyped=untyped, has_label=self.has_labels)
            added = {"question": checked.question, OPTIONS: list(checked.options)}
            added |= {"answer": checked.answer} if self.has_labels else {}
        return dict(row.items()) | added | {"prompt": self.render(ChainMap(added, cast(Any, row)))}

    def render(self, row: Mapping[str, Any], wording: int = 0) -> Any:
        """Words a row."""
        text = PLACE.sub(lambda match: f"{{{match[1]}}}" if match[1] else _word(row, match[2]), self.wordings[wording])
        if not self.conversational:
            return text
        system = [] if self.system_prompt is None else [{"role": "system", "content": self.system_prompt}]
        return [*system, {"role": "user", "content": text}]


def template_of(data: MadePrompts) -> RowTemplate | None:
    """Returns what makes the prompts of a `dataset` block; None where rows have theirs."""
    has_labels = getattr(data, "labels", "given") == "given"
    made = RowTemplate(data.wordings, data.system_prompt, data.conversational, has_labels)
    return made if data.wordings else None


def _word(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if name == OPTIONS and isinstance(value, list):
        return render_options(value)
    if value is None or isinstance(value, bool) or not isinstance(value, str | int | float):
        remedy = "`prompt_template` writes it into the prompt."
        raise BadRow(name, value, "the value is neither a text nor a number", remedy)
    return str(value)
