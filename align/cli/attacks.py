"""What `align rewards attack` and `certify` print, and what their exit codes say."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.text import Text

from align.checks.finding import Finding
from align.cli.findings import exit_code, found_or_said
from align.console import make_console, print_table
from align.errors import UserError
from align.services.findings import print_findings
from align.services.options import Attacking, AttackingOnPage

WRONGLY = ("right refused", "wrong paid")


def attack_rewards(
    subject: str, words: Sequence[str], as_json: bool, fail_on: Sequence[str], how: AttackingOnPage, beside: str
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


def _show(findings: Sequence[Finding]) -> None:
    """Prints the findings, of several rewards under a table with a line for each."""
    from align.services.attacked import by_reward
    from rewards.attacks.ladder import RUNGS

    rewards = by_reward(findings)
    if len(rewards) < 2:
        print_findings(findings)
        return
    known = {step["rung"] for each in findings for step in each.numbers.get("ladder", ())}
    named = [each.name for each in RUNGS if each.name in known or each.cause]
    rows: list[tuple[str, ...]] = []
    for label, (verdict, found) in rewards.items():
        numbers: dict[str, Any] = next((each.numbers for each in found if "ladder" in each.numbers), {})
        steps = {step["rung"]: f"{step['share']:.0%}" for step in numbers.get("ladder", ())}
        best = {"hack": "-", "share": None} | numbers.get("best", {})
        share = "" if best["share"] is None else f" {best['share']:.0%}"
        errors: dict[str, Any] = next((each.numbers["errors"] for each in found if "errors" in each.numbers), {})
        rates = (f"{errors[name]['share']:.0%}" if errors else "-" for name in ("fnr", "fpr"))
        rungs = (steps.get(name, "-") for name in named)
        rows.append((label, verdict, *rungs, f"{best['hack']}{share}", *rates))
    print_table(("reward", "verdict", *named, "best hack", *WRONGLY), rows)
    for label, (_, found) in rewards.items():
        make_console().print(Text(f"\n{label}", "bold"))
        print_findings(found)
