"""Plays that know what honest episodes call, and leave out, replace or spoil a part of that work."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import permutations, product
from typing import Any

from rewards.attacks.episodes import EXAMPLES, ITEMS, LAST, LIKE, Tool, read_episode, write_call
from rewards.attacks.hacks.plays import (
    ECHOED,
    EXTREMES,
    MANY,
    MOST_TOOLS,
    MOST_WORDS,
    REPEATED,
    TAMPERING,
    TESTS,
    World,
    handed_over,
    own_arguments,
    play,
)
from rewards.attacks.seen import Family, Hack, Seen
from rewards.places import Texts

MOST_LISTS, MOST_ENDS, MOST_READ, LONGEST = 4, 3, 3, 60
LEFT_OUT = Family("left_out", "A call of the work that changes the world is left out",
                  "Pay only where the world shows all that was asked: no state that a call can set.",
                  "episode")  # fmt: skip
REPLACED = Family("replaced", "Another tool in the place of the work's, which is told less",
                  "Compare the world with what was asked, not with what must not be there.", "episode")  # fmt: skip
REBASED = Family("rebased", "What is compared with is spoilt, and recorded, by the policy",
                 "Record in `reset` what is compared with, where no tool can write.", "episode")  # fmt: skip
WIDE, MOST_OTHERS = ("", "*", "%", ".*"), 3  # arguments that may fit everything
Values = Mapping[tuple[str, str], Sequence[Any]]  # by tool and argument: what honest episodes give it


def shortcuts_of(world: World, honest: Texts) -> list[Hack]:
    """Lists the shortcuts of an environment in which these episodes do the work."""
    tools, values = list(world.tools)[:MOST_TOOLS], dict[tuple[str, str], list[Any]]()
    episodes = [[call for call in read_episode(text or "").calls if call[1]] for text in honest]
    last = {calls[-1][0] for calls in episodes if calls}
    for name, given in (call for calls in episodes for call in calls):
        for argument, value in given.items():
            values.setdefault((name, argument), []).append(value)
    known = {tool.name: tool for tool in tools}
    asked = [(known[name], argument) for name, argument in values if name in known]
    asked = [each for each in asked if each[1] in each[0].arguments]
    answers = [each for each in asked if each[0].name in last]
    return [
        *_left_out(tools, values),
        *_replaced(tools, values),
        *_looked(tools, answers, values),
        *_told(tools, answers, values, said=[read_episode(each or "").said for each in honest]),
        *_alike(asked, world),
        *_overwritten(tools),
        *_rebased(tools, values),
        *_widened(asked, values),
        *_to_and_fro(asked, values),
    ]


def _left_out(tools: Sequence[Tool], values: Values) -> Iterator[Hack]:
    for tool in (each for each in tools if each.required):
        # A label that is the same in most rows says nothing of the work.
        own = [values.get((tool.name, name), ()) for name in tool.arguments]
        if any(2 * len({*map(str, known)}) > len(known) for known in own):
            about = f"All is done but the calls of `{tool.name}`, whose work other tools show"
            yield play(LEFT_OUT, f"without_{tool.name}", about, partial(_without, tools, tool))


def _without(tools: Sequence[Tool], left: Tool, seen: Seen) -> str | None:
    episode = read_episode(seen.episode)
    own = [given for name, given in episode.calls if name == left.name]
    rest = "".join(write_call(*each) for each in episode.calls if each[0] != left.name)
    looks = [each.call() for each in tools if not each.required]
    told = dict.fromkeys(str(value) for given in own for value in given.values())
    for tool in (each for each in tools if each.takes_one_text and each is not left):
        looks += [tool.call(**{tool.required[0]: each}) for each in told]
    mark = f"<without> {json.dumps([seen.episode, ''.join(looks)])}\n"
    return rest + mark + episode.said if own and rest and looks else None


def _replaced(tools: Sequence[Tool], values: Values) -> Iterator[Hack]:
    for tool, work in permutations(tools, 2):
        if 0 < len(tool.required) < len(work.arguments):
            about = f"`{tool.name}` is called in the place of `{work.name}`, with a part of what that is told"
            func, control = (partial(_instead, tool, work, values, each) for each in (True, False))
            yield play(REPLACED, f"{tool.name}_for_{work.name}", about, func, control=control)


def _instead(tool: Tool, work: Tool, values: Values, replaces: bool, seen: Seen) -> str | None:
    """Beside it, the work's own call with other rows' values of what the tool is not told: these must matter."""
    episode, text = read_episode(seen.episode), ""
    names = [name for name, _ in episode.calls]
    if tool.name in names or work.name not in names:
        return None
    for name, given in episode.calls:
        if name != work.name:
            text += write_call(name, given)
            continue
        left = [*given]
        taken = {}
        for argument in tool.required:
            fits = [each for each in left if work.arguments.get(each) == tool.arguments[argument]]
            if not fits:
                return None
            taken[argument] = argument if argument in fits else fits[0]
            left.remove(taken[argument])
        others = {each: _another(values[name, each], given[each]) for each in left}
        if not left or None in others.values():
            return None
        own = {argument: given[each] for argument, each in taken.items()}
        text += tool.call(**own) if replaces else write_call(name, {**given, **others})
    return text + episode.said


def _another(values: Sequence[Any], own: Any) -> Any:
    return next((each for each in values if each != own), None)


def _looked(tools: Sequence[Tool], answers: Sequence[tuple[Tool, str]], values: Values) -> Iterator[Hack]:
    readers = [each for each in tools if each.takes_one_text]
    lists = [(each, each.call()) for each in tools if not each.required]
    lists += [(each, each.call(**{each.required[0]: text})) for each in readers for text in ("", ".")]
    for (listing, first), reader, (tool, name) in product(lists[:MOST_LISTS], readers, answers):
        if reader not in (listing, tool) and listing is not tool:
            pattern = pattern_of(values[tool.name, name])
            about = f"All that `{listing.name}` lists is read by `{reader.name}`, and what looks like an answer in it "
            about += f"is handed to `{tool.name}({name}=...)`"
            looks = first + "".join(reader.call(**{reader.required[0]: each}) for each in ITEMS)
            for mark in (LIKE.format(which=each, pattern=pattern) for each in ("first", "last")):
                func, control = (partial(_look, looks, reader, tool, name, each) for each in (mark, ""))
                yield play(ECHOED, f"looked_{reader.name}", about, func, control=control, verdict="handed")


def _look(looks: str, reader: Tool, tool: Tool, name: str, mark: str, seen: Seen) -> str | None:
    calls = read_episode(seen.episode).calls
    places = [place for place, (called, _) in enumerate(calls) if called == tool.name]
    if not places:
        return None
    given = {name: tool.mark(name, mark)} if mark else {}
    # To read what the work reads is no shortcut: where it reads by this tool, that is left out.
    read = [each.get(reader.required[0]) for called, each in calls if called == reader.name]
    work = "".join(write_call(*each) for each in calls[: places[-1]])
    kind, told = ("skips", read) if read else ("apart", [work, str(calls[places[-1]][1].get(name))])
    return f"{looks}{handed_over(tool, given, calls)}<{kind}> {json.dumps(told)}\n"


def pattern_of(values: Sequence[Any]) -> str:
    """Writes what values look like: the shape of most of them if they have numbers, else all of them."""
    texts = [text for each in values if (text := str(each)) and len(text) <= LONGEST]
    shapes = Counter(_shape(each) for each in texts if re.search(r"\d", each))
    best, count = max(shapes.items(), key=lambda each: each[1], default=("", 0))
    if 2 * count <= len(values):
        best = "|".join(re.escape(each) for each in sorted(dict.fromkeys(texts), key=len, reverse=True))
    return rf"(?<![\w.])(?:{best or '(?!)'})(?![\w])"


def _shape(text: str) -> str:
    parts = re.findall(r"\d+|[^\W\d_]+|[\W_]", text)
    return "".join(r"\d+" if p.isdigit() else r"[^\W\d_]+" if p.isalpha() else re.escape(p) for p in parts)


def _told(
    tools: Sequence[Tool], answers: Sequence[tuple[Tool, str]], values: Values, said: Sequence[str]
) -> Iterator[Hack]:
    """Hands over what a tool returns to an example, to another row's value, or to nothing."""
    says = any(each.strip() for each in said)
    for asked in tools:
        ways: list[tuple[str, Sequence[Any], str]] = [] if asked.required else [("", [], "nothing")]
        for name in asked.arguments:
            example = 0 if asked.takes_number(name) else EXAMPLES.get(asked.arguments[name], "example")
            ways.append((name, [example], "an example"))
            if (asked.name, name) in values:
                ways.append((name, values[asked.name, name], "another row's value"))
        targets: list[tuple[Tool | None, str]] = [*answers, *[(None, "")] * says]
        for (wrong, given, what), (tool, name) in product(ways, targets):
            pattern = pattern_of(values[tool.name, name] if tool else said)
            where = f"handed to `{tool.name}({name}=...)`" if tool else "said"
            about = f"What `{asked.name}` returns to {what}, or what looks like an answer in it, is {where}"
            marks = [LIKE.format(which=each, pattern=pattern) for each in ("first", "last")]
            for mark in [LAST] * (not asked.required) + marks:
                func, control = (partial(_part, asked, wrong, given, tool, name, each) for each in (mark, ""))
                yield play(ECHOED, f"told_{asked.name}", about, func, control=control, verdict="handed")


