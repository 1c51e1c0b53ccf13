"""One run of `align train`: its trainer, what it leaves, and its end."""

import json
import math
import os
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml

from align.checks.launch import current_launch
from align.checks.memory import run_bytes
from align.console import mask_logs, say
from align.errors import RecipeError, UserError
from align.models.model_files import ModelFiles
from align.recipe.alarms import limits_with
from align.recipe.keys import keys_of
from align.recipe.problems import one_line
from align.recipe.recipe import Recipe
from align.recipe.yaml_loader import RecipeDumper
from align.runs.checkpoints import copy_model, damage, whole_checkpoints
from align.runs.disk_space import at_limit, free_bytes, no_room, size_of
from align.runs.folder import record_end, record_run, set_log_aside
from align.runs.hook import UNHEARD, Hook
from align.runs.progress import record_start
from align.runs.readings import changes, noted_readings, readings_note
from align.runs.stages import Stage, ToDo
from align.secrets import mask, mask_words
from align.services.prepared import Prepared
from align.services.run_words import how_to_go_on, say_loading

_FULL = ("No space left", "StorageFull")
# The last two are torch's words for a write that the system cut short, whatever its reason was.
_AT_LIMIT = ("Disk quota exceeded", "File too large", "file write failed", "unexpected pos")


def train_stage(stage: Stage, run: Prepared, seconds: float | None, is_shared: bool, hook: Hook = UNHEARD) -> bool:
    """Trains one run for so many seconds, or writes what is missing at its end; returns whether it is finished."""
    from align.training.as_in_trl import join_process_group
    from align.training.callbacks import FirstStep

    with _room_named(stage.folder):
        state = join_process_group(stage.recipe)
        steps, reason = stage.step, None
        if stage.todo is ToDo.END and stage.checkpoint is not None:
            if state.is_local_main_process if not is_shared else state.is_main_process:
                copy_model(_with_model(stage.checkpoint, stage.recipe), stage.folder)
        else:
            began = time.monotonic()
            trainer = _build(stage, run)
            trainer.add_callback(FirstStep(began, partial(record_start, stage.folder)))
            steps, reason = _run(trainer, stage, run, seconds, is_shared, hook)
            if reason is None:
                trainer.save_model(str(stage.folder))
            elif state.is_main_process:
                write_missing_report(stage.folder, anew=True)
                on = _how_it_goes_on(trainer.args)
                say(f"Stopped after step {steps} of {trainer.state.max_steps}: {reason}. {on}")
        if reason is None and state.is_main_process:
            # The card, then that the run is finished, and then the report, which a torn table must not undo.
            _write_card(stage, run, steps)
            record_end(stage.folder, steps)
            write_missing_report(stage.folder, anew=True)
        state.wait_for_everyone()
        return reason is None


def _build(stage: Stage, run: Prepared) -> Any:
    from accelerate import PartialState
    from datasets import disable_progress_bars as disable_bars_of_rows
    from transformers.utils.logging import disable_progress_bar

    from align.training.as_in_trl import hide_old_names
    from align.training.build import build_trainer
    from align.training.shown_rows import write_pairs

    recipe, folder, data = stage.recipe, stage.folder, run.training_data
    say_loading(recipe, folder)
    hide_old_names()
    mask_logs("transformers", "trl", "accelerate", "datasets", "vllm")
    disable_progress_bar()  # bars of loading and saving would tear the one of the run
    if not sys.stderr.isatty():
        disable_bars_of_rows()  # a file would hold every state of them
    try:
        trainer = build_trainer(recipe, data, run.rewards)
    except RecipeError:
        raise
    except Exception as error:  # settings that only libraries can judge with the model at hand, or no model there
        raise build_error(error) from error
    if PartialState().is_main_process:
        aside = set_log_aside(folder) if stage.checkpoint is None else None
        if aside is not None:
            say(f"The log of the run that was in {folder} is kept in {aside}.")
        for path, _ in stage.passed_over:
            # Neither training nor a later start takes it for a checkpoint by such a name.
            names = (f"passed-over-{path.name}{end}" for end in ("", *(f".{number}" for number in range(1, 10_000))))
            os.replace(path, next(free for free in map(path.with_name, names) if not free.exists()))
        prints = data.fingerprints
        facts = {"data": prints} | readings_note(stage, prints)
        found = [finding.without_samples() for finding in run.findings]
        record_run(folder, recipe.resolved, facts, unwritten(recipe, trainer.args), found)
        if sample_pairs := recipe.record.part("sample_pairs"):
            write_pairs(folder, sample_pairs(recipe, data))
    started, found = int(os.environ.get("WORLD_SIZE", "1")), trainer.accelerator.num_processes
    if started != found:  # accelerate does not hand `use_cpu` of a launch file on, and then trains apart in silence
        raise RecipeError(
            f"{started} processes were started, but this one trains with {found}. On CPUs set `use_cpu: true` in the "
            f"recipe; on GPUs check that each process has one."
        )
    return trainer


