"""What an attack found of a reward, and the page of an attack: a row for each reward, the worst first."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from align.checks.finding import Finding
from align.report.charts.drawing import Chart
from align.report.charts.interval import Interval, draw_intervals
from align.report.page import write_page
from align.report.run.finding import LEVELS
from rewards.attacks.ladder import RUNGS

_OF_VERDICTS = {"gamed": "spoils", "failed": "spoils", "ok": "note"}  # of verdicts; any other is a doubt
_STEPS = {  # of the ladder, in the few words that fit beside a bar
    "nothing": "nothing at all",
    "constant": "one constant answer",
    "copy": "a copy of the row",
    "another": "another row's answer",
    "bare": "the right answer, without form",
    "broken": "a call left out",
}


def shown(name: str, verdict: str, findings: Sequence[Finding]) -> dict[str, Any]:
    """Arranges what an attack found of a reward: figure, sentences, remedy, best hack, and the ladder in texts."""
    numbers: dict[str, Any] = {}
    for each in reversed(findings):  # so that the first that has a number says it
        numbers |= each.numbers
    steps, remedy = numbers.get("ladder", ()), numbers.get("remedy", "")
    best = {"hack": "", "text": "", "share": None} | numbers.get("best", {})
    said = [(LEVELS[each.level], each.text.removesuffix(remedy)) for each in findings if "ladder" not in each.numbers]
    ladder = [(each["rung"], f"{each['share']:.0%}", f"{each['low']:.0%} to {each['high']:.0%}", each["text"])
              for each in reversed(steps)]  # fmt: skip
    own = {"name": name, "verdict": verdict, "level": _OF_VERDICTS.get(verdict, "doubt"), "ladder": ladder}
    order = [*LEVELS.values()]
    told = sorted(said, key=lambda each: order.index(each[0]))
    return own | {"said": told, "remedy": remedy, "charts": _chart(steps, best), **best}


def _chart(steps: Sequence[Mapping[str, Any]], best: Mapping[str, Any]) -> list[Chart]:
    """Draws the ladder from the top, with the best hack among those that know no answer."""
    causes = {rung.name: rung.cause for rung in RUNGS}
    knows, blind = "knows the right answer", "does not know it"
    drawn = [
        Interval(_STEPS[rung], blind if causes[rung] else knows, each["share"], each["low"], each["high"])
        for each in reversed(steps)
        for rung in (each["rung"],)
    ]  # fmt: skip
    if best["share"] is not None:
        drawn.insert(0, Interval(f"best hack: {best['hack']}", blind, best["share"], math.nan, math.nan))
    if not drawn:
        return []
    note = "Of what an honest answer earns, with 95 % intervals. Orange should stand near 0."
    title = "What this reward pays for"
    return [draw_intervals(title, note, drawn, "share of an honest answer's pay", share=True, order=(knows, blind))]


def build_attack_page(
    rewards: Mapping[str, tuple[str, Sequence[Finding]]], facts: Mapping[str, str], out: Path
) -> Path:
    """Writes the page of an attack on rewards: verdict and findings of each, by its name."""
    order, rows = [*LEVELS.values()], [shown(name, *found) for name, found in rewards.items()]
    gamed, title = sum(each["verdict"] == "gamed" for each in rows), f"{len(rows)} rewards"
    verdict = f"{gamed} of {len(rows)} rewards can be gamed."
    if len(rows) == 1:
        title, verdict = rows[0]["name"], f"{rows[0]['verdict'].capitalize()}."
    rows.sort(key=lambda each: order.index(each["level"]))
    return write_page("attack.html.j2", out, title=f"Attack on {title}", verdict=verdict, rewards=rows, facts=facts)
