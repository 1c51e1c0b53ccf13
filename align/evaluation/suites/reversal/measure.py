"""Both directions of a fact, after "The Reversal Curse" (arXiv 2309.12288).

A name counts as given if the answer holds it: prompts may be questions or beginnings of sentences, and the answer a
name or a sentence. It cannot have the name from the prompt, which is checked.

With L(n | p) the log-probability of all tokens of a name n behind a prompt p,

    advantage of fact i = L(name_i | prompt_i) - mean over K other facts j of L(name_i | prompt_j)

The facts j come from K shifts of one random order. Where no two facts share a name, the mean over facts is therefore,
sum for sum, that of the log-probability of the true name minus those of K random names of other facts behind the same
prompt. Counted by name it is 0 fact by fact for any preference of names, such as short ones, that does not depend on
the prompt. The text is the same in both terms, so tokens are summed: by how much the prompt makes the name likelier.
"""

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from align.data.problems import BadRow
from align.data.question_checks import check_label
from align.errors import DataError
from align.evaluation.asking import Asking, Subject, Text
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
    objects: tuple[str, ...]  # names of it; the first is the one whose likelihood is read
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
            raise DataError(
                f"{source.path} has {count} fact(s) {kind}, and names are compared with those of other facts. Give "
                "at least 2."
            )
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


OTHERS = 8  # K
ROUNDS = 20  # of averages by name and by prompt
DIRECTIONS = ("forward", "reverse")


def measure(subject: Subject, rows: Sequence[Fact], asking: Asking) -> Measured:
    """Asks both prompts of every fact, and reads its names behind its own and others' prompts."""
    control = [fact.control for fact in rows]
    names = {way: [_names(fact, way) for fact in rows] for way in DIRECTIONS}
    others = {way: draw_others(names[way], control, asking.seed) for way in DIRECTIONS}
    answered, likely = _ask(subject, rows, names, others, asking)
    tags = asking.response_format
    right = {
        way: np.array([_share_right(said, own, tags) for said, own in zip(answered[way], names[way], strict=True)])
        for way in DIRECTIONS
    }
    advantage = {way: np.array([_advantage(*each) for each in likely[way]]) for way in DIRECTIONS}
    freed = {way: without_names_and_prompts(likely[way], others[way], control) for way in DIRECTIONS}
    means = reversal_means(right, freed, control)
    return Measured(
        means | means_of_groups(means, [fact.group for fact in rows]),
        {},
        list(_item_rows(rows, answered, right, advantage)),
        list(_warn(rows)),
        {"names of other facts": OTHERS},
    )


def reversal_means(
    right: dict[str, Values], advantage: dict[str, Values], control: Sequence[bool]
) -> dict[str, ItemMean]:
    """Makes metrics of `(N,)` shares of right answers and advantages by direction, the control apart."""
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
        means |= {
            f"name_advantage/{way}{suffix}": ItemMean((only(advantage[way]),), bounds=None) for way in DIRECTIONS
        }
    return means


def means_of_groups(means: Mapping[str, ItemMean], groups: Sequence[str | None]) -> dict[str, ItemMean]:
    """Takes the gap and what is given in each direction apart by group of facts, of those that are no control."""
    names = {"reversal_gap": "reversal_gap_by_group"}
    names |= {f"name_accuracy/{way}": f"name_accuracy_by_group/{way}" for way in DIRECTIONS}
    return by_group({new: means[name] for name, new in names.items() if name in means}, groups)


def draw_others(names: Sequence[Sequence[str]], control: Sequence[bool], seed: int) -> list[list[int]]:
    """Draws, for every fact, the facts behind whose prompts its name is read, too.

    They are others with the same `control`, K of them or all there are, every fact as often; a fact whose answer has
    one of the names is left out, because it is an answer there.
    """
    known = [set(map(plain, each)) for each in names]
    found: list[list[int]] = [[] for _ in names]
    for kind in (False, True):
        order = [i for i, each in enumerate(control) if each == kind]
        random.Random(f"{seed}/{kind}").shuffle(order)
        for shift in range(1, min(OTHERS, len(order) - 1) + 1):
            for place, i in enumerate(order):
                other = order[(place + shift) % len(order)]
                if not known[i] & known[other]:
                    found[i].append(other)
    return found


