"""Rules for settings that TRL checks only after the first generation, or not at all."""

import math
from difflib import get_close_matches
from typing import NamedTuple

# transformers, `OptimizerNames`
OPTIMIZERS = (
    "adamw_torch", "adamw_torch_fused", "adamw_torch_xla", "adamw_torch_npu_fused", "adafactor",
    "adamw_anyprecision", "adamw_torch_4bit", "adamw_torch_8bit", "ademamix", "sgd", "adagrad", "adamw_bnb_8bit",
    "adamw_8bit", "ademamix_8bit", "lion_8bit", "lion_32bit", "paged_adamw_32bit", "paged_adamw_8bit",
    "paged_ademamix_32bit", "paged_ademamix_8bit", "paged_lion_32bit", "paged_lion_8bit", "rmsprop", "rmsprop_bnb",
    "rmsprop_bnb_8bit", "rmsprop_bnb_32bit", "galore_adamw", "galore_adamw_8bit", "galore_adafactor",
    "galore_adamw_layerwise", "galore_adamw_8bit_layerwise", "galore_adafactor_layerwise", "lomo", "adalomo",
    "grokadamw", "schedule_free_radam", "schedule_free_adamw", "schedule_free_sgd", "apollo_adamw",
    "apollo_adamw_layerwise", "stable_adamw",
)  # fmt: skip

# transformers, `TrainingArguments`
TRAINING_CHOICES: dict[str, tuple[str, ...]] = {
    "lr_scheduler_type": (
        "linear",
        "cosine",
        "cosine_with_restarts",
        "polynomial",
        "constant",
        "constant_with_warmup",
        "inverse_sqrt",
        "reduce_lr_on_plateau",
        "cosine_with_min_lr",
        "cosine_warmup_with_min_lr",
        "warmup_stable_decay",
        "greedy",
    ),
    "save_strategy": ("no", "steps", "epoch", "best"),
    "eval_strategy": ("no", "steps", "epoch"),
    "logging_strategy": ("no", "steps", "epoch"),
    "hub_strategy": ("end", "every_save", "checkpoint", "all_checkpoints"),
    "optim": OPTIMIZERS,
}
# By method, since the same name means different things in TRL: `loss_type` of GRPO and of DPO share no value.
GRPO_CHOICES: dict[str, tuple[str, ...]] = {  # TRL 1.16, `GRPOConfig`
    "loss_type": ("grpo", "dr_grpo", "dapo", "bnpo", "cispo", "sapo", "luspo", "vespo"),
    "scale_rewards": ("group", "batch", "none"),
    "multi_objective_aggregation": ("sum_then_normalize", "normalize_then_sum"),
    "importance_sampling_level": ("token", "sequence"),
    "vllm_mode": ("colocate", "server"),
    "vllm_model_impl": ("vllm", "transformers"),
    "vllm_importance_sampling_mode": ("token_truncate", "token_mask", "sequence_truncate", "sequence_mask"),
} | TRAINING_CHOICES
CHOICES: dict[str, dict[str, tuple[str, ...]]] = {
    "grpo": GRPO_CHOICES,
    "acre": {
        "second_pass": ("auto", "forward", "vllm", "off"),
        "second_pass_rows": ("needed", "all"),
        "permutation_scope": ("group", "row"),
    }
    | GRPO_CHOICES,
    "rrpo": {
        "kl_placement": ("loss", "margin"),
        "spans": ("differing", "whole"),
        "diff_unit": ("word", "token"),
        "on_missing_spans": ("drop", "whole"),
        # TRL 1.16, `DPOConfig`
        "loss_type": (
            "sigmoid",
            "hinge",
            "ipo",
            "exo_pair",
            "nca_pair",
            "robust",
            "bco_pair",
            "sppo_hard",
            "aot",
            "aot_unpaired",
            "apo_zero",
            "apo_down",
            "discopop",
            "sft",
            "sigmoid_norm",
        ),
        "f_divergence_type": ("reverse_kl", "forward_kl", "js_divergence", "alpha_divergence"),
        "truncation_mode": ("keep_start", "keep_end"),
    }
    | TRAINING_CHOICES,
    "crome": {"model_type": ("scalar", "pairwise")} | TRAINING_CHOICES,
    "deconfound": {"head": ("trained", "ridge")} | TRAINING_CHOICES,
}


