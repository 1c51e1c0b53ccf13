"""Evaluates merged models beside their parents, arranges what each weight is worth, and picks one."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.markup import escape

from align.cli.evaluation.evaluate import run
from align.console import make_console, make_table
from align.errors import UserError
from align.evaluation.merging import Rule, all_metrics, compare, item_values, main_metric, pick
from align.evaluation.record import EVALUATION_FILE, ITEMS_FILE, read_record
from align.evaluation.record.answers import Answers
from align.evaluation.record.file import without_nan
from align.evaluation.record.merging import MERGING_FILE, MergedModel, MergingRecord
from align.evaluation.record.prompts import PromptsRecord
from align.evaluation.statistics.metrics import Estimate
from align.models.merging.merge import MERGED_FILE
from align.secrets import mask
from align.whole_files import write_whole

_OURS = {"base", "tuned", "alpha", "drift", "pick", "keep_all", "out"}
_DRIFT = {"seed", "batch_size", "dtype", "device", "recipe", "max_new_tokens", "conversational", "system_prompt"}
SHOWN = ("worst_group", "drift_kl")  # beside the main metric, where they were measured


def sweep(
    options: Mapping[str, Any], given: set[str], places: Mapping[float, str], out: Path, rule: Rule | None
) -> None:
    """Evaluates the models of all weights on the same items, and writes and prints what each is worth.

    Args:
        options: Of the command line.
        given: Names of those that it named.
        places: Folder or hub id of each weight; 0 is the base and 1 the tuned model.
        out: Where to.
        rule: What to pick.
    """
    asked = {name: options[name] for name in options if name not in _OURS}
    asked |= {"model": places[1.0], "baseline": tuple(place for alpha, place in places.items() if alpha < 1)}
    if not options["rewards"]:
        asked["suite"] = tuple(dict.fromkeys(("accuracy", *options["suite"])))  # by which models are compared
    run(asked | {"out": out / "evaluation"}, (given - _OURS) | {"model", "baseline"})
    record = _answers(out / "evaluation")
    drift = None
    if options["drift"]:
        asked |= {"suite": ("drift",), "data": None, "reference": places[0.0], "rewards": (), "out": out / "drift"}
        run(asked, (given & _DRIFT) | {"model", "baseline", "suite", "reference"})
        drift = _answers(out / "drift")
    merging = _arrange(options, places, out, record, drift)
    chosen = None if rule is None else pick(rule, merging.models, merging.sides)
    if rule is not None:
        merging.rule, merging.picked = rule.text, None if chosen is None else chosen.alpha
        if chosen is not None:
            _keep(merging, chosen, keep_all=options["keep_all"])
    text = json.dumps(mask(without_nan(merging.model_dump())), indent=2, ensure_ascii=False) + "\n"
    write_whole(out / MERGING_FILE, text, errors="backslashreplace")
    show_merging(merging, out)


def _answers(folder: Path) -> Answers:
    record = read_record(folder / EVALUATION_FILE)
    if not isinstance(record, Answers):
        raise UserError(f"{folder} holds an evaluation of reward models. Choose another `--out`.")
    return record


def _arrange(
    options: Mapping[str, Any], places: Mapping[float, str], out: Path, record: Answers, drift: Answers | None
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
        metrics = all_metrics(record, names[place]) | (all_metrics(drift, drifted[place]) if drift is not None else {})
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
        sides=record.sides if isinstance(record, PromptsRecord) else {},
    )


def _keep(merging: MergingRecord, chosen: MergedModel, *, keep_all: bool) -> None:
    """Removes the merged models that were not picked, unless all are kept; parents are never touched."""
    for model in merging.models:
        is_parent = model.path in (None, merging.base, merging.tuned)
        if not keep_all and model is not chosen and not is_parent and (Path(str(model.path)) / MERGED_FILE).is_file():
            shutil.rmtree(str(model.path))
            model.path = None


def show_merging(merging: MergingRecord, out: Path) -> None:
    """Prints what each weight is worth, and which one was picked, and builds the page."""
    from align.report.merging import build_merging_report

    console = make_console(least=110)
    others = [name for name in SHOWN if any(name in model.metrics for model in merging.models)]
    table = make_table()
    for name in ("alpha", merging.metric, *others, "minus base", "minus tuned", "gained", "lost"):
        table.add_column(escape(name), justify="right", overflow="fold")
    for model in merging.models:
        cells = [model.metrics.get(name) for name in (merging.metric, *others)]
        cells += [model.against_base, model.against_tuned]
        counts = ["" if ids is None else f"{len(ids):,}" for ids in (model.gained, model.lost)]
        style = "bold" if model.alpha == merging.picked else None
        table.add_row(f"{model.alpha:g}", *map(_cell, cells), *counts, style=style)
    console.print(table)
    console.print("gained: right merged and wrong in both parents; lost: wrong merged and right in both.", style="dim")
    console.print(escape(_picked(merging)), soft_wrap=True)
    print(f"\nAll numbers are in {out / MERGING_FILE}, the report is {build_merging_report(out)}.")


def _picked(merging: MergingRecord) -> str:
    if merging.rule is None:
        return ""
    chosen = next((model for model in merging.models if model.alpha == merging.picked), None)
    if chosen is None:
        return f"No weight fits `{merging.rule}`. All merged models stay."
    return (
        f"Picked by `{merging.rule}`: alpha {chosen.alpha:g}, {chosen.path}. It was chosen on these items, so its own "
        "numbers are optimistic: evaluate it on others."
    )


def _cell(cell: Estimate | None) -> str:
    return "" if cell is None else escape(str(cell))
