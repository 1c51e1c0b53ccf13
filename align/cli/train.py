"""`align train`: checks, then trains, then reports."""

import os
import warnings
from collections.abc import Sequence

from align.assets import find_recipe
from align.checks.launch import current_launch
from align.checks.recipe import Checked, check_recipe
from align.checks.vllm_server import await_server
from align.cli.build_error import build_error
from align.cli.check import print_findings
from align.console import mask_logs, say
from align.errors import RecipeError
from align.methods import METHODS
from align.recipe.recipe import load_recipe
from align.training.folder import record_checks, record_run, set_log_aside
from align.training.stages import Stage, plan_stages, record_end


def run(name: str, overrides: Sequence[str], resume: str | None) -> int:
    """Trains on a recipe in this process; `accelerate launch` starts several of them."""
    recipe = load_recipe(find_recipe(name), overrides)
    stages = plan_stages(recipe, resume)
    for stage in stages:
        await_server(stage.recipe)
    checked = check_recipe(recipe, current_launch())
    if checked.errors:
        raise RecipeError(" ".join(finding.text for finding in checked.errors))
    _say_before(stages[0], resume, checked)
    _quiet_environment(any(stage.recipe.uses_vllm for stage in stages))
    from accelerate import PartialState
    from accelerate.utils import release_memory

    for stage in stages:
        _train(stage, checked.then if checked.then and stage.recipe is recipe.then else checked.first)
        release_memory()  # what the first of two runs held
    PartialState().destroy_process_group()  # gloo's threads abort a process that exits with them, after all the work
    return 0


def _train(stage: Stage, checked: Checked) -> None:
    from accelerate import PartialState
    from transformers.trainer_callback import PrinterCallback, ProgressCallback
    from transformers.utils.logging import disable_progress_bar

    from align.report import build_report
    from align.training.build import build_trainer
    from align.training.callbacks import AlarmLines, MetricsFile, RunProgress
    from align.training.model_card import write_model_card
    from align.training.pair_samples import write_pairs
    from align.training.phases import PhaseTimer

    recipe, folder = stage.recipe, stage.folder
    if checked.data is None:
        raise RecipeError("The data could not be read.")
    _quiet_warnings()
    mask_logs("transformers", "trl", "accelerate", "datasets", "vllm")
    disable_progress_bar()  # bars of loading and saving would tear the one of the run
    state = PartialState()
    try:
        trainer = build_trainer(recipe, checked.data, checked.rewards)
    except RecipeError:
        raise
    except Exception as error:  # settings that only libraries can judge with the model at hand, or no model there
        raise build_error(recipe, error) from error
    if state.is_main_process:
        aside = set_log_aside(folder) if stage.checkpoint is None else None
        if aside is not None:
            say(f"The log of the run that was in {folder} is kept in {aside}.")
        record_run(folder, recipe.resolved, {"data": checked.data.fingerprints})
        record_checks(folder, [finding.without_samples() for finding in checked.findings])
        if sample_pairs := METHODS[recipe.method].part("sample_pairs"):
            write_pairs(folder, sample_pairs(recipe, checked.data))
    started, found = int(os.environ.get("WORLD_SIZE", "1")), trainer.accelerator.num_processes
    if started != found:  # accelerate does not hand `use_cpu` of a launch file on, and then trains apart in silence
        raise RecipeError(
            f"{started} processes were started, but this one trains with {found}. On CPUs set `use_cpu: true` in the "
            f"recipe; on GPUs check that each process has one."
        )
    for callback in (ProgressCallback, PrinterCallback):
        trainer.remove_callback(callback)
    trainer.add_callback(MetricsFile(folder / "metrics.jsonl"))
    trainer.add_callback(RunProgress(METHODS[recipe.method].console))
    trainer.add_callback(PhaseTimer(trainer))
    trainer.add_callback(AlarmLines(recipe.rewards.thresholds()))
    trainer.train(resume_from_checkpoint=str(stage.checkpoint) if stage.checkpoint else None)
    trainer.save_model(str(folder))
    if state.is_main_process:
        found = [f"{finding.check}: {finding.text}" for finding in checked.warnings]
        write_model_card(
            folder, recipe, trainer.state.global_step, checked.data.fingerprints, checked.data.rows, found
        )
        print(f"Model and logs are in {folder}, the report is {build_report(folder)}.")
        record_end(folder, trainer.state.global_step)
    state.wait_for_everyone()  # a second run reads what the main process wrote


def _say_before(stage: Stage, resume: str | None, checked: Checked) -> None:
    """Says on the main process where the run starts, and what it goes on with all the same."""
    if os.environ.get("RANK", "0") != "0":
        return
    if resume == "auto" and stage.checkpoint is None:
        say(f"There is no checkpoint in {stage.folder}: training starts at the beginning.")
    if checked.warnings:
        print_findings(checked.warnings, stderr=True)


def _quiet_warnings() -> None:
    """Hides deprecations of transformers >= 5.20 that TRL 1.16 causes and no user can mend; drop with TRL 1.17."""
    for name in ("gradient_checkpointing", "is_gradient_checkpointing", "past_key_values"):
        warnings.filterwarnings("ignore", message=rf"`{name}\w*` is deprecated", category=FutureWarning)


def _quiet_environment(uses_vllm: bool) -> None:
    """Sets what has to be in the environment before torch and vLLM are imported; what the user set stays."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # TRL reports the start of a trainer otherwise
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if uses_vllm:
        from align.models.vllm_engine import cpu_engine_environment, require_vllm

        cpu_engine_environment()
        try:
            require_vllm()
        except ImportError as error:
            raise RecipeError(str(error)) from error
