"""What attacks found of rewards, in few words, and of one beside an older version of it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from align.checks.finding import Finding, Level
from rewards.attacks import HACKS, AttackResult
from rewards.roles import mean
from rewards.running.contract.calls import shorten

WORST_FIRST = ("gamed", "soft", "misread", "unclear", "weak", "form", "handed", "beside", "ok")
CHANGES = ("let_in", "shut_out")
RUNG = "ladder: "  # before the names of its rungs, among hacks


class Attacked(NamedTuple):
    """What an attack said of one reward."""

    findings: list[Finding]
    result: AttackResult


def best_of(result: AttackResult) -> dict[str, Any]:
    """Finds the best paid hack that knows no right answer, as a share of what an honest answer earns."""
    knowing = {hack.name for hack in HACKS if hack.needs_right or hack.keeps_right}
    free = [each for each in result.outcomes if each.hack not in knowing and each.rows]
    if not free or result.honest is None:
        return {}
    best, floor = max(free, key=lambda each: each.mean), result.ladder[0].floor
    most = mean(result.honest.pays) - floor
    return {"hack": best.hack, "text": best.text, "share": (best.mean - floor) / most if most > 0 else None}


def changes(new: Attacked, old: Attacked) -> list[Finding]:
    """Says what a change of a reward lets in and what it shuts out: hacks that win on one version only."""
    name, told = new.result.reward, {"spec": new.findings[0].numbers["spec"]}
    for each in (new, old):
        if verdict_of(each.findings) in ("unclear", "failed"):
            text = f"`{name}`: what changed cannot be told: `{each.result.reward}` has no verdict in one version."
            return [Finding("warning", "beside", text, told | {"kind": "unclear"})]
    won, before = _won(new.result), _won(old.result)
    asked = {each.hack for each in new.result.outcomes} & {each.hack for each in old.result.outcomes}
    found = []
    for kind, now, then in (("let_in", won, before), ("shut_out", before, won)):
        if names := [each for each in now if each not in then and (each in asked or each.startswith(RUNG))]:
            first = {now[each][1]: each for each in reversed(names)}  # one of a family
            shown = "; ".join(f"`{each}` ({now[each][0]}): {shorten(now[each][2])}" for each in first.values())
            text = f"`{name}`: the change {kind.replace('_', 's ')} {len(names)} hacks, such as {shown}."
            level: Level = "warning" if kind == "let_in" else "ok"
            found.append(Finding(level, "beside", text, told | {"kind": kind, "hacks": names}))
    if alone := [each for each in {**won, **before} if each not in asked and not each.startswith(RUNG)]:
        text = f"`{name}`: {len(alone)} were tried on one version only, such as `{alone[0]}`."
        found.append(Finding("ok", "beside", text, told | {"kind": "one_version", "hacks": alone}))
    text = f"`{name}`: the change lets no hack in and shuts none out."
    return found or [Finding("ok", "beside", text, told | {"kind": "same"})]


def _won(result: AttackResult) -> dict[str, tuple[str, str, str]]:
    """Lists what wins, rungs and hacks, the worst first: verdict, family and text by name."""
    won = {f"{RUNG}{each.rung.name}": (each.verdict, RUNG, each.text) for each in result.ladder if each.verdict}
    for kind in ("gamed", "soft", "misread", "beside"):
        won |= {each.hack: (kind, each.family, each.text) for each in result.of(kind)}
    return won


def verdict_of(findings: Sequence[Finding]) -> str:
    """Returns what the findings about a reward come to, the worst that was told; `failed` where nothing was."""
    kinds = [each.numbers.get("kind") for each in findings if each.check != "beside"]
    return next((each for each in WORST_FIRST if each in kinds), "failed")


def by_reward(findings: Sequence[Finding]) -> Mapping[str, tuple[str, list[Finding]]]:
    """Groups findings by the reward that they are about, with its verdict."""
    rewards: dict[str, list[Finding]] = {}
    for each in findings:
        label = f"{each.numbers.get('spec', '')}{' (before)' * each.numbers.get('before', False)}"
        rewards.setdefault(label, []).append(each)
    return {label: (verdict_of(found), found) for label, found in rewards.items()}
