"""`align check`: what is wrong with a recipe, in seconds."""

import json
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

from align.assets import find_recipe
from align.checks.finding import Finding
from align.checks.launch import read_launch
from align.checks.output import check_output
from align.checks.recipe import Checked, check_recipe
from align.cli.findings import print_findings
from align.cli.pair_samples import print_samples
from align.cli.run_words import start_words
from align.console import make_console
from align.errors import RunFolderError, UserError
from align.recipe.recipe import Recipe, load_recipe
from align.runs.agreement import compare_data, compare_readings
from align.runs.stages import Stage, ToDo, plan_stages
from align.secrets import mask


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
        parsed = load_recipe(find_recipe(recipe), overrides)
        parsed = _dry(parsed) if dry_run else parsed
        with redirect_stdout(sys.stderr):  # transformers prints a line on WANDB_MODE=offline when it is imported
            findings, stages = _check_start(parsed, resume)
            checked = check_recipe(parsed, read_launch(accelerate_config))
            findings += checked.findings + _check_changes(stages, parsed, checked)
    except UserError as error:
        if not as_json:
            raise
        findings = [Finding("error", "recipe", str(error))]
    num_errors = sum(finding.level == "error" for finding in findings)
    if as_json:
        print(json.dumps(mask([finding._asdict() for finding in findings]), indent=2, default=str))
    else:
        print_findings(findings)
        console = make_console()
        for finding in findings:
            if finding.numbers.get("samples"):
                print_samples(finding.numbers["samples"], console)
        console.print(f"{num_errors} error(s): training would not start." if num_errors else "Ready to train.")
    return int(num_errors > 0)


def _check_start(recipe: Recipe, resume: str | None) -> tuple[list[Finding], list[Stage]]:
    """Checks the folders of the runs, and that a run can begin there, or that there is what it is to go on from."""
    if found := check_output(recipe):
        return found, []
    try:
        stages = plan_stages(recipe, resume)
    except RunFolderError as error:
        return [Finding("error", "output", str(error))], []
    return [Finding("ok", "output", text) for text in start_words(stages, resume)], stages


def _check_changes(stages: Sequence[Stage], recipe: Recipe, checked: Checked) -> list[Finding]:
    """Finds what is another one by now than when a run that goes on was started: its data, its base, own code."""
    found = []
    for stage in stages:
        of_stage = checked.then if stage.recipe is recipe.then else checked.first
        if stage.todo is ToDo.NOTHING or of_stage is None or of_stage.data is None:
            continue
        try:
            compare_data(stage, of_stage.data.fingerprints)
            found += [Finding("warning", "output", text) for text in compare_readings(stage)]
        except RunFolderError as error:
            found.append(Finding("error", "output", str(error)))
    return found


def _dry(recipe: Recipe) -> Recipe:
    then = None if recipe.then is None else replace(recipe.then, is_dry=True)
    return replace(recipe, is_dry=True, then=then)
