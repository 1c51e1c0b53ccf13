"""Facts: a subject and an object, a prompt that asks for the object, and one that asks for the subject."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from align.data.problems import BadRow
from align.data.rules import check_label
from align.errors import DataError
from align.evaluation.suite import Loaded, Reading
from align.evaluation.suites.rows import check_text, check_texts, load_suite_rows
from rewards.reading.responses import DEFAULT_FORMAT, ResponseFormat, parse_response
from rewards.scoring.text_accuracy import normalise_text


def stated_text(response: str, tags: ResponseFormat = DEFAULT_FORMAT) -> str:
    r"""Returns where a response states its answer: tags, behind `Answer:`, or its first line; '' if tags are broken.

    Example:
        >>> stated_text("<answer>Ada</answer>"), stated_text(" Ada Lovelace.\nShe was born"), stated_text("<think>Ada")
        ('Ada', 'Ada Lovelace.', '')
    """
    answer = parse_response(response, tags).answer
    if answer is not None:
        return answer
    rest = response.rpartition(f"</{tags.think_tag}>")[2]
    if any(f"<{tag}>" in rest for tag in (tags.think_tag, tags.answer_tag)) or f"</{tags.answer_tag}>" in rest:
        return ""
    return next((line.strip() for line in rest.splitlines() if line.strip()), "")


def has_name(text: str, name: str) -> bool:
    """Tells whether a text holds a name as whole words; case, accents and typographic signs do not count.

    Example:
        >>> has_name("It was Zoë Bell.", "Zoe Bell"), has_name("Annabel", "Anna")
        (True, False)
    """
    text, name = plain(text), plain(name)
    start = text.find(name)
    while start >= 0:
        end = start + len(name)
        before, after = text[start - 1 : start] + name[0], name[-1] + text[end : end + 1]
        if not (_is_one_word(before) or _is_one_word(after)):
            return True
        start = text.find(name, start + 1)
    return False


def plain(text: str) -> str:
    """Writes a text as names are compared."""
    return normalise_text(text, ignore_accents=True)


def _is_one_word(two: str) -> bool:
    """Whether two characters stand in one word; scripts without capitals may write words without spaces."""
    return len(two) == 2 and all(each.isdigit() or each.lower() != each.upper() for each in two)


_TRUE, _FALSE = ("true", "1", "yes"), ("false", "0", "no", "")  # as tables write it


@dataclass(frozen=True)
class Fact:
    """A fact."""

    id: str
    forward: str  # names the subject and asks for the object
    objects: tuple[str, ...]  # names of it; the first is the one whose likelihood is read
    reverse: str  # names the object and asks for the subject
    subjects: tuple[str, ...]  # names of it
    control: bool  # whether it was trained in both directions
    group: str | None
    row: int


def load(reading: Reading, options: Any) -> Loaded:
    """Loads facts, and those of the control."""
    needs = ("subject", "forward", "reverse", "object")
    loaded = load_suite_rows(reading, needs, _check)
    facts = list(loaded.rows)
    if options.control_data is not None:
        loaded = _with_control(
            loaded, load_suite_rows(reading._replace(path=options.control_data, split=None), needs, _check)
        )
        facts = list(loaded.rows)
    for is_control, least in ((False, 2), (True, 0)):
        count = sum(fact.control == is_control for fact in facts)
        if count < least or count == 1:
            kind = "in the control" if is_control else "beside the control"
            raise DataError(
                f"{reading.path} has {count} fact(s) {kind}, and names are held against those of other facts. Give at "
                "least 2."
            )
    return loaded


def _with_control(loaded: Loaded, control: Loaded) -> Loaded:
    rows = [replace(fact, control=True) for fact in control.rows]
    taken = {fact.id for fact in loaded.rows}
    if twice := next((fact for fact in rows if fact.id in taken), None):
        raise DataError(
            f"`--control_data`, row {twice.row}: the id {twice.id!r} is that of a row of `--data`. Rename one."
        )
    left_out = {
        rule: loaded.left_out.get(rule, 0) + control.left_out.get(rule, 0)
        for rule in (*loaded.left_out, *control.left_out)
    }
    groups = {
        name: loaded.groups.get(name, 0) + control.groups.get(name, 0)
        for name in sorted({*loaded.groups, *control.groups})
    }
    content = [*loaded.content, *({**each, "control": True} for each in control.content)]
    return loaded._replace(rows=[*loaded.rows, *rows], content=content, left_out=left_out, groups=groups)


def _check(row: Mapping[str, Any], name: str, number: int) -> Fact:
    subjects, objects = (_check_names(row, column) for column in ("subject", "object"))
    for column, names, others in (("subject", subjects, objects), ("object", objects, subjects)):
        if within := next((each for each in names if any(has_name(other, each) for other in others)), None):
            rule = "the name is part of the other one, so that repeating the prompt would be right"
            raise BadRow(column, within, rule, "Write names that are apart, or leave the row out.")
    forward, reverse = (check_text(row, column, what="prompt") for column in ("forward", "reverse"))
    for column, prompt, asked, names in (
        ("forward", forward, "object", objects),
        ("reverse", reverse, "subject", subjects),
    ):
        if any(has_name(prompt, each) for each in names):
            remedy = f"`{column}` asks for the {asked}: `forward` names the subject, `reverse` the object."
            raise BadRow(column, prompt, "the prompt holds its own answer", remedy)
    return Fact(
        name, forward, objects, reverse, subjects, _check_control(row), check_label("group", row.get("group")), number
    )


def _check_names(row: Mapping[str, Any], column: str) -> tuple[str, ...]:
    """Returns the name in a column and those in `<column>_aliases`."""
    aliases = f"{column}_aliases"
    names = (check_text(row, column, what="name"), *(check_texts(row, aliases) if row.get(aliases) else ()))
    for each in names:
        if not plain(each):
            raise BadRow(column, each, "a name is only full stops, which do not count", "Write more than that.")
    return names


def _check_control(row: Mapping[str, Any]) -> bool:
    value = row.get("control")
    if value is None or isinstance(value, bool):
        return bool(value)
    text = str(value).strip().lower()
    if text not in (*_TRUE, *_FALSE):
        raise BadRow(
            "control", value, "it is neither true nor false", "Write true for a row trained in both directions."
        )
    return text in _TRUE
