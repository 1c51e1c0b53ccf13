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
    from rewards.attacks.ladder import RUNGS

    rewards: dict[str, list[Finding]] = {}
    for each in findings:
        label = f"{each.numbers.get('spec', '')}{' (before)' * each.numbers.get('before', False)}"
        rewards.setdefault(label, []).append(each)
    if len(rewards) < 2:
        print_findings(findings)
        return
    console, table = (
        make_console(least=100),
        make_table("reward", "verdict", *(each.name for each in RUNGS), "best hack"),
    )
    for label, found in rewards.items():
        numbers: dict[str, Any] = next((each.numbers for each in found if "ladder" in each.numbers), {})
        steps = {step["rung"]: f"{step['share']:.0%}" for step in numbers.get("ladder", ())}
        best = {"hack": "-", "share": None} | numbers.get("best", {})
        share = "" if best["share"] is None else f" {best['share']:.0%}"
        cells = (label, verdict_of(found), *(steps.get(each.name, "-") for each in RUNGS), f"{best['hack']}{share}")
        table.add_row(*map(Text, cells))
    console.print(table)
    for label, found in rewards.items():
        console.print(Text(f"\n{label}", "bold"))
        print_findings(found)