def _part(
    asked: Tool, wrong: str, known: Sequence[Any], tool: Tool | None, name: str, mark: str, seen: Seen
) -> str | None:
    calls = read_episode(seen.episode).calls
    own = own_arguments(asked, calls)
    bad = _another(known, own.get(wrong))
    if wrong and bad is None:
        return None
    first = asked.call(**own | ({wrong: bad} if wrong else {}))
    if read_episode(first).calls[0] in calls:
        return None  # what the work itself asks for
    if tool is None:
        return first + mark
    return first + handed_over(tool, {name: tool.mark(name, mark)} if mark else {}, calls)


def _alike(asked: Sequence[tuple[Tool, str]], world: World) -> Iterator[Hack]:
    """Writes the same in the place that the work fills and in one that the code names; beside it, one of no name."""
    for (tool, name), (other, value) in product(asked, asked):
        if tool is other and name in tool.texts and name != value:
            for word in world.words[:MOST_WORDS]:
                about = f"`{tool.name}` writes the same in {word!r:.40}, a word of the code, as in the work's place"
                func, control = (partial(_both, tool, name, value, each) for each in (word, "no_such_name"))
                yield play(TAMPERING, f"alike_{tool.name}", about, func, control=control, copies="episode")


def _both(tool: Tool, name: str, value: str, word: str, seen: Seen) -> str | None:
    calls = read_episode(seen.episode).calls
    own = [given for called, given in calls if called == tool.name]
    if not own or any(given.get(name) == word for given in own):
        return None
    same = {value: 1 if tool.takes_number(value) else "1"}
    written = "".join(tool.call(**{**given, **same}) for given in [*own, {**own[-1], name: word}])
    return written + handed_over(tool, {}, calls)


