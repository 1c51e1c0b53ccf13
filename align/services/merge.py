"""Merges a trained model with its base, evaluates the merged ones beside their parents, and picks one."""

import json
import math
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from align.console import say
from align.errors import UserError
from align.evaluation.record import ITEMS_FILE, Record
from align.evaluation.record.merging import MERGING_FILE, MergedModel, MergingRecord
from align.evaluation.service import Evaluated, command_words, find_suite, narrow, run_suite
from align.evaluation.statistics.conditions import Condition, read_condition
from align.evaluation.statistics.glossary import better_of
from align.evaluation.statistics.item_means import bounded_difference, bounds_of
from align.evaluation.statistics.metrics import Estimate
from align.evaluation.suites import all_suites, explain
from align.evaluation.suites.questions.suite import check_names
from align.models.merging.merge import MERGED_FILE, merge, read_alphas
from align.models.merging.parents import find_parents
from align.models.model_files import ModelFiles, most_parameters
from align.runs.disk_space import free_bytes, size_of, words
from align.secrets import mask
from align.services.options import Merged
from align.threads import use_threads
from align.whole_files import as_json, write_whole


class Values(NamedTuple):
    """The main metric of each model by item, and what bounds its values."""

    by_model: Mapping[str, Mapping[str, float]]
    bounds: tuple[float, float] | None = (0.0, 1.0)


class Rule(NamedTuple):
    """What to take: the best of a metric, where others are told to lie within bounds."""

    text: str
    metric: str
    bounds: tuple[Condition, ...]


def main_metric(record: Record) -> str:
    """Names the metric that models are compared by: accuracy, or the first reward."""
    return f"reward/{record.about.suites[0]}" if record.about.rewards else "accuracy"


def item_values(record: Record, rows: Iterable[Mapping[str, Any]]) -> Values:
    """Averages the main metric over the samples of each item."""
    if not record.about.rewards:
        return Values(_means(rows, "correct"))
    rows, column = list(rows), main_metric(record)
    return Values(_means(rows, column), bounds_of(np.array([row[column] for row in rows], dtype=float)))


def compare(name: str, values: Values, base: str, tuned: str) -> dict[str, Estimate | None]:
    """Compares a model with both parents on the same items."""
    ids = list(values.by_model[base])

    def against(parent: str) -> Estimate | None:
        ours, theirs = (np.array([values.by_model[each][id] for id in ids]) for each in (name, parent))
        return None if name == parent else bounded_difference(ours, theirs, values.bounds)

    return {"against_base": against(base), "against_tuned": against(tuned)}


def read_rule(text: str) -> Rule:
    """Reads `METRIC`, or `METRIC where METRIC < NUMBER and ...`.

    Example:
        >>> [tuple(bound) for bound in read_rule("accuracy where drift_kl < 0.1 and worst_group.value >= .5").bounds]
        [('drift_kl', None, '<', 0.1), ('worst_group', 'value', '>=', 0.5)]
    """
    metric, _, rest = text.strip().partition(" where ")
    form = f"`--pick` must read `METRIC where METRIC < NUMBER and ...`, in {text!r}"
    bounds = [read_condition(part, form) for part in rest.split(" and ") if rest.strip()]
    if not metric.strip() or " " in metric.strip():
        raise UserError(
            f"`--pick` must begin with one metric, such as `accuracy where worst_group > 0.5`, got {text!r}."
        )
    return Rule(text, metric.strip(), tuple(bounds))


def pick(rule: Rule, models: Sequence[MergedModel], sides: Mapping[str, str] = {}) -> MergedModel | None:
    """Returns the model with the best value of the rule's metric among those told to be within its bounds, or None.

    Of equal values the one nearest to the base is taken, which changes least. A model without a value is none of them.
    `sides` says which values of a reward are better, by its name.
    """
    known = {name for model in models for name in model.metrics}
    for name in (rule.metric, *(bound.name for bound in rule.bounds)):
        if name not in known:
            raise UserError(f"`--pick` names {name!r}, which was not measured. There are: {', '.join(sorted(known))}.")
    better = better_of(explain(rule.metric), rule.metric, sides)
    if better is None:
        raise UserError(
            f"`--pick` takes the best {rule.metric!r}, and it is not known whether more or less of it is better. "
            f"Pick by another metric, and bound this one: `METRIC where {rule.metric} < NUMBER`."
        )
    sign = 1 if better == "higher" else -1
    fits = [
        model
        for model in models
        if rule.metric in model.metrics
        and not math.isnan(model.metrics[rule.metric].value)
        and all(bound.name in model.metrics and bound.holds(model.metrics[bound.name]) for bound in rule.bounds)
    ]
    return max(fits, key=lambda model: (sign * model.metrics[rule.metric].value, -model.alpha), default=None)


def _means(rows: Iterable[Mapping[str, Any]], column: str) -> dict[str, dict[str, float]]:
    sums: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        found = sums.setdefault(str(row["model"]), {}).setdefault(str(row["id"]), [])
        if (value := row[column]) is not None and not math.isnan(value):
            found.append(float(value))
    return {
        name: {id: sum(each) / len(each) if each else math.nan for id, each in by_id.items()}
        for name, by_id in sums.items()
    }


_MADE = ("model", "reward_model", "baseline")  # options of `align eval` that are made of the weights here
_DRIFT = {"seed", "batch_size", "dtype", "device", "recipe", "max_new_tokens", "conversational", "system_prompt"}


