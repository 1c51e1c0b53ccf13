"""Attacks on environments and tools: episodes are played as a trainer plays them, and paid as a recipe pays them."""

import inspect
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from align.data.conversations import conversation_text
from align.errors import UserError
from align.evaluation.with_tools import NamedTools
from align.models.transcripts.stopping import ends
from align.models.transcripts.toolbox import INSTANCES, OpenRow, Toolbox, finish
from align.models.transcripts.transcript import Asked, Transcript
from align.tools.calls import ended, process_of
from align.tools.described import ENTRY
from align.tools.environments import Rubric, host_environment, scores_by_name, source_of
from align.tools.guarded import SECONDS_TO_LOAD, GuardedEnvironment, ToolError, guard_environment, guard_tools
from align.tools.named import tool_methods
from align.tools.served import ServedEnvironment, ServedTools
from align.tools.watched import BEGIN, CLOCK, PAY, READ, STATE, STAY, Copied, Watched
from rewards.attacks import HACKS, Hack, Together
from rewards.attacks.episodes import (
    BEHIND,
    GIVEN,
    LAST,
    ODD,
    RESULTS,
    SHOWN,
    Episode,
    Tool,
    filled,
    items_of,
    odd_one,
    read_episode,
)
from rewards.attacks.hacks.plays import World, plays_of
from rewards.attacks.hacks.shortcuts import shortcuts_of
from rewards.attacks.honest import Honest
from rewards.reading.responses import completion_text
from rewards.running.contract import RewardSpec, Spec
from rewards.running.contract.signature import read_literals
from rewards.running.protocol import asks_a_model
from rewards.running.scores import Composition
from rewards.running.workers import WorkerPool

# In the copy's folder: which files the best paid episodes and their rewards read; how many were lost, and why.
READS, LOST = "reads.json", "lost.json"
MOST_READ, MOST_LOST = 4, 2
LONGEST_WORD, MADE, MOST_FILES = 40, 16, 50
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Playing:
    """What is attacked: tools and environments in a copy of their folder, and what pays their episodes."""

    named: NamedTools
    copied: Copied
    columns: tuple[str, ...] = ()
    parts: tuple[Spec, ...] = ()
    weights: tuple[float, ...] = ()
    composition: Composition = field(default_factory=Composition)
    spec: str = "the environment"

    def resolve(self) -> "Played":
        """Guards the tools, and finds the rewards."""
        return Played(self)


class Scouted(NamedTuple):
    """What a policy is told, and what the code of an environment shows."""

    tools: list[Tool]
    words: list[str]
    needed: list[str]  # columns that `reset` cannot do without


def toolbox_of(named: NamedTools, copied: Copied, rewards: Sequence[RewardSpec | None] = ()) -> Toolbox:
    """Guards what is named, each episode in a copy of its process; environments of others as in training."""
    watch = partial(_watch, copied.folder, [each and copied.spec(each) for each in rewards])
    kinds: dict[str | None, type[GuardedEnvironment]] = {}
    for name, spec in (named.environments or {}).items():
        kind = guard_environment(copied.spec(spec), named.limits)
        own = {"_guard_serve": partial(watch, ServedEnvironment), "__module__": kind.__module__}
        kinds[name] = type(kind.__name__, (_Anew, kind), own)
    if named.hosted is not None and named.plays:
        kinds[None] = host_environment(named.hosted, named.limits)
    specs = [copied.spec(each) for each in named.tools]
    return Toolbox(guard_tools(specs, named.limits, partial(watch, ServedTools)), kinds)


def _watch(folder: Path, rewards: Sequence[RewardSpec | None], serve: Callable[[Any], Any], given: Any) -> Watched:
    return Watched(serve(given), folder, rewards)


class _Anew(GuardedEnvironment):
    """Begins each episode in another copy of its process, unless it is to be seen what the last one left."""

    goes_on = False

    def reset(self, **row: Any) -> Any:
        """Begins anew."""
        self._guard_lost = ""
        if type(self).goes_on:
            with suppress(ToolError):  # `reset` says it again
                self._guard_ask("", question=STAY)
        return super().reset(**row)


