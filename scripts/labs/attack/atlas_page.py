"""Writes the page of the atlas from what was asked."""

import html
from collections.abc import Mapping
from textwrap import fill
from typing import Any

from align.markdown import code
from rewards.running.contract.calls import shorten

Record = Mapping[str, Any]
RUNGS = ("nothing", "constant", "copy", "another", "bare")
FINDINGS, LONGEST, LUCK = ("gamed", "soft", "misread"), 40, 0.25
WIDTH, LATE = 100, "not reached in time"
HEAD = """| reward | verdict | ladder | refused | paid | shortest text | earns |
|---|---|---|---|---|---|---|"""
PAGE = """# Public rewards, and what each can be gamed by

{lead}

{made}

The ladder is what earns in percent of an honest answer: nothing / the best constant / the best copy
of what the row shows / another row's answer in the right form / the right answer without its form.
*Refused* are right answers that are written otherwise and earn nothing, *paid* are wrong ones that
earn, each with its 95 % interval; `-` where a reward is about form or no wrong answer is told from
a right one. [Attacks](../explanation/attacks.md) and [error rates](reward-errors.md) say what was
tried.

## What pays wrong answers

`gamed`: a text that needs no right answer earns as much as one. `soft`: it earns at least half of
that, above the best guess. `misread`: it means another answer, and only who knows the right one can
write it. A replay prints what the package's own function pays:

```bash
python -m scripts.labs.attack.atlas --package reasoning_gym --task coin_flip
```

{holes}

## Where a guess is right by luck

Nothing here is a hole of the verifier: right answers are few, so that one of them, always written,
is right this often. A policy learns to guess there; take other settings of the task, or balance it.

{guesses}

Here one text is paid more often than the commonest right answer is right, though not beyond chance
as often as an honest one: the verifier may take several answers, or give a part.

{odd}

## Which right answers are refused

{often}

{refused}

## About form

{form}

## None games it

{clean}

## What could not be asked

{unclear}
"""


def page(found: Mapping[str, Mapping[str, Record]], *, made: str, not_asked: Mapping[str, str]) -> str:
    """Writes what was found of each package, by reward."""
    known = [(package, name, each) for package, own in found.items() for name, each in own.items()]
    of = {verdict: [each for each in known if each[2]["verdict"] == verdict] for verdict in (*FINDINGS, "form", "ok")}
    rest = [each for each in known if each[2]["verdict"] in ("unclear", "not asked")]
    late = [each for each in rest if each[2]["why"] == LATE]
    asked = len(known) - len(rest)
    constant = [each for each in (*of["ok"], *of["misread"]) if _constant(each[2]) >= LUCK]
    luck = [each for each in constant if _constant(each[2]) <= each[2]["guess"] + 0.05]
    odd = [each for each in constant if each not in luck]
    refused = [each for each in known if each[2].get("fnr") and each[2]["fnr"][0] >= 1 / 3]
    refused.sort(key=lambda each: -each[2]["fnr"][0])
    words = [word for _, _, each in refused for word, *_ in each["refused"]]
    often = sorted(set(words), key=lambda word: (-words.count(word), word))[:3]
    lead = (
        f"Of {len(known)} rewards and tasks of {len(found)} packages {asked} could be asked. {len(of['gamed'])} are "
        f"gamed, {len(of['soft'])} pay at least half for what knows nothing, {len(of['misread'])} pay what means "
        f"another answer, {len(of['form'])} are about form, and {len(of['ok'])} were gamed by nothing that was tried."
    )
    return PAGE.format(
        lead=_wrapped(lead),
        made=_wrapped(made),
        holes="\n".join([HEAD, *(_line(*each) for verdict in FINDINGS for each in of[verdict])]),
        guesses=_wrapped(_shares(luck)),
        odd=_wrapped(_shares(odd)),
        often=_wrapped(
            "These refuse at least a third of the right answers that are written otherwise, most often "
            + ", ".join(word[:1].lower() + word[1:] for word in often)
            + ". In GRPO that costs as much as a hack."
        ),
        refused=_wrapped(", ".join(f"`{name}` {_rate(each['fnr'])}" for _, name, each in refused) + "."),
        form=_wrapped(f"{_names(of['form'])}: nothing that rows hold moves their pay."),
        clean="\n".join(_of_package(of["ok"], package) for package in found if any(e[0] == package for e in of["ok"])),
        unclear="\n".join([
            *(_item(f"`{name}` ({package}): {code(shorten(each['why'], 150))}") for package, name, each in rest
              if each["why"] != LATE),
            *(_item(f"{name}: {why}.") for name, why in not_asked.items()),
            *([_item(f"{LATE}, and asked when the script goes on: {_names(late)}.")] if late else []),
        ]),
    )  # fmt: skip


def _constant(record: Record) -> float:
    return float(record["ladder"].get("constant", [0.0])[0])


def _shares(some: list[tuple[str, str, Record]]) -> str:
    return (", ".join(f"`{name}` {_constant(each):.0%}" for _, name, each in some) or "None") + "."


def _names(some: list[tuple[str, str, Record]]) -> str:
    return ", ".join(f"`{name}`" for _, name, _ in some) or "none"


def _of_package(some: list[tuple[str, str, Record]], package: str) -> str:
    own = [each for each in some if each[0] == package]
    return _item(f"{package}, {len(own)}: {_names(own)}.")


def _line(package: str, name: str, record: Record) -> str:
    ladder = " / ".join(f"{record['ladder'][rung][0]:.0%}" if rung in record["ladder"] else "-" for rung in RUNGS)
    hole = record["hole"]
    rates = [_rate(record[side]) if record.get(side) else "-" for side in ("fnr", "fpr")]
    text = _in_table(hole["text"]) if hole["text"] else "nothing at all"
    late = [each for each in record.get("problems", ()) if "not tried" in each]
    verdict = record["verdict"] + (f", {record['hacks']} hacks tried" if late else "")
    cells = [f"`{package}` `{name}`", verdict, ladder, *rates, text, hole["earned"]]
    return "| " + " | ".join(cells) + " |"


def _in_table(text: str) -> str:
    """Writes the end of a text as code in a cell, whatever signs of tables and of code it has."""
    shown = repr(text if len(text) <= LONGEST else f"…{text[-LONGEST:]}")
    escaped = html.escape(shown, quote=False).replace("|", "&#124;").replace("`", "&#96;")
    return f"<code>{escaped}</code>"


def _rate(rate: list[float]) -> str:
    return f"{100 * rate[0]:.0f} % [{100 * rate[1]:.0f}, {100 * rate[2]:.0f}]"


def _item(text: str) -> str:
    return fill(f"- {text}", WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _wrapped(text: str) -> str:
    return fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)
