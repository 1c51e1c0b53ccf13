"""`align rehearse`: what a run would learn from, tried on a few prompts before it is paid for."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from align.assets import find_recipe, written_recipe
from align.checks.finding import Finding
from align.checks.launch import current_launch
from align.console import say
from align.errors import RecipeError, UserError
from align.models.samplers.endpoint import EndpointSampler
from align.options import listing
from align.recipe.recipe import load_recipe
from align.rehearsal.page import build_rehearsal_page
from align.rehearsal.plan import OPTIONS, Plan, Rehearsing
from align.rehearsal.record import PAGE_FILE, RehearsalRecord
from align.runs.disk_space import check_writable
from align.services.one_step import take_one_step
from align.services.options import Reach
from align.services.prepared import prepare
from align.services.rewards import attack_recipe
from align.versions import installed_versions

OF_REACH = tuple(Reach.__dataclass_fields__)


@dataclass(frozen=True, repr=False)
class RehearsalResult:
    """What a rehearsal found.

    Attributes:
        record: All of it, as `rehearsal.json` has it.
        page: The page.
    """

    record: RehearsalRecord
    page: Path

    @property
    def findings(self) -> list[Finding]:
        """What is wrong, errors first."""
        return self.record.sick

    @property
    def is_ready(self) -> bool:
        """Whether nothing was found that would waste the run."""
        return all(each.level != "error" for each in self.findings)

    def __str__(self) -> str:
        found = [f"{each.level} {each.check}: {each.text} {each.fix}".rstrip() for each in self.findings]
        numbers = [f"{words}: {value}" for words, value, _ in self.record.numbers]
        return "\n".join([self.record.verdict, *found, *numbers, f"The page is {self.page}."])

    __repr__ = __str__


@listing(Rehearsing, Reach)
def rehearse(recipe: str | Path | Mapping[str, Any], **settings: Any) -> RehearsalResult:
    """Rehearses a recipe, as `align rehearse` does.

    Args:
        recipe: A file, the name of a shipped one, or its keys and values.
        **settings: Options of `Rehearsing` and `Reach`, such as `num_prompts=16`; others are keys of the recipe that
            win over the file, such as `learning_rate=1e-6` or `dataset={"max_rows": 100}`.

    Raises:
        UserError: If the recipe cannot be trained on, its model cannot be had, or a reward fails too often.
    """
    words: dict[str, Any] = {
        name: str(value) if isinstance(value, Path) else value for name, value in settings.items()
    }
    options = Rehearsing(**{name: words.pop(name) for name in OPTIONS if name in words})
    reach = Reach(**{name: words.pop(name) for name in OF_REACH if name in words})
    out = None if options.out is None else Path(options.out)
    return rehearse_words(written_recipe(recipe), (), replace(options, out=out), reach, words)


def rehearse_words(
    name: str, overrides: Sequence[str], options: Rehearsing, reach: Reach, settings: Mapping[str, Any] = {}
) -> RehearsalResult:
    """Rehearses a recipe whose settings are words of a command line, values, or both."""
    from transformers.utils.logging import disable_progress_bar

    options.check()
    recipe = load_recipe(find_recipe(name), overrides, settings)
    part = recipe.record.part("rehearse")
    if part is None:
        raise UserError(
            f"`method: {recipe.method}` neither samples nor learns from pairs, so there is nothing to rehearse. Use "
            "`align check` instead."
        )
    out = options.out or recipe.folder.with_name(f"{recipe.folder.name}-rehearsal")
    check_writable(out, "--out")
    say(f"Checking the data, rewards and settings of {name}.")
    disable_progress_bar()  # the bar of loading would tear the one of sampling
    with redirect_stdout(sys.stderr):
        prepared = prepare(recipe, current_launch())
        if prepared.errors:
            raise RecipeError(" ".join(each.whole for each in prepared.errors))
        out.mkdir(parents=True, exist_ok=True)
        sampler = None
        if reach.endpoint is not None:
            sampler = EndpointSampler(model=options.served_model or recipe.model.model_name_or_path, **vars(reach))
        step = next((each.numbers for each in prepared.findings if each.check == "batch" and each.level == "ok"), {})
        data, rewards = prepared.training_data, prepared.rewards
        found = part(Plan(recipe, data, rewards, options, out, sampler, step))
        if options.attack:
            say("Attacking the rewards.")
            found.findings += attack_recipe(recipe, data.rows)
        if options.one_step:
            take_one_step(found, name, overrides, settings)
    now, model = datetime.now(UTC).isoformat(timespec="seconds"), recipe.model.model_name_or_path
    record = RehearsalRecord(name, recipe.method, model, found, now, installed_versions())
    record.write(out)
    return RehearsalResult(record, build_rehearsal_page(record, out / PAGE_FILE))
