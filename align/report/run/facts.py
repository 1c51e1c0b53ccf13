"""The settings of a run that its reader looks for first."""

from collections.abc import Mapping
from typing import Any

from align.report.run.folder import RunFolder

_START = {"method": "Method", "model_name_or_path": "Model", "dataset": "Data"}
_LENGTH = {"max_steps": "Steps asked for", "num_train_epochs": "Epochs asked for"}
_OPTIMIZER = ("per_device_train_batch_size", "gradient_accumulation_steps", "learning_rate")
_ROLLOUTS = {
    "reward_funcs": "Rewards",
    "reward_gates": "Gates: reward and what opens it",
    "reward_clip": "Limits of rewards",
    "audit_funcs": "Audited, not trained on",
    **_LENGTH,
    "num_generations": "Completions per prompt",
    "per_device_train_batch_size": "Completions per device and pass",
    "gradient_accumulation_steps": "Passes per step",
    "learning_rate": "Learning rate",
    "beta": "KL weight (beta)",
    "temperature": "Temperature",
    "max_completion_length": "Longest completion, tokens",
    "use_vllm": "vLLM rollouts",
}
_PAIRS = {
    **_LENGTH,
    "per_device_train_batch_size": "Pairs per device and pass",
    "gradient_accumulation_steps": "Passes per step",
    "learning_rate": "Learning rate",
    "beta": "Reward scale (beta)",
    "kl_coef": "KL weight (kl_coef)",
    "kl_placement": "Place of the KL",
    "spans": "Rewarded text (spans)",
    "diff_unit": "Unit of the diff",
    "on_missing_spans": "Pairs without spans",
    "max_length": "Longest prompt and response, tokens",
}
_REWARD_PAIRS = {
    **_LENGTH,
    "per_device_train_batch_size": "Pairs per device and pass",
    "gradient_accumulation_steps": "Passes per step",
    "learning_rate": "Learning rate",
    "model_type": "Type of model",
    "tie_coef": "Weight of ties (tie_coef)",
    "center_rewards_coefficient": "Pull of rewards to 0",
    "max_length": "Longest prompt and response, tokens",
}
_OUTCOMES = {
    "head": "Score head",
    **_LENGTH,
    "per_device_train_batch_size": "Texts per device and pass",
    "gradient_accumulation_steps": "Passes per step",
    "learning_rate": "Learning rate",
    "max_length": "Longest prompt and text, tokens",
}
_FACTS = {"grpo": _ROLLOUTS, "acre": _ROLLOUTS, "rrpo": _PAIRS, "crome": _REWARD_PAIRS, "deconfound": _OUTCOMES}
_OBSERVED = {"outcome": "Outcome", "confounders": "Confounders", "estimator": "Estimator"}
_END = {"use_peft": "LoRA", "seed": "Seed"}


def run_facts(run: RunFolder) -> dict[str, str]:
    """Lists the settings that the recipe states, by the name to show."""
    method = str(run.recipe.get("method"))
    labels = {**_START, **_FACTS.get(method, _LENGTH), **_END}
    if run.recipe.get("head") == "ridge":  # solved for, so that nothing of the optimizer is used
        labels = {key: label for key, label in labels.items() if key not in (*_LENGTH, *_OPTIMIZER)}
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