def merge_models(
    merged: Merged,
    weights: tuple[str, ...],
    out: Path,
    options: Any,
    given: set[str],
    show: Callable[[Evaluated], None],
) -> MergingRecord | None:
    """Merges, and evaluates where there is data; returns what each weight is worth, None without data.

    `options` are those of `align eval`, of which `given` were said; they say how the models are evaluated.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError("`align merge` runs in one process. Leave `accelerate launch` out.")
    alphas = read_alphas(weights or (("0.5",) if merged.data is None else ("0:1:0.1",)))
    rule = _check(merged, options, given)
    parents = find_parents(merged.base, merged.tuned)
    inner = [alpha for alpha in alphas if merged.data is None or 0 < alpha < 1]
    is_one = len(alphas) == 1 and merged.data is None
    folders = {alpha: out if is_one else out / f"alpha-{alpha:g}" for alpha in inner}
    count, free = sum(not each.exists() for each in folders.values()), free_bytes(out)
    if (needed := count * size_of(parents.tuned_folder)) > free:
        raise UserError(
            f"{count} merged models take about {words(needed)}, and {out} has {words(free)} free. Free room, or merge "
            "fewer weights with `--alpha`."
        )
    for alpha, folder in folders.items():
        was_there = merge(parents, alpha, folder)
        say(f"{folder}: {alpha:g} of {parents.tuned.path}, {1 - alpha:g} of {parents.base.path}"
            f"{', as it was' if was_there else ''}.")  # fmt: skip
    if merged.data is None:
        return None
    places = {0.0: parents.base.path} | {alpha: str(folder) for alpha, folder in folders.items()}
    return _sweep(merged, options, given, places | {1.0: parents.tuned.path}, out, rule, show)


def _check(merged: Merged, options: Any, given: set[str]) -> Rule | None:
    """Refuses what cannot be evaluated before models are merged; returns the rule to pick by."""
    ours = [name for name in ("drift", "pick") if getattr(merged, name)]
    if merged.data is None and (wrong := [*ours, *sorted(given)]):
        raise UserError(f"`--{wrong[0]}` needs `--data`, which merged models are evaluated on.")
    if wrong := [name for name in _MADE if name in given]:
        raise UserError(f"`--{wrong[0]}` is made of `--base`, `--tuned` and `--alpha` here. Leave it out.")
    suites = options.suite
    if own := [name for name in suites if name in all_suites()]:
        raise UserError(
            f"`--suite {own[0]}` has rows of its own, and merged models are compared on questions. Leave it out here, "
            "and give it to `align eval`."
        )
    if suites:
        check_names(suites)
    if merged.data is not None:
        from align.data.kinds import first_columns

        first_columns(merged.data, options.split)
    return None if merged.pick is None else read_rule(merged.pick)


def _sweep(
    merged: Merged,
    options: Any,
    given: set[str],
    places: Mapping[float, str],
    out: Path,
    rule: Rule | None,
    show: Callable[[Evaluated], None],
) -> MergingRecord:
    """Evaluates the models of all weights (0 is the base) on the same items, and writes what each is worth."""
    baselines = tuple(place for alpha, place in places.items() if alpha < 1)
    asked = replace(options, model=places[1.0], baseline=baselines)
    if not options.rewards:
        by_which = tuple(dict.fromkeys(("accuracy", *options.suite)))  # models are compared
        asked = replace(asked, suite=by_which)
    use_threads(most_parameters([ModelFiles(places[1.0])]))
    record = _evaluate(replace(asked, out=out / "evaluation"), given | {"data", "model", "baseline"}, show)
    drift = None
    if merged.drift:
        asked = replace(asked, suite=("drift",), data=None, reference=places[0.0], rewards=(), out=out / "drift")
        drift = _evaluate(asked, (given & _DRIFT) | {"model", "baseline", "suite", "reference"}, show)
    merging = _arrange(str(merged.data), places, out, record, drift)
    chosen = None if rule is None else pick(rule, merging.models, merging.sides)
    if rule is not None:
        merging.rule, merging.picked = rule.text, None if chosen is None else chosen.alpha
        if chosen is not None:
            _keep(merging, chosen)
    text = json.dumps(mask(as_json(merging.model_dump())), indent=2, ensure_ascii=False) + "\n"
    write_whole(out / MERGING_FILE, text, errors="backslashreplace")
    return merging


def _evaluate(options: Any, given: set[str], show: Callable[[Evaluated], None]) -> Record:
    suite = find_suite(options)
    evaluated = run_suite(suite, narrow(suite, options, given), given, command_words(None, options, given))
    show(evaluated)
    return evaluated.record


def _arrange(data: str, places: Mapping[float, str], out: Path, record: Record, drift: Record | None) -> MergingRecord:
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
        data=data,
        metric=metric,
        questions=record.about.data.questions,
        models=models,
        rule=None,
        picked=None,
        sides=record.sides,
    )


def _keep(merging: MergingRecord, chosen: MergedModel) -> None:
    """Removes the merged models that were not picked; parents are never touched."""
    for model in merging.models:
        is_parent = model.path in (None, merging.base, merging.tuned)
        if model is not chosen and not is_parent and (Path(str(model.path)) / MERGED_FILE).is_file():
            shutil.rmtree(str(model.path))
            model.path = None