class Scout:
    """Looks at what is named, in a process that can be killed."""

    def __init__(self, playing: Playing) -> None:
        self.playing = playing

    def __call__(self, _: Any) -> Scouted:
        """Reads signatures and code."""
        named = self.playing.named
        with closing(toolbox_of(named, self.playing.copied)) as box:
            kinds = [*box.environments.values()]
            told = [*box.tools, *(each for kind in kinds for each in tool_methods(kind).values())]
            own = [sys.modules[kind.__module__] for kind in kinds if named.hosted is None]
        code = [vars(module).get(kind.__name__) for module, kind in zip(own, kinds, strict=False)]
        methods: list[Any] = [
            each for kind in code if kind for each in vars(kind).values() if inspect.isfunction(each)
        ]
        methods += [part.resolve() for part in self.playing.parts]
        words = [word for each in methods for word in read_literals(each) if isinstance(word, str)]
        if named.hosted is not None:
            words += [part[1:-1] for part in source_of(named.hosted).split() if part[:1] in "\"'" and len(part) > 2]
        needed = [name for kind in code if kind for name in Tool.of(kind.reset).required]
        short = [word for word in dict.fromkeys(words) if word.isprintable() and len(word) <= LONGEST_WORD]
        return Scouted([Tool.of(each) for each in told], [w for w in short if w and " " not in w], needed)


def scout(playing: Playing) -> Scouted:
    """Finds tools and words; raises `UserError` where the environment cannot be loaded."""
    with WorkerPool(Scout(playing), timeout=SECONDS_TO_LOAD) as pool:
        (outcome,) = pool.map([None])
    if outcome.failure is not None:
        raise UserError(f"The environment cannot be loaded: {outcome.message}. Look at what its file does.")
    return outcome.value  # type: ignore[no-any-return]


class Paid:
    """A reward that was asked for where its episode was played, as a function of what was paid there."""

    def __init__(self, name: str) -> None:
        self.__name__ = name

    def __call__(self, paid: Sequence[Mapping[str, float | None]], **columns: Any) -> list[float | None]:
        """Returns it."""
        return [each.get(self.__name__) for each in paid]


