"""One result of a tool is changed in a transcript, and what is answered behind it is judged."""

import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

from rewards.reading.abstention import OPPOSITES, abstains
from rewards.reading.values import fold
from rewards.scoring.families import Family, FamilyError, as_family, call_family
from rewards.scoring.perturbations import Version
from rewards.scoring.result_families import WITHHELD, as_list, may_state, worked_out
from rewards.scoring.text_accuracy import normalise_text

Effect = Literal["moved", "same", "withheld"]
Message = Mapping[str, Any]
UNKNOWN = "unknown"  # stands in metrics for every name that no tool has
_NO_CALL: Mapping[str, Any] = {}
MOST_OTHERS = 64  # right answers of other rows that a family is shown


class ToolResult(NamedTuple):
    """What a tool returned in a transcript."""

    place: int  # of its message
    turn: int  # which turn of the model called it, from 1
    tool: str
    arguments: Mapping[str, Any]
    text: str


class ChangedResult(NamedTuple):
    """A transcript with another result, of which everything behind it is left out."""

    result: ToolResult  # as it was
    text: str  # as it is now
    gold: Any  # the right answer now, or `WITHHELD`
    family: str
    effect: Effect  # on the right answer


def read_results(messages: Sequence[Message]) -> list[ToolResult]:
    """Lists the results in a transcript that are texts and that the model went on from.

    Example:
        >>> call = {"function": {"name": "price", "arguments": {"item": "pear"}}}
        >>> talk = [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "name": "price", "content": "3"}]
        >>> read_results([*talk, {"role": "assistant", "content": "It is 3."}])
        [ToolResult(place=1, turn=1, tool='price', arguments={'item': 'pear'}, text='3')]
        >>> read_results(talk)
        []
    """
    found: list[ToolResult] = []
    turn = 0
    calls: Iterator[Mapping[str, Any]] = iter(())
    last = max((i for i, message in enumerate(messages) if message.get("role") == "assistant"), default=-1)
    for place, message in enumerate(messages[: last + 1]):
        if message.get("role") == "assistant":
            turn, calls = turn + 1, iter(message.get("tool_calls") or ())
        elif message.get("role") == "tool":
            function = next(calls, _NO_CALL).get("function") or {}
            arguments, text = function.get("arguments"), message.get("content")
            if isinstance(text, str) and text.strip():
                given = arguments if isinstance(arguments, Mapping) else {}
                found.append(ToolResult(place, turn, str(message.get("name") or UNKNOWN), given, text))
    return found


def change_result(
    families: Sequence[Family | Callable[[Version, random.Random], Any]],
    row: Mapping[str, Any],
    messages: Sequence[Message],
    rng: random.Random,
    gold_column: str = "answer",
    others: Sequence[Any] = (),
) -> ChangedResult | None:
    """Draws a family, and a result that it can change; None if there is none.

    Args:
        families: They see a result as the question of a `Version`; see `rewards.scoring.result_families`.
        row: With its `prompt` as the model saw it.
        messages: The transcript behind the prompt.
        rng: Draws.
        gold_column: The column of the right answer.
        others: Right answers of other rows, from which words are drawn.

    Raises:
        FamilyError: A family raises, or returns what is no version.

    Example:
        >>> call = {"function": {"name": "price", "arguments": {"item": "pear"}}}
        >>> talk = [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "name": "price", "content": "3"}]
        >>> talk += [{"role": "assistant", "content": "It is 3."}]
        >>> def doubled(version, rng):
        ...     return version._replace(question=str(2 * int(version.question)), answer=str(2 * int(version.answer)))
        >>> changed = change_result([doubled], {"prompt": "Price?", "answer": "3"}, talk, random.Random(0))
        >>> changed.text, changed.gold, changed.effect
        ('6', '6', 'moved')
    """
    results, gold = read_results(messages), row.get(gold_column)
    if not results:
        return None
    texts = {result.place: result.text for result in results}
    prompt = prompt_texts(row["prompt"])
    sample = rng.sample(list(others), MOST_OTHERS) if len(others) > MOST_OTHERS else list(others)
    named = [as_family(family) for family in families]
    for family in rng.sample(named, len(named)):
        for result in rng.sample(results, len(results)):
            beside = [text for place, text in texts.items() if place != result.place]
            of_call = {"tool": result.tool, "arguments": result.arguments, "turn": result.turn}
            columns = {**row, **of_call, "elsewhere": [*prompt, *beside], "results": beside, "others": sample}
            original = Version(result.text, None, gold, columns=columns)
            found = _changed(family, original, rng, f"{row.get('id', prompt)!r:.100}")
            if found is not None and found[0] != result.text:
                text, now = found
                effect: Effect = "withheld" if now is WITHHELD else "same" if now == gold else "moved"
                return ChangedResult(result, text, now, family.name, effect)
    return None


def prompt_texts(prompt: Any) -> list[str]:
    """Lists the texts of a prompt."""
    if isinstance(prompt, str):
        return [prompt]
    contents = [message.get("content") for message in prompt]
    parts = [part for each in contents for part in (each if isinstance(each, list) else [{"text": each}])]
    return [part["text"] for part in parts if isinstance(part.get("text"), str)]


def told_in(prompt: Any, messages: Sequence[Message]) -> tuple[list[str], list[str]]:
    """Lists the texts that a policy was told, of its prompt and of results; and what its calls say."""
    results = [message for message in messages if message.get("role") == "tool"]
    calls = [str(call.get("function")) for message in messages for call in message.get("tool_calls") or ()]
    return [*prompt_texts(prompt), *prompt_texts(results)], calls


