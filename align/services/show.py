"""`align show`: a few rows as the model will read them, what rewards get of them, and what the first one pays."""

import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from itertools import takewhile
from operator import itemgetter
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from align.assets import find_recipe, written_recipe
from align.checks.launch import current_launch
from align.checks.lengths import place_images
from align.checks.rewards import trial_settings
from align.data.conversations import conversation_text
from align.errors import RecipeError, UserError
from align.evaluation.with_tools import NamedTools
from align.models.prompt_tokenizer import PromptTokenizer
from align.models.rewards import named_rewards
from align.recipe.recipe import Recipe, load_recipe
from align.recipe.reward_settings import short_name
from align.rehearsal.plan import Plan, Rehearsing
from align.secrets import mask
from align.services.prepared import Prepared, prepare
from rewards.attacks.honest import find_honest
from rewards.attacks.paying import Paying, Unusable, apart, begin
from rewards.places import index_of, options_of
from rewards.reading.options import LETTERS
from rewards.roles import write_all
from rewards.running.contract import Limits, RewardSpec
from rewards.running.workers import WorkerError

SHOWN, BESIDE = 3, 61  # rows, and others among which the first reward's right answers are found
_TOOLS = "The template also writes the descriptions of the tools, which are not among these tokens."
_LONGEST = 300  # characters of a column


@dataclass
class ShownRow:
    """One row of the data.

    Attributes:
        row: Its place in the data.
        prompt: What the model reads, its special tokens among it; as it is in the data where no tokenizer is here.
        tokens: How many these are, without those of images; None where no tokenizer is here.
        columns: What rewards get beside the prompt, in words.
        pays: What the first reward pays for a response, as `(what it is, response, pay)`; nan is no number.
        said: What the model says, where it was asked.
    """

    row: int
    prompt: str
    tokens: int | None
    columns: dict[str, str]
    pays: list[tuple[str, str, float]] = field(default_factory=list)
    said: str | None = None


@dataclass(frozen=True, repr=False)
class Shown:
    """Some rows of a recipe before its run.

    Attributes:
        rows: The rows.
        reward: Name of the first reward; empty where the method has none.
        note: Where right answers were found, or why the first reward was not asked.
    """

    rows: list[ShownRow]
    reward: str = ""
    note: str = ""

    def __str__(self) -> str:
        lines: list[str] = []
        for each in self.rows:
            count = "its tokenizer is not on this machine" if each.tokens is None else f"{each.tokens:,} tokens"
            lines += [f"row {each.row + 1:,}, {count}", each.prompt, "", *map(": ".join, each.columns.items())]
            lines += [f"{self.reward} pays {pay:.4g} for {what}: {text}" for what, text, pay in each.pays]
            lines += [*([] if each.said is None else [f"the model says: {each.said}"]), ""]
        return mask("\n".join([*lines, *filter(None, [self.note])]).rstrip())

    __repr__ = __str__


def show(recipe: str | Path | Mapping[str, Any], *, ask: bool = False, **settings: Any) -> Shown:
    """Shows three rows of a recipe before its run, as `align show` does.

    Args:
        recipe: A file, the name of a shipped one, or its keys and values.
        ask: Whether the model answers them, too.
        **settings: Keys of the recipe that win over the file, such as `dataset={"shuffle_options": True}`.

    Raises:
        UserError: If the recipe, its data or its rewards cannot be read, or its model be asked.
    """
    return show_words(written_recipe(recipe), (), ask=ask, settings=settings)


