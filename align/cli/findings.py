"""What `align check`, `rehearse`, `rewards check` and `doctor` print, and samples of pairs with their marks."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from align.checks.finding import Finding
from align.console import make_console, make_table
from align.errors import UserError
from align.secrets import mask
from align.services.findings import STYLES, print_findings
from align.services.options import RewardChecking

LONGEST = 600  # characters of a response that are shown
PROMPT = 200
# Underlined and in brackets too, so that marks are seen without colours.
MARKED = {"chosen": "green underline", "rejected": "red underline"}
UNORDERED = {"chosen": "first", "rejected": "second"}


def check_recipe(
    recipe: str, overrides: Sequence[str], accelerate_config: Path | None, as_json: bool, **how: Any
) -> int:
    """Prints the findings about a recipe; returns 1 if one of them is an error."""
    from align.services.check import CheckResult, check_words

    findings = found_or_said(
        lambda: check_words(recipe, overrides, accelerate_config, **how).findings, "recipe", as_json
    )
    if not as_json:
        console = make_console()
        for finding in findings:
            if finding.numbers.get("samples"):
                print_samples(finding.numbers["samples"], console)
        console.print(str(CheckResult(findings)).splitlines()[-1])
    return int(count(findings, "error") > 0)


def rehearse_recipe(recipe: str, overrides: Sequence[str], fail_on: str, **how: Any) -> int:
    """Prints the verdict of a rehearsal and its numbers; returns 1 if a finding is as bad as `fail_on`."""
    if fail_on not in ("error", "warning"):
        raise UserError(f"`fail_on` must be error or warning, got {fail_on!r}.")
    from align.services.rehearse import rehearse_words

    result = rehearse_words(recipe, overrides, **how)
    level = result.findings[0].level if result.findings else "ok"  # the worst is the first
    console, table = make_console(least=100), make_table(show_header=False)
    console.print(Text(result.record.verdict, f"bold {STYLES[level]}"))
    print_findings([*result.findings, *(each for each in result.record.found.findings if each.level == "ok")])
    for row in result.record.numbers:
        table.add_row(*map(Text, row))
    console.print(table)
    console.print(f"Tables and samples are on {result.page}.", markup=False, soft_wrap=True)
    return int(level == "error" or level == fail_on)


def show_rows(recipe: str, overrides: Sequence[str], ask: bool) -> int:
    """Prints some rows of a recipe before its run."""
    from align.services.show import show_words

    for line in str(show_words(recipe, overrides, ask=ask)).splitlines():
        make_console().print(Text(_visible(line)), soft_wrap=True)
    return 0


def check_rewards(subject: str, words: Sequence[str], as_json: bool, how: RewardChecking) -> int:
    """Prints the findings about rewards; returns 1 if one of them is an error, and 2 where something is unclear."""
    from align.services.rewards import check_rewards

    findings = found_or_said(lambda: check_rewards(subject, words, how), "rewards", as_json)
    wrong, odd = count(findings, "error"), count(findings, "warning")
    if not as_json:
        counts = f"{wrong} error(s), {odd} warning(s)."
        make_console().print(f"{counts} Training would stop, or learn the wrong thing." if wrong else counts)
    return exit_code(findings)


def exit_code(findings: Sequence[Finding], fail_on: Sequence[str] = ()) -> int:
    """Returns 1 if something failed or is of a kind in `fail_on`, else 2 where something cannot be told, else 0.

    What an older version does, beside which a reward is attacked, fails nothing.
    """
    kinds = {each.numbers.get("kind") for each in findings if not each.numbers.get("before")}
    if any(each.level == "error" for each in findings) or kinds & {*fail_on}:
        return 1
    return 2 if "unclear" in kinds else 0


def check_machine(output_dir: Path, as_json: bool) -> int:
    """Prints the findings about the machine; returns 1 if something is broken, 0 with warnings only."""
    from align.checks.machine import check_machine

    findings = found_or_said(lambda: check_machine(output_dir), "machine", as_json)
    broken, odd = count(findings, "error"), count(findings, "warning")
    if not as_json:
        make_console().print(f"{broken} broken, {odd} to look at." if broken or odd else "All well.", style="dim")
    return int(broken > 0)


def found_or_said(
    find: Callable[[], list[Finding]], about: str, as_json: bool, show: Callable[..., None] = print_findings
) -> list[Finding]:
    """Looks for findings, and prints them; in JSON, what stops it is one, too."""
    try:
        findings = find()
    except UserError as error:
        if not as_json:
            raise
        findings = [Finding("error", about, str(error))]
    if as_json:
        print(json.dumps(mask([finding._asdict() for finding in findings]), indent=2, default=str))
    else:
        show(findings)
    return findings


def count(findings: Sequence[Finding], level: str) -> int:
    """Counts the findings of a level."""
    return sum(finding.level == level for finding in findings)


def print_samples(samples: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Prints each pair as its prompt and two responses, with the marked parts [in brackets]."""
    from align.data.conversations import last_text
    from align.report.run.pairs import mark_text

    for sample in samples:
        title = Text(f"\nrow {sample['row']} ({_visible(str(sample['id']))})", "bold")
        parts = (sample.get("source"), sample.get("attribute"), "a tie" if sample.get("tie") else None)
        console.print(title.append("".join(f", {_visible(str(part))}" for part in parts if part), "not bold"))
        prompt = last_text(sample["prompt"])
        if len(prompt) > PROMPT:
            prompt = f"{prompt[: PROMPT // 2]} ... {prompt[-PROMPT // 2 :]}"
        console.print(Text().append("prompt    ", "dim").append(_visible(prompt)))
        for side, style in MARKED.items():
            text = Text().append(f"{UNORDERED[side] if sample.get('tie') else side:<10}", "dim")
            for piece in mark_text(sample[side], sample.get(f"{side}_spans"), LONGEST):
                shown = _visible(piece.text)
                text.append(f"[{shown}]" if piece.marked else shown, style if piece.marked else "")
                text.append(" ... " if piece.left_out else "", "dim")
            console.print(text)


def _visible(text: str) -> str:
    """Writes control characters out, so that data cannot steer the terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