def is_invented(answer: str | None, texts: Sequence[str]) -> bool:
    """Tells whether an answer has a number, or else a word, that no text states; one that abstains has none.

    What was worked out from results is stated by none, and counts as invented, too.

    Example:
        >>> texts = ["What does a pear cost?", "{'price': 17}"]
        >>> [is_invented(answer, texts) for answer in ("17 dollars", "$18.", "a pear", "plum", "unknown", None)]
        [False, True, False, True, False, False]
    """
    return (
        bool(answer) and fold(str(answer)).strip(" .") not in OPPOSITES and not abstains(answer, texts)
    )  # no judgement


class Followed(NamedTuple):
    """What came of a changed result."""

    change: ChangedResult
    answer: str | None
    right: bool | None  # what rewards get; None where the reward could not say
    stays: bool  # the answer is the first one
    calls: bool  # it calls a tool anew
    invented: bool

    @property
    def follows(self) -> bool:
        """Whether it goes on from the result that it was given."""
        return self.stays if self.change.effect == "same" else bool(self.right)


def follow(
    change: ChangedResult,
    first: tuple[str | None, bool | None],
    second: tuple[str | None, bool | None],
    told: tuple[Sequence[str], Sequence[str]],
    gold: Any,
    *,
    says: str = "",
    calls: bool = False,
    others: Sequence[Any] = (),
) -> Followed:
    """Judges a second answer.

    It is right where a moved answer is right; where a first answer that was right stays so; and where the answer was
    withheld and it states no value that it was not told; None where those may be worked out from others.

    Args:
        change: What was changed.
        first: The answer before, and whether it was right.
        second: The answer behind the changed result, and whether the reward holds it for right.
        told: What it was told, and what its calls say, as `told_in` lists them.
        gold: The right answer before, or a list of which each is right.
        says: The last message, which is judged where it has no answer.
        calls: Whether it calls a tool that there is, which needs no words.
        others: Right answers of other rows.
    """
    (answer, was_right), (again, is_right) = first, second
    texts, called = told
    invented = is_invented(again, texts)
    stays = normalise_text(answer or "") == normalise_text(again or "") or bool(was_right and is_right)
    if change.effect == "withheld":
        said, goes_on = (says, calls) if again is None else (again, False)
        judge = partial(is_withheld_right, said, accepted=gold, called=called, others=others, calls=goes_on)
        right: bool | None = judge(texts)
        if not right and judge([*texts, "; ".join(f"{float(each):.15g}" for each in worked_out(texts))]):
            right = None
    elif change.effect == "same":
        right = None if is_right is None else bool(was_right and is_right)
    else:
        right = is_right
    return Followed(change, again, right, stays, calls, invented)


def is_withheld_right(
    answer: str,
    told: Sequence[str],
    accepted: Any,
    called: Sequence[str] = (),
    *,
    others: Sequence[Any] = (),
    calls: bool = False,
) -> bool:
    """Judges an answer behind an error, or behind a result that no longer states the right one.

    It is right unless it states a value that stands nowhere: not in the texts that it was `told`, nor in those of its
    calls, where what was `accepted` before does not count; that it is right in `others`, which are other rows, shows
    that a word is a value. Before a call (`calls`) it may say anything but what was accepted.

    Example:
        >>> told = ["What does the pear cost?", "{'error': 'internal error'}"]
        >>> [is_withheld_right(answer, told, "17") for answer in ("Der Preis ist unbekannt.", "17", "18 euros", "")]
        [True, False, False, False]
    """
    said = answer.rpartition("</think>")[2].strip()
    golds = as_list(accepted)
    return abstains(said, told, golds, called, others) or (calls and not any(may_state(said, gold) for gold in golds))


def following_metrics(followed: Sequence[Followed], tools: Sequence[str]) -> dict[str, list[float]]:
    """Lists the values behind each metric, over all, by tool and by turn.

    `tool_reliance` is over results that moved the right answer: whether that was given. `tool_invariance` is over
    changes that mean nothing: whether the answer stayed. `tool_withheld` is over results that were taken away: whether
    it says so, or a tool is called. `invented` is over all: whether the answer has a value from no prompt or result.
    """
    values: dict[str, list[float]] = defaultdict(list)
    names = {"moved": "tool_reliance", "same": "tool_invariance", "withheld": "tool_withheld"}
    for each in followed:
        tool = each.change.result.tool if each.change.result.tool in tools else UNKNOWN
        scopes = ("", f"/{tool}", f"/turn_{each.change.result.turn}")
        for scope in scopes:
            if each.right is not None or each.change.effect == "same":
                values[names[each.change.effect] + scope].append(float(each.follows))
            values[f"invented{scope}"].append(float(each.invented))
    return dict(values)


def _changed(family: Family, original: Version, rng: random.Random, name: str) -> tuple[str, Any] | None:
    """Calls a family; returns the result and the right answer now, None if it cannot change this one."""
    found = call_family(family, original, rng, name)
    if found is None:
        return None
    where = f"Family `{family.name}`, row {name}"
    if isinstance(found, Version) and found.options is not None:
        raise FamilyError(f"{where}: it gave options to a result of a tool, which has none. Change its text only.")
    text, gold = (found.question, found.answer) if isinstance(found, Version) else found
    if not isinstance(text, str) or not text.strip():
        raise FamilyError(f"{where}: it returned {text!r:.60} as the result. Return a text.")
    if gold is None and original.answer is not None:
        raise FamilyError(
            f"{where}: it returned no right answer. Return None for what cannot be changed, or "
            "`rewards.WITHHELD` where the result is taken away."
        )
    return text.encode(errors="replace").decode(), gold  # no tokenizer takes half of a character