class Range(NamedTuple):
    """A closed interval; `open_low` leaves out its lower end."""

    low: float
    high: float = math.inf
    open_low: bool = False


TRAINING_RANGES: dict[str, Range] = {
    "learning_rate": Range(0.0),
    "num_train_epochs": Range(0.0, open_low=True),
    "per_device_train_batch_size": Range(1),
    "gradient_accumulation_steps": Range(1),
    "max_grad_norm": Range(0.0),
}
GRPO_RANGES: dict[str, Range] = {
    "num_generations": Range(2),  # a group of one has no baseline
    "max_completion_length": Range(1),
    "num_iterations": Range(1),
    "temperature": Range(0.0, open_low=True),
    "top_p": Range(0.0, 1.0, open_low=True),
    "top_k": Range(0),
    "beta": Range(0.0),
    "epsilon": Range(0.0),
    "vllm_gpu_memory_utilization": Range(0.0, 1.0, open_low=True),
} | TRAINING_RANGES
RANGES: dict[str, dict[str, Range]] = {
    "grpo": GRPO_RANGES,
    "acre": {"num_shuffles": Range(1), "second_pass_batch_size": Range(1)} | GRPO_RANGES,
    "rrpo": {
        "beta": Range(0.0, open_low=True),  # without it no preference is learnt
        "kl_coef": Range(0.0),
        "max_length": Range(2),  # one token of the prompt, one of the response
        "label_smoothing": Range(0.0, 0.5),
        "ld_alpha": Range(0.0, 1.0),
        "ref_model_mixup_alpha": Range(0.0, 1.0),
        "ref_model_sync_steps": Range(1),
    }
    | TRAINING_RANGES,
    "crome": {
        "tie_coef": Range(0.0),
        "max_length": Range(2),
        "center_rewards_coefficient": Range(0.0),
    }
    | TRAINING_RANGES,
    "deconfound": {"max_length": Range(1)} | TRAINING_RANGES,
}
# TRL maps booleans to the first; YAML reads a bare `no` as false in the others.
BOOLEAN_NAMES = {
    "second_pass": {False: "off"},
    "scale_rewards": {True: "group", False: "none"},
    "save_strategy": {False: "no"},
    "eval_strategy": {False: "no"},
    "logging_strategy": {False: "no"},
}


def suggestion(value: str, known: "tuple[str, ...] | list[str]") -> str:
    """Words a "did you mean" clause, empty when nothing is near.

    Example:
        >>> suggestion("grppo", ("grpo", "dapo"))
        " Did you mean 'grpo'?"
    """
    near = get_close_matches(value, known, n=1, cutoff=0.6)
    return f" Did you mean {near[0]!r}?" if near else ""


def boolean_name(name: str, value: object) -> object:
    """Returns the choice that a boolean stands for; other values stay.

    Example:
        >>> boolean_name("scale_rewards", False)
        'none'
    """
    return BOOLEAN_NAMES.get(name, {}).get(value, value) if isinstance(value, bool) else value


def check_choice(method: str, name: str, value: object) -> None:
    """Checks a setting, or each item of a list, against its choices; settings without choices pass.

    Raises:
        ValueError: If the value is not among the choices.
    """
    choices = CHOICES[method].get(name)
    value = boolean_name(name, value)
    if choices is None or value in choices:
        return
    if isinstance(value, list):
        for item in value:
            check_choice(method, name, item)
        return
    hint = suggestion(str(value), choices)
    raise ValueError(f"`{name}` must be one of {', '.join(choices)}; got {value!r}.{hint}")


def check_range(method: str, name: str, value: object) -> None:
    """Checks a number, or each number of a list, against its range; without a range it only has to be finite.

    Raises:
        ValueError: If the value is outside its range or not finite.
    """
    if isinstance(value, list):
        for item in value:
            check_range(method, name, item)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    if not math.isfinite(value):
        raise ValueError(f"`{name}` must be a finite number, got {value}.")
    bounds = RANGES[method].get(name)
    if bounds is None:
        return
    below = value <= bounds.low if bounds.open_low else value < bounds.low
    if below or value > bounds.high:
        low = f"{'above' if bounds.open_low else 'at least'} {bounds.low:g}"
        high = "" if math.isinf(bounds.high) else f" and at most {bounds.high:g}"
        raise ValueError(f"`{name}` must be {low}{high}, got {value:g}.")
