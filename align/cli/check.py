"""`align check`: what is wrong with a recipe, in seconds."""

import json
from collections.abc import Sequence
from pathlib import Path

from align.checks.finding import Finding
from align.cli.pair_samples import print_samples
from align.console import make_console
from align.errors import UserError
from align.secrets import mask
from align.services.check import CheckResult, check_words
from align.services.findings import print_findings


def run(
    recipe: str,
    overrides: Sequence[str],
    accelerate_config: Path | None,
    as_json: bool,
    dry_run: bool = False,
    resume: str | None = None,
) -> int:
    """Prints the findings; returns 1 if one of them is an error."""
    try:
        found = check_words(recipe, overrides, accelerate_config, dry_run=dry_run, resume=resume)
    except UserError as error:
        if not as_json:
            raise
        found = CheckResult([Finding("error", "recipe", str(error))])
    if as_json:
        print(json.dumps(mask([finding._asdict() for finding in found.findings]), indent=2, default=str))
        return int(not found.is_ready)
    print_findings(found.findings)
    console = make_console()
    for finding in found.findings:
        if finding.numbers.get("samples"):
            print_samples(finding.numbers["samples"], console)
    console.print(str(found).splitlines()[-1])
    return int(not found.is_ready)
