"""The settings of a run that its reader looks for first."""

from collections.abc import Mapping
from typing import Any

from align.methods import METHODS
from align.methods.method import Saved
from align.recipe.fields import own_fields
from align.report.run.folder import RunFolder
from align.report.run.parts import parts_of

_START = {"method": "Method", "model_name_or_path": "Model", "dataset": "Data"}
_OBSERVED = {"outcome": "Outcome", "confounders": "Confounders", "estimator": "Estimator"}
_END = {"use_peft": "LoRA", "seed": "Seed"}


def run_facts(run: RunFolder) -> dict[str, str]:
    """Lists the settings that the recipe states, by the name to show."""
    parts = parts_of(run.recipe)
    unused, method = parts.unused(run.recipe), str(run.recipe.get("method"))
    chain = METHODS[method].running(Saved(run.recipe)).config_chain if method in METHODS else ()
    own = {name: parts.facts.get(name, name) for name in own_fields(chain)}
    labels = {**_START, **parts.facts, **own, **_END}
    labels = {key: label for key, label in labels.items() if key not in unused}
    facts = {label: flat(run.recipe[key]) for key, label in labels.items() if run.recipe.get(key) is not None}
    if isinstance(run.recipe.get("dataset"), Mapping):
        data = run.recipe["dataset"]
        facts["Data"] = flat(data.get("path"))
        facts |= {label: flat(data[key]) for key, label in _OBSERVED.items() if data.get(key)}
    weights, names = run.recipe.get("reward_weights"), run.recipe.get("reward_funcs")
    if isinstance(weights, list) and isinstance(names, list) and len(weights) == len(names):
        facts["Rewards"] = ", ".join(f"{weight} x {name}" for weight, name in zip(weights, names, strict=True))
    steps = [series.steps for series in run.metrics.values()]
    facts["Steps logged"] = f"{min(map(min, steps))} to {max(map(max, steps))}" if steps else "none"
    return facts


def flat(value: Any) -> str:
    """Writes a value of a recipe on one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {flat(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(flat, value))
    return str(value)