def _run(
    trainer: Any, stage: Stage, run: Prepared, seconds: float | None, is_shared: bool, hook: Hook
) -> tuple[int, str | None]:
    from transformers.trainer_callback import PrinterCallback, ProgressCallback

    from align.training.as_in_trl import keep_adapter_dtype, keep_loading, restore_to_one_cpu
    from align.training.callbacks import AlarmLines, BestMetric, LivePage, MetricsFile, PhaseTimer, RunProgress
    from align.training.finite_steps import FiniteSteps
    from align.training.resuming import EarlyEnd, EndOfPass, MovingReference, Unlogged, WholeCheckpoints, exact_every

    recipe, folder, launch = stage.recipe, stage.folder, current_launch()
    sizes = run_bytes(recipe, ModelFiles.of(recipe), launch)
    early = EarlyEnd(seconds, exact_every(trainer.args))
    for callback in (ProgressCallback, PrinterCallback):
        trainer.remove_callback(callback)
    trainer.add_callback(early)  # before those that look at what it asks to be saved
    trainer.add_callback(FiniteSteps(trainer, folder))
    trainer.add_callback(Unlogged(trainer))
    if getattr(recipe.settings, "sync_ref_model", None):
        # Before the one that notes all files.
        trainer.add_callback(MovingReference(trainer, folder, stage.checkpoint, launch.sharding, is_shared))
    trainer.add_callback(WholeCheckpoints(trainer, folder, sizes[1] if sizes else 0, launch.sharding, is_shared))
    trainer.add_callback(MetricsFile(folder / "metrics.jsonl"))
    trainer.add_callback(progress := RunProgress(recipe.record.console))
    trainer.add_callback(PhaseTimer(trainer))
    trainer.add_callback(AlarmLines(recipe.rewards.thresholds(), recipe.rewards.stop_on, partial(hook.call, "alarm")))
    trainer.add_callback(BestMetric())
    trainer.add_callback(LivePage(partial(_build_live_page, folder)))  # it reads what others write
    trainer.add_callback(EndOfPass(trainer, stage.checkpoint))  # last: it evaluates
    restore_to_one_cpu()
    keep_loading(trainer)
    keep_adapter_dtype(trainer)
    with early, _end_named(trainer, folder), progress:
        trainer.train(resume_from_checkpoint=str(stage.checkpoint) if stage.checkpoint else None)
    return trainer.state.global_step, early.reason


def _write_card(stage: Stage, run: Prepared, steps: int) -> None:
    from align.training.model_card import write_model_card

    found = [f"{finding.check}: {finding.text}" for finding in run.warnings]
    found += changes(noted_readings(stage.folder))
    data = run.training_data
    write_model_card(stage.folder, stage.recipe, steps, data.fingerprints, data.rows, found)


def write_missing_report(folder: Path, *, anew: bool = False) -> None:
    """Writes the report of a run where it has none, or anew, and says where it is, or why there is none."""
    from align.report import build_report

    report = folder / "report.html"
    try:
        if anew or not report.is_file():
            report = build_report(folder)
    except (UserError, OSError) as error:
        say(
            f"Model and logs are in {folder}. There is no report: {one_line(error)} `align report {folder}` tries "
            "again."
        )
        return
    print(f"Model and logs are in {folder}, the report is {report}.")


def _build_live_page(folder: Path) -> None:
    from align.report import build_report  # not before the first step, which need not wait for it

    build_report(folder, in_training=True)


def _with_model(checkpoint: Path, recipe: Recipe) -> Path:
    """Finds the checkpoint whose model is the run's: the last one, or the best with `load_best_model_at_end`."""
    state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    name = state.get("best_model_checkpoint") if recipe.settings.load_best_model_at_end else None
    if name is None:
        return checkpoint
    best = checkpoint.with_name(Path(name).name)  # its path may be from before the run folder was moved
    best = best if best.is_dir() else Path(name)  # or in the folder that the run went on from
    wrong = damage(best)
    if wrong is None:
        return best
    say(f"The best checkpoint {best} cannot be used: {wrong}. The model is that of {checkpoint.name}.")
    return checkpoint