class Played:
    """A reward whose responses are episodes, as `rewards.attacks.episodes` writes them; it plays each and pays it."""

    def __init__(self, playing: Playing) -> None:
        self.copied, self.named = playing.copied, playing.named
        own = Together(playing.parts, playing.weights, playing.composition).resolve()
        pairs = zip(playing.parts, own.funcs, strict=True)
        self.there = [  # which rewards are asked where an episode was played
            each if self.named.hosted is None and isinstance(each, RewardSpec) and not asks_a_model(func) else None
            for each, func in pairs
        ]
        self.box = toolbox_of(playing.named, playing.copied, self.there)
        names = [*self.box.rewarding] if self.box.environments else [*playing.named.weights]
        self.rubric = Rubric(str(self.named.hosted), self.named.limits) if self.named.hosted else None
        weights = [*playing.weights, *(self.named.weights.get(name, 1.0) for name in names)]
        self.sum = type(own)([*own.funcs, *map(Paid, names)], weights, playing.composition)
        for place, each in enumerate(self.there):
            self.sum.funcs[place] = Paid(str(place)) if each else own.funcs[place]
        self.__name__, self.asks_a_model = self.sum.__name__, self.sum.asks_a_model  # type: ignore[attr-defined]
        keys = dict.fromkeys(("prompts", "completions", *playing.columns))
        named = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None) for name in keys]
        more = inspect.Parameter("given", inspect.Parameter.VAR_KEYWORD)
        self.__signature__ = inspect.Signature([*named, more])
        self.says = bool(playing.parts) or self.named.hosted is not None  # whether what is said is read
        self.known: dict[tuple[str, str], float | None] = {}
        self.best: dict[str, float] = {}  # by row
        self.read: dict[str, dict[str, str]] = {}  # which files the best episodes of rows have read, by their text
        self.lost: Counter[str] = Counter()  # by row, and by text: how often an episode hung or ended its process

    def __call__(self, **given: Any) -> list[float | None]:
        """Plays and pays; None of an episode that is lost."""
        texts, paid = [completion_text(each) for each in given["completions"]], list[float | None]()
        for place, text in enumerate(texts):
            own = {name: [each[place]] if isinstance(each, list) else each for name, each in given.items()}
            row = {name: each[0] for name, each in own.items() if isinstance(each, list) and name not in _NO_COLUMNS}
            row["prompt"] = own["prompts"][0]
            key = (text if self.says or "<" in text else "", repr(row))
            if key not in self.known and any(self.lost[each] >= MOST_LOST for each in key):
                self.known[key] = None  # it would hang again
            elif key not in self.known:
                self.known[key] = self._pay(row, text, own)
            paid.append(self.known[key])
        return paid

    def _pay(self, row: Row, text: str, given: dict[str, Any]) -> float | None:
        episode = read_episode(text)
        self.copied.restore()
        asked = Asked(row, f"0/{row.get('id')}/0")
        if episode.before:
            self._play(asked, read_episode(episode.before))
        _Anew.goes_on = bool(episode.before)
        try:
            opened, done = self._play(asked, episode)
        finally:
            _Anew.goes_on = False
        if done is None:
            return None
        if done.lost:
            self._lose(opened, row, text, done.lost)
            return None
        told = ended(done.completion)
        paid = done.rewards
        if self.rubric is not None and not self.box.environments:
            paid = scores_by_name(tuple(self.named.weights), self.rubric.score([told], [row[ENTRY]])[0])
        process = self._process(opened)
        if any(self.there):
            try:
                given_there = {"row": {**row, "prompt": done.prompt}, "completion": told}
                values = process.ask("", given_there, PAY)
            except ToolError as error:
                if not process.has_ended:
                    raise
                self._lose(opened, row, text, f"a reward: {error}")
                return None
            paid = paid | {str(place): value for place, value in enumerate(values)}
        said = {"prompts": [done.prompt], "completions": [told], INSTANCES: [opened.environment], "paid": [paid]}
        (value,) = self.sum(**given | said)
        if process and value is not None and value > self.best.get(repr(row), float("-inf")) and episode.calls:
            self.best[repr(row)] = value
            with suppress(ToolError):
                self.read[text] = process.ask("", question=READ)
                (self.copied.folder / READS).write_text(json.dumps(self.read), encoding="utf-8")
        return value

    def _lose(self, opened: OpenRow, row: Row, text: str, why: str) -> None:
        """Notes an episode without a pay, and not to play again what hangs."""
        process = self._process(opened)
        hung = [text, repr(row)] if process is None or process.has_ended else []  # else the next may be paid
        self.lost.update([*hung, LOST])
        (self.copied.folder / LOST).write_text(json.dumps([self.lost[LOST], why, text]), encoding="utf-8")

    def _process(self, opened: OpenRow) -> Any:
        """Returns the process that knows the state of an episode; None of an environment of others."""
        if isinstance(opened.environment, _Anew):
            return opened.environment._guard_process
        return process_of(self.box.tools[0]) if self.box.tools else None

    def _play(self, asked: Asked, episode: Episode) -> tuple[OpenRow, Transcript | None]:
        """Plays an episode; None where it does not undo what it was to undo, or is not what it has to be."""
        if episode.without:
            whole, looks = map(read_episode, episode.without)
            if self._shown(asked, whole, looks) == self._shown(asked, episode, looks):
                return self._open(asked)[0], None
        if episode.apart:
            work, right = episode.apart
            if right in "\n".join(self._told(asked, read_episode(work))):
                return self._open(asked)[0], None
        if episode.without or episode.apart:
            self.copied.restore()
        opened, *others = self._open(asked, 2 if episode.beside else 1)
        for other in others:
            _write(other, read_episode(episode.beside), self.named.max_calls)
        before = _state(opened) if episode.undoes else {}
        last = len(episode.calls) - episode.undoes
        written = _write(opened, episode._replace(calls=episode.calls[:last]), self.named.max_calls)
        if episode.undoes:
            done = _state(opened)
            _write(opened, episode._replace(calls=episode.calls[last:]), self.named.max_calls)
            left = _state(opened)
            if not any(done[name] != before.get(name) == left.get(name) for name in done):
                return opened, None
        if episode.clock and isinstance(opened.environment, _Anew):
            with suppress(ToolError):
                opened.environment._guard_ask("", {"seconds": episode.clock}, CLOCK)
        return opened, finish(opened, completion=written, prompt_ids=[], ids=[], mask=[], cut_off=False)

    def _open(self, asked: Asked, count: int = 1) -> list[OpenRow]:
        """Begins an episode, in another copy of the process."""
        for tool in self.box.tools[:1]:
            if (process := process_of(tool)) is not None:
                with suppress(ToolError):  # the first call says it again
                    process.ask("", question=BEGIN)
        return self.box.open([asked] * count)

    def _shown(self, asked: Asked, episode: Episode, looks: Episode) -> list[str]:
        """Returns what calls return behind an episode that was not ended; nothing where they were not made."""
        calls = [*episode.calls]
        while calls and not calls[-1][1]:  # it may end the episode
            calls.pop()
        told = self._told(asked, Episode([*calls, *looks.calls], ""))
        return told[len(calls) :] if len(told) == len(calls) + len(looks.calls) else []

    def _told(self, asked: Asked, episode: Episode) -> list[str]:
        self.copied.restore()
        written = _write(self._open(asked)[0], episode, self.named.max_calls)
        return [str(each["content"]) for each in written if each["role"] == "tool"]