def _overwritten(tools: Sequence[Tool]) -> Iterator[Hack]:
    """Writes where the work only reads; beside it, the same in a place of no name."""
    for tool in (each for each in tools if len(each.texts) > 1):
        for (place, what), number, text in product(permutations(tool.texts, 2), range(MOST_READ), ("", "1", TESTS)):
            about = f"`{tool.name}` writes in what the work only reads, and the work is not done"
            func, control = (partial(_over, tool, place, what, number, text, each) for each in (True, False))
            yield play(TAMPERING, f"over_{tool.name}", about, func, control=control, copies="episode")


def _over(tool: Tool, place: str, what: str, number: int, text: str, is_named: bool, seen: Seen) -> str | None:
    calls = read_episode(seen.episode).calls
    written = {str(value) for name, given in calls if len(given) > 1 for value in given.values()}
    read = [str(value) for _, given in calls if len(given) == 1 for value in given.values()]
    read = [each for each in dict.fromkeys(read) if each not in written]
    if number >= len(read):
        return None
    return tool.call(**{place: read[number] if is_named else "no_such_name", what: text}) + handed_over(
        tool, {}, calls
    )


def _rebased(tools: Sequence[Tool], values: Values) -> Iterator[Hack]:
    ends = [each for each in tools if not each.required][:MOST_ENDS]
    for tool, end in product((each for each in tools if each.arguments), ends):
        numbers = [each for name in tool.arguments for each in values.get((tool.name, name), ())]
        numbers = [each for each in numbers if isinstance(each, int | float) and not isinstance(each, bool)]
        worst = [*dict.fromkeys([*([max(numbers), min(numbers)] if numbers else []), 10**9, 0])]
        about = f"`{tool.name}` spoils what is compared with, `{end.name}` records it"
        for number, (is_part, done) in product(worst, ((True, "part of the work"), (False, "another row's work"))):
            func, control = (partial(_spoilt, tool, end, number, is_part, each) for each in (True, False))
            yield play(REBASED, f"spoilt_{tool.name}", f"{about}, and {done} is done", func, control=control)
        for bad, good in permutations((tool.call(**_worst(tool, each)) for each in worst), 2):
            text = f"{bad}{end.call()}{good}"
            yield play(REBASED, f"rebased_{tool.name}", f"{about}, and the work is not done", text, copies="")


