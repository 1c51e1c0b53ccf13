"""Turns rows as they stand in a file into entries, by their kind."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from align.auditing.entry import Entry, reference_of
from align.data.columns import Columns
from align.data.conversations import Message, check_prompt, conversation_text, message_text
from align.data.demonstration_adapters import DEMONSTRATION_ADAPTERS
from align.data.files import RawRow, Row
from align.data.loading import Schema, find_adapter, name_row
from align.data.media.images import image_digest
from align.data.media.rows import MediaReader
from align.data.pairs.pair import NEEDS as PAIR_COLUMNS
from align.data.pairs.pair import check_differ, split_pair
from align.data.pairs.preference_adapters import PREFERENCE_ADAPTERS
from align.data.pairs.reward_pairs import CSV_TRUTH, check_tie
from align.data.pairs.spans import has_tags, strip_tags
from align.data.problems import BadRow
from align.data.questions.adapters import ADAPTERS, Adapter
from align.data.questions.multiple_choice import NEEDS as QUESTION_COLUMNS
from align.data.rules import check_label, check_row
from align.data.tables.cells import read_number
from align.data.tables.observation_adapters import OBSERVATION_ADAPTERS
from align.data.texts import is_blank
from align.errors import DataError
from align.methods import METHODS
from rewards.reading.options import parse_choice
from rewards.reading.responses import parse_response
from rewards.reading.traces import stated_choice

WRITE = "Write a text."
Check = Callable[[Row, RawRow], Entry]


class Named(NamedTuple):
    """Columns that only the user can name."""

    label: str | None = None  # of SFT rows that are examples of classes
    text: str | None = None  # what was shown, of outcomes
    outcome: str | None = None  # what was observed
    confounders: tuple[str, ...] = ()  # what may have moved it
    prompt: str | None = None  # what the text answers
    mask: str | None = None  # text that should not give the gold away
    attributes: tuple[str, ...] = ()  # what pairs are looked at of
    trace: str | None = None  # how the answer was reached
    source: str | None = None  # who wrote the trace
    correct: str | None = None  # whether the trace is right


def guess_kind(names: Sequence[str], named: Named) -> str:
    """Tells the kind of rows by their columns; empty where none fits.

    Example:
        >>> guess_kind(["prompt", "chosen", "rejected"], Named()), guess_kind(["x"], Named())
        ('pairs', '')
    """
    has = set(names).__contains__
    if named.outcome:
        return "outcomes"
    if has("chosen") and has("rejected"):
        return "pairs"
    if has("question") and has("options"):
        return "questions"
    if has("messages") or (has("prompt") and has("completion")):
        return "sft"
    return "prompts" if has("prompt") else ""


def kind_of_adapter(adapter: str | None) -> str:
    """Tells the kind of rows in a public schema; empty if there is none of this name."""
    known: dict[str, Collection[str]] = {
        "pairs": PREFERENCE_ADAPTERS,
        "questions": ADAPTERS,
        "sft": DEMONSTRATION_ADAPTERS,
        "outcomes": OBSERVATION_ADAPTERS,
    }
    return next((kind for kind, names in known.items() if adapter is not None and adapter in names), "")


def named_by(adapter: str | None, named: Named) -> Named:
    """Fills in the columns that a public schema of outcomes names.

    Example:
        >>> named_by("upworthy", Named(confounders=("hour",)))[1:4]
        ('headline', 'click_rate', ('hour',))
    """
    if adapter not in OBSERVATION_ADAPTERS:
        return named
    roles = OBSERVATION_ADAPTERS[adapter].roles
    return named._replace(
        text=named.text or roles.text,
        outcome=named.outcome or roles.outcome,
        confounders=named.confounders or roles.confounders,
        prompt=named.prompt or roles.prompt,
    )


def schema_of(kind: str, adapter: str | None, columns: Columns | None, named: Named) -> Schema:
    """Returns what rows of a kind look like."""
    needs = {
        "pairs": PAIR_COLUMNS,
        "questions": QUESTION_COLUMNS,
        "prompts": ("prompt",),
        "sft": (),
        "outcomes": tuple(name for name in (named.text, named.outcome, *named.confounders) if name),
    }
    observed = {name: _beside(each.add) for name, each in OBSERVATION_ADAPTERS.items()}
    adapters: Mapping[str, Adapter] = {
        "pairs": PREFERENCE_ADAPTERS,
        "questions": ADAPTERS,
        "sft": DEMONSTRATION_ADAPTERS,
        "outcomes": observed,
    }.get(kind, {})
    if adapter is not None and not adapters:
        raise DataError(
            f"`adapter` is for pairs, questions, demonstrations and outcomes, got {adapter!r} for {kind}. Leave it "
            "out."
        )
    found = find_adapter(adapter, adapters)
    if found is not None and kind == "outcomes" and adapter not in observed:
        found = found[0], _beside(found[1])
    return Schema(needs[kind], found, adapters, columns, _read_in_training(kind))


def _read_in_training(kind: str) -> tuple[str, ...]:
    """Lists the columns of such rows that a method reads."""
    shown = {"pairs": "chosen", "questions": "options", "sft": "completion"}.get(kind, "")
    lists = [getattr(method.part("dataset"), "read", ()) for method in METHODS.values()]
    return tuple(dict.fromkeys(name for names in lists if shown in names for name in names))


def _beside(adapter: Adapter) -> Adapter:
    return lambda row: {**row, **adapter(row)}


def check_of(kind: str, file: str, reader: MediaReader, named: Named) -> Check:
    """Returns the function that checks a row of a kind and makes an entry of it; it raises `BadRow`."""

    def entry(
        row: Row,
        raw: RawRow,
        prompt: str,
        sides: tuple[str, ...] = (),
        gold: int | None = None,
        label: str | None = None,
    ) -> Entry:
        name = check_label("id", row.get("id")) or name_row(raw.row, file)
        images = tuple(image_digest(image) for image in reader.read(row))
        group = check_label("group", row.get("group"))
        masked = None if named.mask is None else _need(row, named.mask)
        attributes = tuple(_attribute(row, column) for column in named.attributes)
        found = Entry(
            name, file, raw.row, prompt, sides, gold, label, group, images, masked=masked, attributes=attributes
        )
        return found._replace(
            trace=None if named.trace is None else _need(row, named.trace),
            source=None if named.source is None else _attribute(row, named.source),
            correct=None if named.correct is None else _truth(row, named.correct),
        )

    def pair(row: Row, raw: RawRow) -> Entry:
        prompt, chosen, rejected = split_pair(row, images=True)[:3]
        if has_tags(chosen) or has_tags(rejected):
            chosen, rejected = strip_tags(chosen, "chosen")[0], strip_tags(rejected, "rejected")[0]
        check_differ(chosen, rejected)
        tied = "tie" in row and check_tie(row, untyped=raw.untyped)[0]  # other pairs may have a `source` of their own
        return entry(row, raw, conversation_text(prompt), (chosen, rejected), None if tied else 0)

    def question(row: Row, raw: RawRow) -> Entry:
        checked = check_row(row, untyped=raw.untyped)
        found = entry(row, raw, checked.question, checked.options, checked.answer)
        if found.trace is None or named.correct is not None:
            return found
        told = chosen_by(found.trace, checked.options)
        return found._replace(correct=None if told is None else told == checked.answer)

    def prompt(row: Row, raw: RawRow) -> Entry:
        asked = check_prompt(row.get("prompt"), images=True)
        return entry(row, raw, conversation_text(asked), label=reference_of(row))._replace(asked=asked)

    def completion(row: Row, raw: RawRow) -> Entry:
        asked, answer = _split_completion(row)
        label = None if named.label is None else _need(row, named.label)
        found = entry(row, raw, conversation_text(asked), (answer,), label=label)._replace(asked=asked)
        return found._replace(trace=answer) if named.trace is None else found

    units: dict[str, str | None] = {}  # what dates of a column are turned into

    def number(row: Row, column: str) -> float:
        found, units[column] = read_number(row.get(column), column, units.get(column))
        return found

    def outcome(row: Row, raw: RawRow) -> Entry:
        assert named.text is not None
        assert named.outcome is not None
        text = _need(row, named.text)
        asked = _need(row, named.prompt) if named.prompt else ""
        numbers = tuple(number(row, name) for name in named.confounders)
        name = check_label("id", row.get("id")) or name_row(raw.row, file)
        attributes = tuple(_attribute(row, column) for column in named.attributes)
        return Entry(
            name, file, raw.row, asked, (text,), outcome=number(row, named.outcome), confounders=numbers,
            attributes=attributes,
        )  # fmt: skip

    return {"pairs": pair, "questions": question, "prompts": prompt, "sft": completion, "outcomes": outcome}[kind]


def chosen_by(trace: str, options: Sequence[str]) -> int | None:
    """Says which option a trace comes to: by its answer where it has one, else by what it states last.

    Example:
        >>> [chosen_by(each, ["iron", "gold"]) for each in ("<think>x</think><answer>B</answer>", "So iron.", "x")]
        [1, 0, None]
    """
    answer = parse_response(trace).answer
    return stated_choice(trace, options) if answer is None else parse_choice(answer, options)


def _split_completion(row: Mapping[str, Any]) -> tuple[str | list[Message], str]:
    """Takes an SFT row apart, in either of TRL's forms."""
    if (messages := row.get("messages")) is not None:
        checked = check_prompt(messages, images=True)
        if isinstance(checked, str) or checked[-1]["role"] != "assistant":
            raise BadRow(
                "messages", messages, "the messages do not end with the assistant's", "End with what is taught."
            )
        return checked[:-1], _filled("messages", message_text(checked[-1]))
    answer = row.get("completion")
    if isinstance(answer, list | tuple) and answer:
        answer = conversation_text(check_prompt(answer))
    return check_prompt(row.get("prompt"), images=True), _filled("completion", answer)


def _filled(column: str, text: object) -> str:
    if not isinstance(text, str) or is_blank(text):
        raise BadRow(column, text, "the completion is missing or empty", WRITE)
    return text


def _need(row: Mapping[str, Any], column: str) -> str:
    value = row.get(column)
    if value is None or is_blank(str(value)):
        raise BadRow(column, value, "the value is missing or empty", WRITE)
    return str(value)


def _attribute(row: Mapping[str, Any], column: str) -> str:
    value = row.get(column)
    if value is None or isinstance(value, list | tuple | dict) or is_blank(str(value)):
        raise BadRow(column, value, "the attribute is missing, empty or a list", "Write a short text or a number.")
    return str(value)


def _truth(row: Mapping[str, Any], column: str) -> bool:
    value = row.get(column)
    found = CSV_TRUTH.get(value.strip().lower()) if isinstance(value, str) else value
    if found not in (True, False):
        raise BadRow(column, value, "the value is neither true nor false", "Write true or false.")
    return bool(found)
