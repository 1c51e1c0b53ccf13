"""`align train`: checks, then trains, then reports."""

import atexit
import gc
import os
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from align import services
from align.assets import find_recipe, written_recipe
from align.checks.launch import current_launch
from align.checks.vllm_server import await_server
from align.console import say
from align.errors import RecipeError
from align.models.at_hand import is_hub_id, require_model
from align.models.hub import push
from align.models.model_files import most_parameters
from align.models.rewards import named_rewards
from align.recipe.problems import shown
from align.recipe.recipe import Recipe, load_recipe
from align.runs.agreement import agree_on_data, agree_on_stage, own_folder
from align.runs.hook import Hook
from align.runs.peers import joined
from align.runs.stages import Stage, ToDo
from align.services.findings import print_findings
from align.services.one_run import quiet_environment, train_stage
from align.services.prepared import Prepared, prepare
from align.services.run_words import start_words
from align.threads import use_threads
from align.training.imports import load_libraries

if TYPE_CHECKING:
    import pandas as pd

TO_BE_CONTINUED = 75  # EX_TEMPFAIL of sysexits.h


@dataclass(frozen=True, repr=False)
class TrainResult:
    """A run that has ended.

    Attributes:
        folder: Of the run; of two runs, that of the second.
        is_finished: Whether all steps are made; one that was stopped early goes on with `resume="auto"`.
    """

    folder: Path
    is_finished: bool

    def to_pandas(self) -> "pd.DataFrame":
        """Returns the metrics, a row for each logged step."""
        import pandas as pd

        return pd.read_json(self.folder / "metrics.jsonl", lines=True)

    def __str__(self) -> str:
        return f"{self.folder}: {'finished' if self.is_finished else 'stopped early'}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """Returns the first figure of the report, or the last metrics as a table, with the place of the report."""
        from align.report.notebook import first_figure

        report = self.folder / "report.html"
        shown = first_figure(report) or self.to_pandas().ffill().tail(1).T.to_html(header=False)
        return f"<p>{escape(str(self))}, report: {escape(str(report))}</p>{shown}"


def train(
    recipe: str | Path | Mapping[str, Any],
    *,
    resume: str | None = None,
    time_limit: str | None = None,
    allow_changed_data: bool = False,
    on_end: str | None = None,
    **settings: Any,
) -> TrainResult:
    """Trains on a recipe in this process, as `align train` does.

    Args:
        recipe: A file, the name of a shipped one, or its keys and values.
        resume: `auto`, or a checkpoint to go on from.
        time_limit: After which it is saved and ended, such as `3h` or `90m`.
        allow_changed_data: Whether a run goes on although its data is another one by now.
        on_end: Command for the shell, called at an alarm and at the end; see `align.runs.hook`.
        **settings: Keys of the recipe that win over the file, such as `learning_rate=1e-6` or
            `dataset={"max_rows": 100}`.

    Raises:
        UserError: If the recipe cannot be trained on.
    """
    name = written_recipe(recipe)
    code = run(name, (), resume, time_limit, allow_changed_data, settings, on_end)
    return TrainResult(load_recipe(find_recipe(name), (), settings).folder, code == 0)


def run(
    name: str,
    overrides: Sequence[str],
    resume: str | None,
    time_limit: str | None = None,
    allow_changed_data: bool = False,
    settings: Mapping[str, Any] | None = None,
    on_end: str | None = None,
) -> int:
    """Trains here; returns 0 when finished, 75 if stopped early and `--resume auto` goes on, 1 if it cannot go on."""
    seconds = read_seconds(time_limit, "--time_limit") if time_limit else None
    recipe = load_recipe(find_recipe(name), overrides, settings)
    hook = Hook(on_end, recipe.folder)
    with joined() as peers, ExitStack() as held:
        is_shared = own_folder(peers, recipe, held)
        stage = agree_on_stage(peers, recipe, resume, is_shared, current_launch().sharding)
        if stage.todo is ToDo.NOTHING:
            return _say_finished(stage)
        if stage.todo is ToDo.TRAINING:
            _require_models(recipe)
            await_server(recipe)
        say(f"Checking the data, rewards and settings of {name}.")
        prepared = prepare(recipe, current_launch())
        if prepared.errors:
            raise RecipeError(" ".join(finding.whole for finding in prepared.errors))
        prints = prepared.training_data.fingerprints
        for sentence in agree_on_data(peers, stage, prints, allow_changed=allow_changed_data):
            say(sentence)
        if peers.rank == 0:
            for sentence in start_words(stage, resume):
                say(sentence)
            if not is_shared:
                say(
                    f"Not every host sees {stage.folder} of the main process: a run that is killed can only go on "
                    "where its checkpoints lie on a folder that all hosts share."
                )
            if recipe.settings.save_only_model:
                say("`save_only_model: true`: checkpoints hold no optimizer, so a run that is killed cannot go on.")
            if prepared.warnings:
                print_findings(prepared.warnings, stderr=True)
        try:
            code = _train_stage(stage, prepared, seconds, is_shared, hook)
        except BaseException as error:  # Ctrl-C among them
            hook.call("failed", f"{name} ended early. {type(error).__name__}: {error}")
            raise
        hook.call("stopped" if code else "finished", f"{name} has {'stopped early' if code else 'finished'}.")
        return code


def _require_models(recipe: Recipe) -> None:
    """Refuses a model of the hub that cannot be had, before the data is read; what else is wrong, checks say."""
    hub_ids: list[str] = []
    with suppress(ValueError):
        models = (each for each in named_rewards(recipe).values() if isinstance(each, str))
        named = [recipe.model.model_name_or_path, *models]
        hub_ids = [each for each in named if not Path(each).exists() and is_hub_id(each)]
    for each in hub_ids:
        require_model(each, recipe.model.model_revision if each == recipe.model.model_name_or_path else None)


def _train_stage(stage: Stage, prepared: Prepared, seconds: float | None, is_shared: bool, hook: Hook) -> int:
    recipe = stage.recipe
    quiet_environment(recipe.uses_vllm)
    use_threads(most_parameters([prepared.model]))
    if "torch" not in sys.modules:
        say("Loading torch, transformers and TRL.")
    leaves_out = services.is_whole_process and not recipe.uses_vllm
    load_libraries(without_vllm=leaves_out and hasattr(recipe.settings, "use_vllm"))
    if leaves_out:
        gc.freeze()  # modules: accelerate runs full collections in and after each training
        atexit.register(gc.unfreeze)  # else Triton takes its own, which are never freed, for leaks and lists them
    from align.training.as_in_trl import leave_process_group

    is_finished = train_stage(stage, prepared, seconds, is_shared, hook)
    leave_process_group(recipe.uses_vllm)
    if is_finished:
        _push(stage)
    return 0 if is_finished else 1 if recipe.settings.save_only_model else TO_BE_CONTINUED


def _say_finished(stage: Stage) -> int:
    from align.services.one_run import write_missing_report

    for sentence in start_words(stage, "auto"):
        say(sentence)
    if os.environ.get("RANK", "0") == "0":
        write_missing_report(stage.folder)
    _push(stage)
    return 0


def _push(stage: Stage) -> None:
    """Pushes a finished run from its main process, where its recipe asks for it."""
    if stage.recipe.settings.push_to_hub and os.environ.get("RANK", "0") == "0":
        print(f"Model, tokenizer and card are at {push(stage.recipe, stage.folder)}.")


def read_seconds(text: str, name: str) -> float:
    """Reads a duration such as `3h50m`, `90 min`, `03:50:00`, or Slurm's `1-12:00:00`.

    Example:
        >>> read_seconds("3h50m", "--time_limit")
        13800.0
    """
    from pandas import Timedelta

    days = re.fullmatch(r"(\d+)-(\d+:\d+:\d+)", text.strip())
    try:
        if re.fullmatch(r"[\d.\s]+", text) or "," in text:
            raise ValueError("a unit is missing, or a comma would be left out")
        seconds = Timedelta(f"{days[1]} days {days[2]}" if days else text).total_seconds()
    except ValueError:
        seconds = float("nan")
    if not seconds > 0:
        raise RecipeError(f"`{name}` must be a duration such as 3h50m, 90min or 03:50:00, got {shown(text)}.")
    return seconds
