"""What `align rewards attack` and `certify` print, and what their exit codes say."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.text import Text

from align.checks.finding import Finding
from align.cli.findings import found_or_said
from align.console import make_console, make_table
from align.errors import UserError
from align.services.findings import print_findings
from align.services.options import Attacking


def attack_rewards(
    subject: str, words: Sequence[str], as_json: bool, fail_on: Sequence[str], how: Attacking, beside: str
) -> int:
    """Prints what an attack found of each reward, behind a table of all where there are several."""
    from align.services.attacked import CHANGES
    from align.services.rewards import attack_rewards
    from rewards.attacks import VERDICTS

    known = [*VERDICTS, *(CHANGES if beside else ())]
    if unknown := [kind for kind in fail_on if kind not in known]:
        raise UserError(
            f"`--fail_on` must name some of {', '.join(known)}, which are told beyond chance, got {unknown[0]!r}."
        )
    findings = found_or_said(lambda: attack_rewards(subject, words, how, beside), "attack", as_json, _show)
    return exit_code(findings, fail_on)


def certify_rewards(subject: str, words: Sequence[str], out: Path, how: Attacking) -> int:
    """Writes cards, prints what they say, and where they are."""
    from align.services.cards import certify

    cards, findings = certify(subject, words, out, how)
    _show(findings)
    for card in cards:
        make_console().print(f"{card} and card.html beside it.", markup=False, soft_wrap=True)
    return exit_code(findings)


def exit_code(findings: Sequence[Finding], fail_on: Sequence[str] = ()) -> int:
    """Returns 1 if something failed or is of a kind in `fail_on`, else 2 where something cannot be told, else 0.

    What an older version does, beside which a reward is attacked, fails nothing.
    """
    kinds = {each.numbers.get("kind") for each in findings if not each.numbers.get("before")}
    if any(each.level == "error" for each in findings) or kinds & {*fail_on}:
        return 1
    return 2 if "unclear" in kinds else 0


def _show(findings: Sequence[Finding]) -> None:
    """Prints the findings, of several rewards under a table with a line for each."""
    from align.services.attacked import verdict_of

    rewards: dict[tuple[str, bool], list[Finding]] = {}
    for each in findings:
        rewards.setdefault((each.numbers.get("spec", ""), each.numbers.get("before", False)), []).append(each)
    if len(rewards) < 2:
        print_findings(findings)
        return
    ladders: dict[tuple[str, bool], dict[str, Any]] = {
        key: next((each.numbers for each in found if "ladder" in each.numbers), {}) for key, found in rewards.items()
    }
    rungs = next(([step["rung"] for step in each["ladder"]] for each in ladders.values() if each), [])
    console, table = make_console(least=100), make_table("reward", "verdict", *rungs, "best hack")
    for (spec, is_before), found in rewards.items():
        steps = {step["rung"]: step["share"] for step in ladders[spec, is_before].get("ladder", ())}
        cells = [f"{steps[rung]:.0%}" if rung in steps else "-" for rung in rungs]
        verdict = verdict_of([each for each in found if each.check != "beside"])
        table.add_row(
            *map(Text, (f"{spec}{' (before)' * is_before}", verdict, *cells, _best(ladders[spec, is_before])))
        )
    console.print(table)
    for (spec, is_before), found in rewards.items():
        console.print(Text(f"\n{spec}{' (before)' * is_before}", "bold"))
        print_findings(found)


def _best(numbers: dict[str, Any]) -> str:
    best = numbers.get("best") or {}
    share = "" if best.get("share") is None else f" {best['share']:.0%}"
    return f"{best.get('hack', '-')}{share}"
