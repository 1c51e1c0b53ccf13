"""Both directions of a fact, after "The Reversal Curse" (arXiv 2309.12288).

A name counts as given if the answer holds it: prompts may be questions or beginnings of sentences, and the answer a
name or a sentence. It cannot have the name from the prompt, which is checked.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from align.data.problems import BadRow
from align.data.question_checks import check_label
from align.errors import DataError
from align.evaluation.asking import Asking, Subject
from align.evaluation.statistics.group_metrics import by_group
from align.evaluation.statistics.item_means import ItemMean
from align.evaluation.statistics.metrics import Values
from align.evaluation.suite import LoadedRows, Measured, SuiteSource
from align.evaluation.suites.suite_rows import check_text, check_texts, check_truth, load_suite_rows
from align.models.policies.asking import Completion, Prompt
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


@dataclass(frozen=True)
class Fact:
    """A fact."""

    id: str
    forward: str  # names the subject and asks for the object
    objects: tuple[str, ...]  # names of it
    reverse: str  # names the object and asks for the subject
    subjects: tuple[str, ...]  # names of it
    control: bool  # whether it was trained in both directions
    group: str | None
    row: int


def load(source: SuiteSource, options: Any) -> LoadedRows:
    """Loads facts, of which some may be a control."""
    loaded = load_suite_rows(source, ("subject", "forward", "reverse", "object"), _check)
    for is_control, least in ((False, 2), (True, 0)):
        count = sum(fact.control == is_control for fact in loaded.rows)
        if count < least or count == 1:
            kind = "in the control" if is_control else "beside the control"
            raise DataError(f"{source.path} has {count} fact(s) {kind}, and one tells nothing. Give at least 2.")
    return loaded


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
    control = check_truth(row, "control", "Write true for a row trained in both directions.")
    return Fact(name, forward, objects, reverse, subjects, control, check_label("group", row.get("group")), number)


def _check_names(row: Mapping[str, Any], column: str) -> tuple[str, ...]:
    """Returns the name in a column and those in `<column>_aliases`."""
    aliases = f"{column}_aliases"
    names = (check_text(row, column, what="name"), *(check_texts(row, aliases) if row.get(aliases) else ()))
    for each in names:
        if not plain(each):
            raise BadRow(column, each, "a name is only full stops, which do not count", "Write more than that.")
    return names


DIRECTIONS = ("forward", "reverse")


def measure(subject: Subject, rows: Sequence[Fact], asking: Asking) -> Measured:
    """Asks both prompts of every fact."""
    answered, tags = _ask(subject, rows, asking), asking.response_format
    right = {
        way: np.array(
            [_share_right(said, _names(fact, way), tags) for said, fact in zip(answered[way], rows, strict=True)]
        )
        for way in DIRECTIONS
    }
    means = reversal_means(right, [fact.control for fact in rows])
    means |= means_of_groups(means, [fact.group for fact in rows])
    return Measured(means, {}, list(_item_rows(rows, answered, right)), list(_warn(rows)))


def reversal_means(right: dict[str, Values], control: Sequence[bool]) -> dict[str, ItemMean]:
    """Makes metrics of `(N,)` shares of right answers by direction, the control apart."""
    is_control = np.array(control)
    means: dict[str, ItemMean] = {}
    for chosen, suffix in ((~is_control, ""), (is_control, "_control")):
        if not chosen.any():
            continue

        def only(values: Values, chosen: Any = chosen) -> Values:
            return np.where(chosen, values, math.nan)

        gap = only(right["forward"] - right["reverse"])
        means["reversal_gap/control" if suffix else "reversal_gap"] = ItemMean((gap,), bounds=(-1.0, 1.0))
        means |= {f"name_accuracy/{way}{suffix}": ItemMean((only(right[way]),)) for way in DIRECTIONS}
    return means


def means_of_groups(means: Mapping[str, ItemMean], groups: Sequence[str | None]) -> dict[str, ItemMean]:
    """Takes the gap and what is given in each direction apart by group of facts, of those that are no control."""
    names = {"reversal_gap": "reversal_gap_by_group"}
    names |= {f"name_accuracy/{way}": f"name_accuracy_by_group/{way}" for way in DIRECTIONS}
    return by_group({new: means[name] for name, new in names.items() if name in means}, groups)


def _ask(subject: Subject, rows: Sequence[Fact], asking: Asking) -> dict[str, list[list[Completion]]]:
    """Returns the answers by direction."""
    prompts = [Prompt(f"{fact.id}/{way}", subject.word(getattr(fact, way))) for way in DIRECTIONS for fact in rows]
    responses = iter(subject.complete(prompts, asking.decoding))
    return {way: [next(responses) for _ in rows] for way in DIRECTIONS}


def _names(fact: Fact, way: str) -> tuple[str, ...]:
    return fact.objects if way == "forward" else fact.subjects


def _share_right(completions: Sequence[Completion], names: Sequence[str], tags: ResponseFormat) -> float:
    stated = [stated_text(each.text, tags) for each in completions]
    return float(np.mean([any(has_name(text, name) for name in names) for text in stated]))


def _item_rows(
    rows: Sequence[Fact], answered: dict[str, list[list[Completion]]], right: dict[str, Values]
) -> Iterator[dict[str, Any]]:
    for i, fact in enumerate(rows):
        for way in DIRECTIONS:
            yield {
                "id": fact.id,
                "group": fact.group,
                "prompt": f"{fact.forward}\n{fact.reverse}",
                "direction": way,
                "control": fact.control,
                "asked": getattr(fact, way),
                "name": _names(fact, way)[0],
                "correct": bool(right[way][i] == 1),
                "right": float(right[way][i]),
                "completion": answered[way][i][0].text,
            }


def _warn(rows: Sequence[Fact]) -> Iterator[str]:
    if not any(fact.control for fact in rows):
        yield (
            "There is no control: a model that does not know the reverse cannot be told from one that cannot read the "
            "reverse prompts. Give facts that were trained in both directions, with `control: true`."
        )