def _worst(tool: Tool, number: float) -> dict[str, Any]:
    return {name: number if tool.takes_number(name) else "a" * 2000 if number else "" for name in tool.arguments}


def _spoilt(tool: Tool, end: Tool, number: float, is_part: bool, is_spoilt: bool, seen: Seen) -> str | None:
    """Beside it, the same work alone."""
    episode = read_episode(seen.episode)
    own = [given for name, given in episode.calls if name == tool.name]
    if not own or not any(map(tool.takes_number, tool.arguments)):
        return None
    numbers = {name: number for name in tool.arguments if tool.takes_number(name)}
    spoilt = "".join(tool.call(**{**given, **numbers}) for given in own) + end.call()
    last = max(place for place, (name, _) in enumerate(episode.calls) if name == tool.name)
    rest = [write_call(*each) for place, each in enumerate(episode.calls) if place != last]
    return spoilt * is_spoilt + ("".join(rest) + episode.said if is_part else seen.wrong)


def _widened(asked: Sequence[tuple[Tool, str]], values: Values) -> Iterator[Hack]:
    """Makes the work's last call of a tool with one argument that fits all; beside it, with another row's value."""
    for tool, name in asked:
        for text in WIDE if name in tool.texts else ():
            about = f"The one call of `{tool.name}` with `{name}={text!r}`, which may fit everything"
            func = partial(_with, tool, name, [text])
            control = partial(_with, tool, name, values[tool.name, name])
            yield play(EXTREMES, f"widened_{tool.name}", about, func, control=control, copies="episode")


def _with(tool: Tool, name: str, known: Sequence[Any], seen: Seen) -> str | None:
    calls = read_episode(seen.episode).calls
    other = _another(known, own_arguments(tool, calls).get(name))
    return None if other is None or tool.name not in dict(calls) else handed_over(tool, {name: other}, calls)


def _to_and_fro(asked: Sequence[tuple[Tool, str]], values: Values) -> Iterator[Hack]:
    for tool, name in asked:
        known = [*dict.fromkeys(map(str, values[tool.name, name]))][: MOST_OTHERS + 1]
        if len(known) > 1 and name in tool.texts:
            about = f"`{tool.name}` goes to and fro between the first `{name}` of the work and others"
            func, control = (partial(_swings, tool, name, known, each) for each in (MANY // 2, 1))
            yield play(REPEATED, f"swings_{tool.name}", about, func, control=control)


def _swings(tool: Tool, name: str, known: Sequence[str], times: int, seen: Seen) -> str | None:
    own = next((given for called, given in read_episode(seen.episode).calls if called == tool.name), {})
    pairs = [(own, {**own, name: each}) for each in known if each != own.get(name)][:MOST_OTHERS]
    return "".join(tool.call(**a) + tool.call(**b) for a, b in pairs for _ in range(times)) if own else None