_NO_COLUMNS = ("prompts", "completions", "completion_ids")


def _state(opened: OpenRow) -> dict[str, str]:
    if not isinstance(opened.environment, _Anew) or opened.environment._guard_lost:
        return {}
    return opened.environment._guard_ask("", question=STATE)  # type: ignore[no-any-return]


def _write(opened: OpenRow, episode: Episode, max_calls: int | None) -> list[dict[str, Any]]:
    """Makes the messages of an episode, as TRL does; of more calls than there are turns, the first are in one."""
    calls, made, results = list(episode.calls), [], list[str]()
    known = {SHOWN: conversation_text(opened.prompt), **dict.fromkeys((LAST, RESULTS, BEHIND, GIVEN, ODD), "")}
    known |= items_of("")
    first = max(1, len(calls) - (max_calls or len(calls)) + 1)
    completion: list[dict[str, Any]] = []
    while calls:
        turn, calls, first = calls[:first], calls[first:], 1
        now = [(name, filled(arguments, known)) for name, arguments in turn]
        asked = [{"type": "function", "function": {"name": name, "arguments": given}} for name, given in now]
        completion.append({"role": "assistant", "content": "", "tool_calls": asked})
        for name, arguments in now:
            try:
                result = opened.tools[name](**arguments)
            except Exception as error:  # whatever a tool raises is told to the model, as TRL does
                result = {"error": str(error)}
            content = result if isinstance(result, list) else str(result)
            completion.append({"role": "tool", "name": name, "content": content})
            made.append((name, arguments))
            results.append(str(result))
        if ends(opened.environment, completion):
            return completion
        known |= {LAST: results[-1], ODD: odd_one(made, results), **items_of(results[0], episode.skips)}
        known |= {RESULTS: "\n".join(results), BEHIND: "\n".join(results[1:])}
        known[GIVEN] = repr([str(value) for _, given in made for value in given.values()])
    return [*completion, {"role": "assistant", "content": str(filled(episode.said, known))}]


