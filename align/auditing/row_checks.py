"""How rows of each kind are read: by the readers of the methods, with the columns that only the user can name."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from align.auditing.entry import Entry, entry_of
from align.data.columns import Columns
from align.data.demonstration_adapters import DEMONSTRATION_ADAPTERS
from align.data.demonstrations import demonstration_source
from align.data.files import RawRow, Row
from align.data.loading import Schema
from align.data.media.rows import MediaReader
from align.data.pairs.preference_adapters import PREFERENCE_ADAPTERS
from align.data.pairs.preferences import preference_source
from align.data.pairs.reward_pairs import reward_pair_source
from align.data.problems import BadRow
from align.data.prompt_rows import prompt_source
from align.data.question_checks import check_id
from align.data.questions.adapters import ADAPTERS, Adapter
from align.data.questions.multiple_choice import question_source
from align.data.row_templates import RowTemplate
from align.data.streaming import RowSource
from align.data.tables.cells import read_number, stands_for_label
from align.data.tables.observation_adapters import OBSERVATION_ADAPTERS, find_observation_adapter
from align.data.texts import is_blank
from align.methods import METHODS

WRITE = "Write a text."


class Named(NamedTuple):
    """Columns that only the user can name."""

    label: str | None = None  # of SFT rows that are examples of classes
    text: str | None = None  # what was shown, of outcomes
    outcome: str | None = None  # what was observed
    confounders: tuple[str, ...] = ()  # what may have moved it
    prompt: str | None = None  # what the text answers


def guess_kind(names: Sequence[str], named: Named) -> str:
    """Tells the kind of rows by their columns; empty where none fits.

    Example:
        >>> guess_kind(["prompt", "chosen", "rejected"], Named()), guess_kind(["x"], Named())
        ('pairs', '')
    """
    has = set(names)
    if named.outcome:
        return "outcomes"
    if {"chosen", "rejected"} <= has:
        return "pairs"
    if {"question", "options"} <= has:
        return "questions"
    if has & {"messages", "conversations"} or {"prompt", "completion"} <= has:
        return "sft"
    if "prompt" in has:
        return "prompts"
    return "sft" if "text" in has and has <= {*_read_in_training("sft")} else ""  # beside others it may be anything


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
    roles, names = OBSERVATION_ADAPTERS[adapter].roles, ("text", "outcome", "confounders", "prompt")
    return named._replace(**{name: getattr(named, name) or getattr(roles, name) for name in names})


def source_of(
    kind: str,
    place: tuple[str, str | None],
    named: Named,
    *,
    reader: MediaReader,
    adapter: str | None = None,
    columns: Columns | None = None,
    template: RowTemplate | None = None,
) -> RowSource[Entry]:
    """Returns how rows of a file and its split become entries: read as the methods that learn from them read them."""
    file, split = place
    if kind == "outcomes":
        return _observed(file, named, adapter, columns)
    given: dict[str, Any] = {"adapter": adapter, "columns": columns, "reader": reader}
    if kind == "pairs":
        source: RowSource[Any] = _pairs(file, split, **given)
    elif kind == "questions":
        source = question_source(file, **given)
    elif kind == "sft":
        source = demonstration_source(file, **given)
    else:
        source = prompt_source(file, template=template, **given)

    def check(row: Row, raw: RawRow) -> Entry:
        found = entry_of(source.check(row, raw), file)
        group = found.group or row.get("group")
        return found._replace(
            label=_need(row, named.label) if kind == "sft" and named.label is not None else found.label,
            group=str(group) if isinstance(group, str | int) and str(group).strip() else None,
        )

    return RowSource(file, split, source.schema._replace(also=_read_in_training(kind)), check)


def _pairs(file: str, split: str | None, **given: Any) -> RowSource[Any]:
    """Reads pairs as those of a policy, and those that are said to be ties or not as those of a reward model."""
    ordered = preference_source(file, split=split, **given)
    told = reward_pair_source(file, split=split)

    def check(row: Row, raw: RawRow) -> Any:
        return (told if "tie" in row else ordered).check(row, raw)

    return replace(ordered, check=check)


def _read_in_training(kind: str) -> tuple[str, ...]:
    shown = {"pairs": "chosen", "questions": "options", "sft": "completion"}.get(kind, "")
    lists = [getattr(method.part("dataset"), "read", ()) for method in METHODS.values()]
    return tuple(dict.fromkeys(name for names in lists if shown in names for name in names))


def _observed(file: str, named: Named, adapter: str | None, columns: Columns | None) -> RowSource[Entry]:
    """Reads outcomes, with what moves them, whose columns the user names."""
    units: dict[str, str | None] = {}  # what dates of a column are turned into

    def number(row: Row, column: str) -> float:
        found, units[column] = read_number(row.get(column), column, units.get(column))
        return found

    labels: dict[str, bool] = {}  # whether the first value of a column is one

    def confounder(row: Row, column: str) -> float | str:
        value = row.get(column)
        if labels.setdefault(column, stands_for_label(value) or isinstance(value, list | Mapping)):
            return _need(row, column)
        return number(row, column)

    def check(row: Row, raw: RawRow) -> Entry:
        assert named.text is not None
        assert named.outcome is not None
        text = _need(row, named.text)
        asked = _need(row, named.prompt) if named.prompt else ""
        numbers = tuple(confounder(row, name) for name in named.confounders)
        name = check_id(row, raw)
        outcome = number(row, named.outcome)
        return Entry(name, file, raw.row, asked, (text,), outcome=outcome, confounders=numbers)

    found = find_observation_adapter(adapter)
    needs = tuple(name for name in (named.text, named.outcome, *named.confounders) if name)
    schema = Schema(needs, found and (found[0], _beside(found[1])), columns=columns)
    return RowSource(file, None, schema, check)


def _beside(adapter: Adapter) -> Adapter:
    return lambda row: {**row, **adapter(row)}


def _need(row: Mapping[str, Any], column: str) -> str:
    value = row.get(column)
    if value is None or is_blank(str(value)):
        raise BadRow(column, value, "the value is missing or empty", WRITE)
    return str(value)