def _ask(
    subject: Subject,
    rows: Sequence[Fact],
    names: Mapping[str, Sequence[Sequence[str]]],
    others: Mapping[str, Sequence[Sequence[int]]],
    asking: Asking,
) -> tuple[dict[str, list[list[Completion]]], dict[str, list[list[float]]]]:
    """Returns by direction answers, and each name's log-probs behind its own prompt, then behind those of others."""
    words = {way: [subject.word(getattr(fact, way)) for fact in rows] for way in DIRECTIONS}
    prompts = [Prompt(f"{fact.id}/{way}", words[way][i]) for way in DIRECTIONS for i, fact in enumerate(rows)]
    texts = [
        Text(f"{rows[i].id}/{way}", words[way][j], _behind(words[way][j], names[way][i][0]))
        for way in DIRECTIONS
        for i, several in enumerate(others[way])
        for j in (i, *several)
    ]
    responses = iter(subject.complete(prompts, asking.decoding))
    read = iter([sum(each) for each in subject.log_probs(texts)])
    answered = {way: [next(responses) for _ in rows] for way in DIRECTIONS}
    return answered, {way: [[next(read) for _ in (0, *several)] for several in others[way]] for way in DIRECTIONS}


def _advantage(own: float, *others: float) -> float:
    """Returns by how much a name is likelier behind its own prompt; `nan` without another one."""
    return own - float(np.mean(others)) if others else math.nan


def without_names_and_prompts(
    likely: Sequence[Sequence[float]], others: Sequence[Sequence[int]], control: Sequence[bool]
) -> Values:
    """Returns `(N,)` advantages with the same mean as `_advantage`, without what any prompt or any name adds to them.

    The two are fitted to the names behind others' prompts, by averages in turn; else the interval would be as wide as
    prompts differ, which the mean does not know of. `likely` has, of each fact, its name's log-prob behind its own
    prompt, then behind those of the `others`; the mean is kept with and without `control`.
    """
    num = len(likely)
    plain = np.array([_advantage(*each) for each in likely])
    name = np.repeat(np.arange(num), [len(each) for each in others])
    prompt = np.array([other for each in others for other in each], dtype=int)
    read = np.array([value for each in likely for value in each[1:]])
    by_name, by_prompt = np.zeros(num), np.zeros(num)
    for _ in range(ROUNDS):
        by_name = _means(read - by_prompt[prompt], name, num)
        by_prompt = _means(read - by_name[name], prompt, num)
    freed: Values = np.array([each[0] for each in likely]) - by_name - by_prompt
    for kind in (False, True):
        chosen = (np.array(control) == kind) & ~np.isnan(plain)
        if chosen.any():
            freed[chosen] += plain[chosen].mean() - freed[chosen].mean()
    return np.where(np.isnan(plain), math.nan, freed)


def _means(values: Values, places: Any, num: int) -> Values:
    return np.bincount(places, values, num) / np.maximum(np.bincount(places, minlength=num), 1)


def _behind(prompt: Any, name: str) -> str:
    """Puts a space before a name that goes on a sentence."""
    return f" {name}" if isinstance(prompt, str) and not prompt[-1].isspace() else name


def _names(fact: Fact, way: str) -> tuple[str, ...]:
    return fact.objects if way == "forward" else fact.subjects


def _share_right(completions: Sequence[Completion], names: Sequence[str], tags: ResponseFormat) -> float:
    stated = [stated_text(each.text, tags) for each in completions]
    return float(np.mean([any(has_name(text, name) for name in names) for text in stated]))


def _item_rows(
    rows: Sequence[Fact],
    answered: dict[str, list[list[Completion]]],
    right: dict[str, Values],
    advantage: dict[str, Values],
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
                "advantage": None if math.isnan(advantage[way][i]) else float(advantage[way][i]),
                "completion": answered[way][i][0].text,
            }


def _warn(rows: Sequence[Fact]) -> Iterator[str]:
    if not any(fact.control for fact in rows):
        yield (
            "There is no control: a model that does not know the reverse cannot be told from one that cannot read the "
            "reverse prompts. Give facts that were trained in both directions, with `control: true`."
        )