def show_words(
    name: str, overrides: Sequence[str], *, ask: bool = False, settings: Mapping[str, Any] | None = None
) -> Shown:
    """Shows rows of a recipe whose settings are words of a command line, values, or both."""
    recipe = load_recipe(find_recipe(name), overrides, settings)
    if ask and not recipe.record.has_rewards:
        raise UserError(f"`--ask` samples a policy, and `method: {recipe.method}` has none. Leave it out.")
    with redirect_stdout(sys.stderr):
        prepared = prepare(recipe, current_launch())
        if broken := [each.whole for each in prepared.errors if each.check in ("data", "rewards") or ask]:
            raise RecipeError(" ".join(broken))
        data, tokenizer = prepared.training_data, prepared.model.tokenizer
        places = sorted({0, len(data.rows) // 2, len(data.rows) - 1})
        rows = [data.rows[place] for place in places]
        shown = [_shown(place, row, tokenizer) for place, row in zip(places, rows, strict=True)]
        note = _pay(recipe, data.rows, rows, shown) if recipe.reward_funcs else ""
        if NamedTools.of_recipe(recipe).is_named:
            note = f"{note} {_TOOLS}".strip()
        if ask:
            _ask(recipe, prepared, rows, shown)
    return Shown(shown, short_name(recipe.reward_funcs[0]) if recipe.reward_funcs else "", note)


def _shown(place: int, row: Mapping[str, Any], tokenizer: PromptTokenizer | None) -> ShownRow:
    prompt = place_images(row.get("prompt", ""), len(row.get("images") or ()))
    columns = {name: _in_words(value, row) for name, value in row.items() if name != "prompt"}
    if tokenizer is None:
        return ShownRow(place, prompt if isinstance(prompt, str) else conversation_text(prompt), None, columns)
    is_text = isinstance(prompt, str)
    try:
        text = prompt if isinstance(prompt, str) else tokenizer.render(prompt)
    except TemplateError as error:
        raise RecipeError(f"The chat template fails on row {place + 1}: {error}. Set `chat_template_path`.") from error
    (read,) = tokenizer.encode([text], add_special_tokens=is_text)
    marks = [*zip(read.tokens, read.special_tokens_mask, strict=True)]  # which the tokenizer adds at the ends
    before, behind = ([token for token, _ in takewhile(itemgetter(1), each)] for each in (marks, reversed(marks)))
    return ShownRow(place, "".join([*before, text, *reversed(behind)]), len(read.ids), columns)


def _in_words(value: Any, row: Mapping[str, Any]) -> str:
    """Writes a value of a row, an index of its options with the option."""
    options = options_of(row.get("options"))
    if options and type(value) is int and (place := index_of(value, options)) is not None:
        return f'{value} (index of "{LETTERS[place]}", {options[place]})'
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ... {len(text) - _LONGEST:,} characters more"


def _pay(recipe: Recipe, data: Sequence[Any], rows: Sequence[Any], shown: Sequence[ShownRow]) -> str:
    """Adds what the first reward pays for each row's right answer and another row's; returns a note on them."""
    spec = named_rewards(recipe)[recipe.reward_funcs[0]]
    if isinstance(spec, str):
        return f"{recipe.reward_funcs[0]} is a reward model, which is not loaded here."
    others = [data[place] for place in range(0, len(data), max(1, len(data) // BESIDE))][:BESIDE]
    try:
        with apart([spec], Limits()) as (subject,):
            return _pay_in(subject, spec, trial_settings(recipe, [*rows, *others]), shown)
    except WorkerError as error:
        raise UserError(f"Rewards are called in a process of their own. {error}") from error


def _pay_in(subject: Any, spec: RewardSpec, settings: Any, shown: Sequence[ShownRow]) -> str:
    name = short_name(spec.spec)
    try:
        calls = Paying(*begin(subject, settings))
    except Unusable as unusable:
        return str(unusable)
    if calls.trial.description.asks_a_model:
        return f"{name} asks a model, which is not paid for here."
    honest = find_honest(calls.pay, list(settings.rows), calls.trial)
    if not honest.tells:
        return f"{name} pays each answer as another row's: it is a format reward, or see `align rewards check`."
    decoys = write_all(honest.role.write, honest.role.decoys[0])
    pays = calls.pay(list(settings.rows), decoys, "another row's answer")
    for place, each in enumerate(shown):
        for what, text, pay in (
            ("the right answer", honest.texts[place], honest.pays[place]),
            ("another row's answer", decoys[place], pays[place]),
        ):
            each.pays += [] if text is None else [(what, text, float(pay))]
    return f"Right answers stand in `{honest.role.place}`, and are written {honest.role.form}."


def _ask(recipe: Recipe, prepared: Prepared, rows: Sequence[Any], shown: Sequence[ShownRow]) -> None:
    """Has the model answer each row once, with the settings, template and tools of the recipe."""
    from align.methods.rollouts.rehearsal import sample
    from align.models.transcripts.transcript import Transcript

    with tempfile.TemporaryDirectory(prefix="align-show-") as folder:
        options = Rehearsing(num_prompts=len(rows), num_samples=1)
        data = prepared.training_data._replace(rows=rows, stream=None)
        found = sample(Plan(recipe, data, prepared.rewards, options, Path(folder), None, {}))
    for each, (said,) in zip(shown, found.completions, strict=True):
        each.said = conversation_text(said.completion) if isinstance(said, Transcript) else str(said.text)
