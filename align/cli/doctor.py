"""`align doctor`: what is wrong with an installation or a machine, and the line that mends it."""

import json
from pathlib import Path

from align.checks.machine.all_of_it import check_machine
from align.console import make_console
from align.secrets import mask
from align.services.findings import print_findings


def run(output_dir: Path, as_json: bool) -> int:
    """Prints the findings; returns 1 if something is broken, 0 with warnings only."""
    findings = check_machine(output_dir)
    counts = {level: sum(finding.level == level for finding in findings) for level in ("error", "warning")}
    if as_json:
        print(json.dumps(mask([finding._asdict() for finding in findings]), indent=2, default=str))
    else:
        print_findings(findings)
        broken = f"{counts['error']} broken, {counts['warning']} to look at." if any(counts.values()) else "All well."
        make_console().print(broken, style="dim")
    return int(counts["error"] > 0)
