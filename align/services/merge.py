"""Merges a trained model with its base, evaluates the merged ones beside their parents, and picks one."""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from align.console import say
from align.errors import UserError
from align.evaluation.record import ITEMS_FILE, Record
from align.evaluation.record.file import without_nan
from align.evaluation.record.merging import MERGING_FILE, MergedModel, MergingRecord
from align.evaluation.service import command_words, find_suite, run_suite
from align.evaluation.suites import ROW_SUITES
from align.evaluation.suites.questions.suite import check_names
from align.models.merging.merge import MERGED_FILE, check_extra, merge, read_alphas
from align.models.merging.parents import find_parents
from align.models.model_files import ModelFiles, most_parameters
from align.runs.room import free_bytes, size_of, words
from align.secrets import mask
from align.services.merged_models import Rule, compare, item_values, main_metric, pick, read_rule
from align.threads import use_threads
from align.whole_files import write_whole

_OF_EVALUATION = ("data", "adapter", "suite", "drift", "pick", "keep_all")
_OURS = {"base", "tuned", "alpha", "drift", "pick", "keep_all", "out"}
_DRIFT = {"seed", "batch_size", "dtype", "device", "recipe", "max_new_tokens", "conversational", "system_prompt"}


def merge_models(
    options: Mapping[str, Any], out: Path, given: set[str], show: Callable[[Any], None]
) -> MergingRecord | None:
    """Merges, and evaluates where there is data; returns what each weight is worth, None without data."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError("`align merge` runs in one process. Leave `accelerate launch` out.")
    has_data = options["data"] is not None
    alphas = read_alphas(options["alpha"] or (("0:1:0.1",) if has_data else ("0.5",)))
    if not has_data and (wrong := sorted(given & {*_OF_EVALUATION} - {"data"})):
        raise UserError(f"`--{wrong[0]}` needs `--data`, which merged models are evaluated on.")
    if own := [name for name in options["suite"] if name in ROW_SUITES]:
        raise UserError(
            f"`--suite {own[0]}` has rows of its own, and merged models are compared on questions. Leave it out here, "
            "and give it to `align eval`."
        )
    if options["suite"]:
        check_names(options["suite"])
    rule = None if options["pick"] is None else read_rule(options["pick"])
    if options["keep_all"] and rule is None:
        raise UserError("`--keep_all` needs `--pick`; without it all merged models stay. Leave it out.")
    check_extra(options["tuned"])
    if has_data:
        from align.data.kinds import first_columns

        first_columns(
            options["data"], options.get("split")
        )  # a file that is not there is told before models are merged
    parents = find_parents(options["base"], options["tuned"])
    inner = [alpha for alpha in alphas if not has_data or 0 < alpha < 1]
    folders = {alpha: out if len(alphas) == 1 and not has_data else out / f"alpha-{alpha:g}" for alpha in inner}
    _check_room(parents.tuned_folder, out, len([each for each in folders.values() if not each.exists()]))
    for alpha, folder in folders.items():
        was_there = merge(parents, alpha, folder)
        say(f"{folder}: {alpha:g} of {parents.tuned.path}, {1 - alpha:g} of {parents.base.path}"
            f"{', as it was' if was_there else ''}.")  # fmt: skip
    if not has_data:
        return None
    places = {0.0: parents.base.path} | {alpha: str(folder) for alpha, folder in folders.items()}
    return _sweep(options, given, places | {1.0: parents.tuned.path}, out, rule, show)


def _check_room(folder: Path, out: Path, count: int) -> None:
    needed, free = count * size_of(folder), free_bytes(out)
    if needed > free:
        raise UserError(
            f"{count} merged models take about {words(needed)}, and {out} has {words(free)} free. Free room, or merge "
            "fewer weights with `--alpha`."
        )


def _sweep(
    options: Mapping[str, Any],
    given: set[str],
    places: Mapping[float, str],
    out: Path,
    rule: Rule | None,
    show: Callable[[Any], None],
) -> MergingRecord:
    """Evaluates the models of all weights (0 is the base) on the same items, and writes what each is worth."""
    asked = {name: options[name] for name in options if name not in _OURS}
    asked |= {"model": places[1.0], "baseline": tuple(place for alpha, place in places.items() if alpha < 1)}
    if not options["rewards"]:
        asked["suite"] = tuple(dict.fromkeys(("accuracy", *options["suite"])))  # by which models are compared
    use_threads(most_parameters([ModelFiles(places[1.0])]))
    record = _evaluate(asked | {"out": out / "evaluation"}, (given - _OURS) | {"model", "baseline"}, show)
    drift = None
    if options["drift"]:
        asked |= {"suite": ("drift",), "data": None, "reference": places[0.0], "rewards": (), "out": out / "drift"}
        drift = _evaluate(asked, (given & _DRIFT) | {"model", "baseline", "suite", "reference"}, show)
    merging = _arrange(options, places, out, record, drift)
    chosen = None if rule is None else pick(rule, merging.models, merging.sides)
    if rule is not None:
        merging.rule, merging.picked = rule.text, None if chosen is None else chosen.alpha
        if chosen is not None:
            _keep(merging, chosen, keep_all=options["keep_all"])
    text = json.dumps(mask(without_nan(merging.model_dump())), indent=2, ensure_ascii=False) + "\n"
    write_whole(out / MERGING_FILE, text, errors="backslashreplace")
    return merging


def _evaluate(options: Mapping[str, Any], given: set[str], show: Callable[[Any], None]) -> Record:
    evaluation = run_suite(find_suite(options), options, given, command_words(options, given))
    show(evaluation)
    found: Record = evaluation.found
    return found


def _arrange(
    options: Mapping[str, Any], places: Mapping[float, str], out: Path, record: Record, drift: Record | None
) -> MergingRecord:
    import pyarrow.parquet as parquet

    metric = main_metric(record)
    names = {model.path: model.name for model in record.about.models}
    column = "correct" if metric == "accuracy" else metric
    rows = parquet.read_table(out / "evaluation" / ITEMS_FILE, columns=["id", "model", column]).to_pylist()
    values = item_values(record, rows)
    drifted = {} if drift is None else {model.path: model.name for model in drift.about.models}
    models = []
    for alpha, place in sorted(places.items()):
        metrics = record.summary(names[place]) | (drift.summary(drifted[place]) if drift is not None else {})
        compared = compare(names[place], values, names[places[0.0]], names[places[1.0]])
        models.append(MergedModel(alpha=alpha, name=names[place], path=place, metrics=metrics, **compared))
    return MergingRecord(
        format=1,
        base=places[0.0],
        tuned=places[1.0],
        data=options["data"],
        metric=metric,
        questions=record.about.data.questions,
        models=models,
        rule=None,
        picked=None,
        sides=record.sides,
    )


def _keep(merging: MergingRecord, chosen: MergedModel, *, keep_all: bool) -> None:
    """Removes the merged models that were not picked, unless all are kept; parents are never touched."""
    for model in merging.models:
        is_parent = model.path in (None, merging.base, merging.tuned)
        if not keep_all and model is not chosen and not is_parent and (Path(str(model.path)) / MERGED_FILE).is_file():
            shutil.rmtree(str(model.path))
            model.path = None
