"""Checks a recipe: what is wrong with it, in seconds, with nothing written and no model loaded."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from align.assets import find_recipe, written_recipe
from align.checks.finding import Finding
from align.checks.launch import read_launch
from align.checks.memory import check_output
from align.errors import RunFolderError
from align.recipe.recipe import Recipe, load_recipe
from align.runs.agreement import agree_on_data
from align.runs.peers import Peers
from align.runs.stages import Stage, ToDo, plan_stage
from align.secrets import mask
from align.services.prepared import Prepared, prepare
from align.services.run_words import start_words
from rewards.extras import loaded

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class CheckResult:
    """The findings about a recipe.

    Attributes:
        findings: Each with its level, `ok`, `warning` or `error`.
    """

    findings: list[Finding]

    @property
    def errors(self) -> list[Finding]:
        """The findings that stop a run."""
        return [each for each in self.findings if each.level == "error"]

    @property
    def is_ready(self) -> bool:
        """Whether training would start."""
        return not self.errors

    def __str__(self) -> str:
        end = "Ready to train." if self.is_ready else f"{len(self.errors)} error(s): training would not start."
        return "\n".join([*(f"{each.level} {each.check}: {mask(each.text)}" for each in self.findings), end])

    __repr__ = __str__

    def to_pandas(self) -> "pd.DataFrame":
        """Returns a frame with the columns level, check, text and fix."""
        pd = loaded("pandas", "`to_pandas()`")
        rows = [(each.level, each.check, mask(each.text), each.fix) for each in self.findings]
        return pd.DataFrame(rows, columns=["level", "check", "text", "fix"])

    def _repr_html_(self) -> str:
        html: str = self.to_pandas().to_html(index=False)
        return f"{html}<p>{escape(str(self).splitlines()[-1])}</p>"


def check(
    recipe: str | Path | Mapping[str, Any],
    *,
    accelerate_config: str | Path | None = None,
    dry_run: bool = False,
    resume: str | None = None,
    **settings: Any,
) -> CheckResult:
    """Checks a recipe, as `align check` does.

    Args:
        recipe: A file, the name of a shipped one, or its keys and values.
        accelerate_config: Launch file whose processes it is checked for.
        dry_run: Whether rewards that ask a model are left alone.
        resume: `auto`, or a checkpoint that the run is to go on from.
        **settings: Keys of the recipe that win over the file, such as `learning_rate=1e-6` or
            `dataset={"max_rows": 100}`.

    Raises:
        UserError: If the recipe cannot be read.
    """
    launch = None if accelerate_config is None else Path(accelerate_config)
    return check_words(written_recipe(recipe), (), launch, dry_run=dry_run, resume=resume, settings=settings)


def check_words(
    recipe: str,
    overrides: Sequence[str],
    accelerate_config: Path | None,
    *,
    dry_run: bool = False,
    resume: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> CheckResult:
    """Checks a recipe whose settings are words of a command line, values, or both."""
    parsed = load_recipe(find_recipe(recipe), overrides, settings)
    parsed = replace(parsed, is_dry=dry_run, is_checked=True)
    with redirect_stdout(sys.stderr):  # transformers prints a line on WANDB_MODE=offline when it is imported
        findings, stage = _check_start(parsed, resume)
        prepared = prepare(parsed, read_launch(accelerate_config))
        return CheckResult(findings + prepared.findings + _check_changes(stage, prepared))


def _check_start(recipe: Recipe, resume: str | None) -> tuple[list[Finding], Stage | None]:
    """Checks the folder of the run, and that it can begin there, or that there is what it is to go on from."""
    if found := check_output(recipe):
        return found, None
    try:
        stage = plan_stage(recipe, resume)
    except RunFolderError as error:
        return [Finding("error", "output", str(error))], None
    return [Finding("ok", "output", text) for text in start_words(stage, resume)], stage


def _check_changes(stage: Stage | None, prepared: Prepared) -> list[Finding]:
    """Finds what is another one by now than when a run that goes on was started: its data, its base, own code."""
    if stage is None or stage.todo is ToDo.NOTHING or prepared.data is None:  # none where the folder is in the way
        return []
    try:
        changed = agree_on_data(Peers(), stage, prepared.data.fingerprints, allow_changed=False)
    except RunFolderError as error:
        return [Finding("error", "output", str(error))]
    return [Finding("warning", "output", text) for text in changed]