def hacks_of(
    playing: Playing, scouted: Scouted, rows: Sequence[Row], texts: Sequence[Hack], honest: Honest
) -> list[Hack]:
    """Lists plays, behind them texts, which tools are handed where they are handed honest answers."""
    files = _read_by_rewards(playing, honest)
    prompt = rows[0]["prompt"]
    system = [each["content"] for each in prompt if each["role"] == "system"] if isinstance(prompt, list) else []
    if any(read_episode(each or "").calls for each in honest.texts):  # what is said beside is no answer
        texts = [each for each in texts if each not in HACKS or (each.is_answer and not each.needs_right)]
    code = f"{_code(playing)}\n{rows[0]}"
    world = World(scouted.tools, files, scouted.words, next(iter(system), ""), code)
    return [*plays_of(world), *shortcuts_of(world, honest.texts), *texts]


def _code(playing: Playing) -> str:
    """Reads the code beside what is attacked, its own files first: tables and variables that it names."""
    specs: list[Any] = [*playing.named.tools, *(playing.named.environments or {}).values(), *playing.parts]
    own = {os.path.basename(each.spec.rpartition(":")[0]) for each in specs}
    files = [path for path in playing.copied.kept.rglob("*") if path.suffix in (".py", ".sql")]
    files.sort(key=lambda path: (path.name not in own, str(path)))
    return "\n".join(path.read_text("utf-8", errors="replace") for path in files[:MOST_FILES])


def _read_by_rewards(playing: Playing, honest: Honest | None) -> dict[str, list[tuple[str, str]]]:
    """Lists by honest episode files that pay depends on, with what is in them; none that honest calls write."""
    files: dict[str, dict[str, str]] = {}
    with suppress(OSError, ValueError):
        files = json.loads((playing.copied.folder / READS).read_text("utf-8"))
    calls = [each for text in (honest.texts if honest else ()) for _, each in read_episode(text or "").calls]
    own = {os.path.basename(str(each)) for call in calls if len(call) > 1 for each in call.values()}
    left = {}
    for text, read in files.items():
        # In a folder that each episode makes, tools take a name within it.
        inner = [(re.sub(r"^\.\./tmp/[^/]+/", "", path), kept) for path, kept in read.items()]
        kept_by = {name: kept for path, kept in inner for name in (os.path.basename(path), path)}
        left[text] = [each for each in kept_by.items() if os.path.basename(each[0]) not in own][-MOST_READ:]
    return {text: read for text, read in left.items() if read}


def say_lost(playing: Playing, honest: Honest | None) -> str:
    """Says how many episodes were lost, and why the last was; empty where none was."""
    try:
        count, why, text = json.loads((playing.copied.folder / LOST).read_text("utf-8"))
    except (OSError, ValueError):
        return ""
    is_outside = "Read-only file system" in why or "outside of the copy" in why
    remedy = " Write in the folder of its file, or with `tempfile`: the attack leaves all else as it is."
    files = [os.path.basename(path) for read in _read_by_rewards(playing, honest).values() for path, _ in read]
    calls = [(name, [*given.values()]) for name, given in read_episode(text).calls if len(given) > 1]
    for name, path in ((name, path) for name, given in calls for path in files if path in given):
        remedy = f" `{name}` can write {path}, which the reward reads: keep it where no tool can write."
        is_outside = True
    return f"{count} episodes were lost, the last by {why}.{remedy * is_outside}"


def made_rows(needed: Sequence[str]) -> list[dict[str, Any]]:
    """Makes rows for an environment that has all that it asks in itself; raises `UserError` if it needs columns."""
    if needed:
        raise UserError(f"`reset` of the environment takes {', '.join(needed)}. Name rows that have it with `--data`.")
    return [{"id": str(i), "prompt": [{"role": "user", "content": f"Do task {i}."}]} for i in range(MADE)]