def _how_it_goes_on(args: Any) -> str:
    if args.save_only_model:
        return (
            "It cannot go on: `save_only_model: true` keeps the model of a checkpoint, and no optimizer. Start anew "
            "with another `--output_dir`."
        )
    return how_to_go_on(sys.argv)


@contextmanager
def _end_named(trainer: Any, folder: Path) -> Iterator[None]:
    """Says what is kept where a second Ctrl-C ends a run; hides secrets of the command, which wandb sends away."""
    given, sys.argv = sys.argv, mask_words(sys.argv)
    try:
        yield
    except KeyboardInterrupt:
        whole = [path.name for path in whole_checkpoints(folder)]
        kept = f"{whole[0]} is kept. {_how_it_goes_on(trainer.args)}" if whole else "There is no checkpoint yet."
        say(f"Ended in step {trainer.state.global_step + 1}. {kept}")
        raise
    finally:
        sys.argv = given


@contextmanager
def _room_named(folder: Path) -> Iterator[None]:
    """Makes a sentence of an error that a full disk, or a limit, caused, whatever library met it."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        whole, free = whole_checkpoints(folder), free_bytes(folder)
        text = f"{type(error).__name__} {error}"
        names = [path.name for path in whole]
        if free <= 2**20 or any(word in text for word in _FULL):
            needed = max(map(size_of, whole), default=0)
            raise no_room(folder, needed, free, "what is to be written", names) from error
        if any(word in text for word in _AT_LIMIT):
            raise at_limit(folder, free, one_line(error).rstrip("."), names) from error
        raise


def quiet_environment(uses_vllm: bool) -> None:
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


_FORESEEN = (ValueError, OSError)  # with these, libraries word what is wrong with a setting
_LONGEST_PATH = 3  # parts of the file an error came from


def build_error(error: Exception) -> RecipeError:
    """Words an exception from building a trainer, its cause; one that no library raises on purpose with its place."""
    text = str(error).strip() or "There is no message."
    if not isinstance(error, _FORESEEN) or not str(error).strip():
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = "/".join(Path(frame.filename).parts[-_LONGEST_PATH:])
        text = f"{type(error).__name__}: {text} (at {place}, line {frame.lineno})"
    return RecipeError(f"The trainer could not be built. {text}")


HEAD = "\n# Also in force, and not written: `NAME: value` in a recipe, or `--NAME value`, changes one.\n"


def unwritten(recipe: Recipe, config: Any) -> str:
    """Words values that are in force and not written, without secrets; a loader of YAML skips them."""
    values = {key.name: getattr(config, key.name) for key in keys_of(recipe.method) if hasattr(config, key.name)}
    values |= recipe.model.model_dump()
    values |= {f"dataset.{name}": value for name, value in recipe.dataset.model_dump().items()}
    if recipe.reward_funcs:
        values |= {"reward_kwargs": recipe.reward_kwargs} | recipe.rewards.model_dump()
        values["alarms"] = limits_with(recipe.rewards.alarms)
    written = recipe.resolved.keys() | {f"dataset.{name}" for name in recipe.resolved["dataset"]}
    training, lines = recipe.training, [HEAD]
    for place, keys in groupby(keys_of(recipe.method), lambda key: key.place):
        found = [_line(key.name, values, training, written) for key in keys if key.name in values]
        lines += [f"# -- {place}\n", *filter(None, found)] if any(found) else []
    return "".join(lines)


def _line(name: str, values: Mapping[str, Any], training: Mapping[str, Any], written: set[str]) -> str:
    value = _plain(values[name])
    if name not in written:
        return f"# {name}: {_word(name, value)}\n"
    if name not in training or training[name] == value:
        return ""
    return f"# {name}: {_word(name, value)}  # written as {_word(name, training[name])}\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "to_dict"):
        return _plain(value.to_dict())
    return value if isinstance(value, str | int | float | None) else str(value)


def _word(name: str, value: Any) -> str:
    """Writes a value on one line, as YAML reads it."""
    shown = mask({name.rpartition(".")[2]: value})[name.rpartition(".")[2]]
    if isinstance(shown, str) and not shown.isprintable():
        return json.dumps(shown)
    text = yaml.dump([shown], Dumper=RecipeDumper, default_flow_style=True, width=math.inf, allow_unicode=True)
    return text[1:-2] if text.count("\n") == 1 else json.dumps(shown)
