"""Rules for settings, choices and ranges, that TRL and torch check only once a model is loaded, or not at all."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from numbers import Real
from typing import Any, NamedTuple, get_args

from align.methods import METHODS
from align.recipe.problems import shown


class Range(NamedTuple):
    """A closed interval; `open_low` and `open_high` leave out an end, and `other` is one number outside."""

    low: float
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False
    other: float | None = None
    meaning: str = ""

    def holds(self, value: float) -> bool:
        """Says whether a number is inside."""
        above = value > self.low if self.open_low else value >= self.low
        return (above and (value < self.high if self.open_high else value <= self.high)) or value == self.other

    def __str__(self) -> str:
        low = f"{'above' if self.open_low else 'at least'} {self.low:,.12g}"
        high = "" if math.isinf(self.high) else f" and {'below' if self.open_high else 'at most'} {self.high:,.12g}"
        return low + high + ("" if self.other is None else f", or {self.other:g} {self.meaning}")


POSITIVE = Range(0.0, open_low=True)
NOT_NEGATIVE = Range(0.0)
COUNT = Range(1)
SHARE = Range(0.0, 1.0)
PORT = Range(1, 65_535)
SEED = Range(0, 2**32 - 1)  # numpy takes no other

TRAINING_RANGES: dict[str, Range] = {
    "learning_rate": Range(0.0, 10.0),  # an optimizer like Adam moves every weight by about this much in one step
    "max_steps": Range(1, other=-1, meaning="to go by `num_train_epochs`"),
    "num_train_epochs": Range(0.0, 1e6, open_low=True),
    "adam_epsilon": SHARE,
    "dataloader_num_workers": Range(0, 1_024),
    "ddp_timeout": Range(1, 31_536_000),  # a year; much more does not fit into a time
    **dict.fromkeys(("adam_beta1", "adam_beta2", "label_smoothing_factor"), Range(0.0, 1.0, open_high=True)),
    **dict.fromkeys(("logging_steps", "save_steps", "eval_steps"), POSITIVE),
    **dict.fromkeys(("seed", "data_seed"), SEED),
    **dict.fromkeys(
        ("weight_decay", "max_grad_norm", "warmup_steps", "neftune_noise_alpha", "eval_delay"), NOT_NEGATIVE
    ),
    **dict.fromkeys((
        "per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps",
        "eval_accumulation_steps", "torch_empty_cache_steps", "save_total_limit", "dataloader_prefetch_factor",
        "ddp_bucket_cap_mb",
    ), COUNT),
}  # fmt: skip
GRPO_RANGES: dict[str, Range] = {  # TRL 1.16
    "num_generations": Range(2),  # a group of one has no baseline
    "repetition_penalty": Range(0.0, 100.0, open_low=True),
    **dict.fromkeys(("top_p", "vllm_gpu_memory_utilization"), Range(0.0, 1.0, open_low=True)),
    **dict.fromkeys(("min_p", "ref_model_mixup_alpha", "top_entropy_quantile"), SHARE),
    **dict.fromkeys(("vllm_server_port", "vllm_group_port"), PORT),
    **dict.fromkeys((
        "temperature", "delta", "sapo_temperature_neg", "sapo_temperature_pos", "vllm_importance_sampling_clip_max",
        "vllm_importance_sampling_cap",
    ), POSITIVE),
    **dict.fromkeys((
        "num_generations_eval", "max_completion_length", "num_iterations", "generation_batch_size",
        "steps_per_generation", "pad_to_multiple_of", "ref_model_sync_steps", "max_tool_calling_iterations",
        "vllm_max_model_length", "vllm_tensor_parallel_size",
    ), COUNT),
    **dict.fromkeys((
        "top_k", "beta", "epsilon", "epsilon_high", "router_aux_loss_coef", "vespo_k_pos", "vespo_k_neg",
        "vespo_lambda_pos", "vespo_lambda_neg", "entropy_coef_min", "entropy_coef_max", "entropy_coef_delta",
        "entropy_target", "off_policy_mask_threshold", "num_completions_to_print", "vllm_server_timeout",
        "vllm_importance_sampling_clip_min",
    ), NOT_NEGATIVE),
}  # fmt: skip
PAIR_RANGES: dict[str, Range] = {
    "max_length": Range(2),  # one token of the prompt, one of the response
    "pad_to_multiple_of": COUNT,
    "dataset_num_proc": COUNT,
}
# By the class that has the field; ranges of a method's own settings stand in its `rules`.
PARENT_RANGES: dict[str, dict[str, Range]] = {
    "TrainingArguments": TRAINING_RANGES,
    "GRPOConfig": GRPO_RANGES,
    "DPOConfig": {
        "router_aux_loss_coef": NOT_NEGATIVE,
        "beta": POSITIVE,  # without it no preference is learnt
        "label_smoothing": Range(0.0, 0.5),
        "ld_alpha": SHARE,
        "ref_model_mixup_alpha": SHARE,
        "ref_model_sync_steps": COUNT,
        "precompute_ref_batch_size": COUNT,
        "discopop_tau": POSITIVE,
        "loss_weights": NOT_NEGATIVE,
    }
    | PAIR_RANGES,
    "RewardConfig": {"center_rewards_coefficient": NOT_NEGATIVE} | PAIR_RANGES,
    "SFTConfig": {
        "router_aux_loss_coef": NOT_NEGATIVE,
        "max_length": Range(2),  # a token, and the one that it is to predict
        "pad_to_multiple_of": COUNT,
        "dataset_num_proc": COUNT,
    },
}


def is_finite(value: float) -> bool:
    """Says whether a number is one that a float can be."""
    try:
        return math.isfinite(value)
    except OverflowError:  # an int of more than 308 digits
        return False


LOG_LEVELS = ("passive", "detail", "debug", "info", "warning", "error", "critical")
REPORTERS: dict[str, tuple[str, ...]] = {  # by name, the packages of which one is needed
    "azure_ml": ("azureml-sdk", "azureml-core"),
    "clearml": ("clearml",),
    "codecarbon": ("codecarbon",),
    "comet_ml": ("comet-ml",),
    "dagshub": ("dagshub",),
    "dvclive": ("dvclive",),
    "flyte": ("flytekit",),
    "kubeflow": (),
    "mlflow": ("mlflow", "mlflow-skinny"),
    "neptune": ("neptune", "neptune-client"),
    "swanlab": ("swanlab",),
    "tensorboard": ("tensorboard", "tensorboardX"),
    "trackio": ("trackio",),
    "wandb": ("wandb",),
}
DPO_LOSSES = (
    "sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot", "aot_unpaired",
    "apo_zero", "apo_down", "discopop", "sft", "sigmoid_norm",
)  # fmt: skip
# Settings of several words: each must be one of the choices.
SEVERAL_WORDS = ("fsdp", "debug")

# transformers, `TrainingArguments`; settings whose type is an enum have its members.
TRAINING_CHOICES: dict[str, tuple[str, ...]] = {
    "log_level": LOG_LEVELS,
    "log_level_replica": LOG_LEVELS,
    "include_num_input_tokens_seen": ("all", "non_padding", "no"),
    "torch_compile_mode": ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"),
    "fsdp": ("full_shard", "shard_grad_op", "offload", "auto_wrap"),
    "report_to": ("none", "all", *REPORTERS),
    "debug": ("underflow_overflow", "tpu_metrics_debug"),
}
# By the class that has the field, since the same name means different things: `loss_type` of GRPO and of DPO share no
# value. What is not a parent's stands in the `rules` of the method itself.
PARENT_CHOICES: dict[str, dict[str, tuple[str, ...]]] = {
    "TrainingArguments": TRAINING_CHOICES,
    "GRPOConfig": {  # TRL 1.16
        "loss_type": ("grpo", "dr_grpo", "dapo", "bnpo", "cispo", "sapo", "luspo", "vespo"),
        "scale_rewards": ("group", "batch", "none"),
        "multi_objective_aggregation": ("sum_then_normalize", "normalize_then_sum"),
        "importance_sampling_level": ("token", "sequence"),
        "vllm_mode": ("colocate", "server"),
        "vllm_model_impl": ("vllm", "transformers"),
        "cache_implementation": ("static", "offloaded_static", "dynamic", "offloaded", "quantized"),
        "vllm_importance_sampling_mode": ("token_truncate", "token_mask", "sequence_truncate", "sequence_mask"),
    },
    "DPOConfig": {  # TRL 1.16
        "loss_type": DPO_LOSSES,
        "f_divergence_type": ("reverse_kl", "forward_kl", "js_divergence", "alpha_divergence"),
        "truncation_mode": ("keep_start", "keep_end"),
    },
    "SFTConfig": {  # TRL 1.16
        "loss_type": ("nll", "dft"),
        "truncation_mode": ("keep_start", "keep_end"),
        "packing_strategy": ("bfd", "bfd_split", "wrapped"),
    },
}


READ_WITH: dict[tuple[str, ...], tuple[str, ...]] = {  # by what they need, of all methods
    ("push_to_hub: true",): ("hub_model_id", "hub_revision"),
    ("use_vllm: true",): (
        "vllm_mode", "vllm_gpu_memory_utilization", "vllm_max_model_length", "vllm_tensor_parallel_size",
        "vllm_server_base_url", "vllm_server_host", "vllm_server_port", "vllm_enable_sleep_mode", "vllm_model_impl",
    ),
    ("sync_ref_model: true",): ("ref_model_mixup_alpha", "ref_model_sync_steps"),
    ("loss_type: sapo",): ("sapo_temperature_neg", "sapo_temperature_pos"),
    ("loss_type: vespo",): ("vespo_k_pos", "vespo_k_neg", "vespo_lambda_pos", "vespo_lambda_neg"),
    ("loss_type: discopop",): ("discopop_tau",),
}  # fmt: skip


class Rules(NamedTuple):
    """What the settings of a method may be."""

    choices: dict[str, tuple[str, ...]] = {}  # noqa: RUF012 - never mutated
    ranges: dict[str, Range] = {}  # noqa: RUF012 - never mutated
    together: Callable[[Any], None] | None = None  # refuses what has no meaning together
    # Settings that are read only where one of some others is written, and those that only rows with a column feel.
    read_with: dict[tuple[str, ...], tuple[str, ...]] = {}  # noqa: RUF012 - never mutated
    of_columns: dict[str, tuple[str, ...]] = {}  # noqa: RUF012 - never mutated


@cache
def rules_of(method: str) -> Rules:
    """Joins a method's own rules with those of the classes it builds on."""
    record = METHODS[method]
    own: Rules = record.part("rules") or Rules()
    choices, ranges = own.choices, own.ranges
    for _, _, parent in record.config_chain:
        choices = PARENT_CHOICES.get(parent, {}) | choices
        ranges = PARENT_RANGES.get(parent, {}) | ranges
    return own._replace(choices=choices, ranges=ranges, read_with=own.read_with | READ_WITH)


# TRL maps booleans to the first; YAML reads a bare `no` as false in the others.
BOOLEAN_NAMES = {
    "second_pass": {False: "off"},
    "skip_without_advantage": {False: "off"},
    "share_prompts": {False: "off"},
    "scale_rewards": {True: "group", False: "none"},
    "save_strategy": {False: "no"},
    "eval_strategy": {False: "no"},
    "logging_strategy": {False: "no"},
    "include_num_input_tokens_seen": {True: "all", False: "no"},
}
# Null would mean "no limit" or "the default" to a reader, and something else, or nothing, to the trainer.
NO_NULL = {
    "output_dir": "Remove the line for the default, or name a folder.",
    "num_generations": "Write how many completions a prompt gets.",
    "max_completion_length": "Write how many tokens a completion may have.",
    "report_to": "Write `none`.",
    "shuffle_dataset": "Write true or false.",
    "remove_unused_columns": "Write true or false.",
}
EVERY = ("logging_steps", "save_steps", "eval_steps")  # below 1 a share of the run, above it a whole number


def suggestion(value: str, known: Iterable[str]) -> str:
    """Words a "did you mean" clause, empty when nothing is near; capitals and hyphens do not count.

    Example:
        >>> suggestion("grppo", ("grpo", "dapo"))
        " Did you mean 'grpo'?"
    """
    spelled = {name.lower(): name for name in known}
    letters = sorted(value[:100].lower())
    near = [name for name in spelled if sorted(name) == letters]  # `fb16` is as near to fp16 as to bf16
    near = near or get_close_matches(value[:100].lower().replace("-", "_"), spelled, n=1, cutoff=0.6)
    near = near or get_close_matches(value[:100].lower(), spelled, n=1, cutoff=0.6)
    return f" Did you mean {spelled[near[0]]!r}?" if near else ""


def boolean_name(name: str, value: object) -> object:
    """Returns the choice that a boolean stands for; other values stay.

    Example:
        >>> boolean_name("scale_rewards", False)
        'none'
    """
    return BOOLEAN_NAMES.get(name, {}).get(value, value) if isinstance(value, bool) else value


GSPO = " GSPO is no loss in TRL, but a level: set `loss_type: grpo` and `importance_sampling_level: sequence`."


def check_choice(method: str | None, name: str, value: object, choices: Iterable[str] = ()) -> None:
    """Checks a setting, or each item of a list, against its choices; settings without choices, and null, pass."""
    choices = (method and rules_of(method).choices.get(name)) or tuple(choices)
    value = boolean_name(name, value)
    is_switch = isinstance(value, bool) and name in SEVERAL_WORDS
    if not choices or value is None or is_switch:
        return
    items = value.split() if name in SEVERAL_WORDS and isinstance(value, str) else value
    for item in items if isinstance(items, list) else [items]:
        if not isinstance(item, str) or item not in choices:
            is_gspo = str(item).lower() == "gspo" and "sapo" in choices
            hint = GSPO if is_gspo else suggestion(str(item), choices)
            raise ValueError(f"`{name}` must be one of {', '.join(choices)}; got {shown(item)}.{hint}")


def check_null(name: str) -> None:
    """Refuses a setting of null where that would not be what it looks like."""
    if name in NO_NULL:
        raise ValueError(f"`{name}` has no meaning without a value, got null. {NO_NULL[name]}")


def check_range(method: str, name: str, value: object, block: str = "") -> None:
    """Checks a number, or each number of a list, against its range; without a range it only has to be finite."""
    if isinstance(value, list):
        for item in value:
            check_range(method, name, item, block)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    label = f"{block}.{name}" if block else name
    if not is_finite(value):
        raise ValueError(f"`{label}` must be a finite number, got {shown(value)}.")
    bounds = rules_of(method).ranges.get(name)
    if bounds is not None and not bounds.holds(value):
        raise ValueError(f"`{label}` must be {bounds}, got {value:g}.")
    if name in EVERY and value > 1 and value != int(value):
        raise ValueError(f"`{label}` above 1 must be a whole number of steps, got {value}.")


def check_numbers(config: Any, ranges: Mapping[str, Range]) -> None:
    """Checks numbers of a config made in Python, which are whole where their type says so; 2.0 is 2."""
    types = {field.name: get_args(field.type) or (field.type,) for field in dataclasses.fields(config)}
    for name, allowed in ranges.items():
        value = getattr(config, name)
        if value is None and type(None) in types[name]:
            continue
        if isinstance(value, bool) or not isinstance(value, Real):
            remedy = " Write it without quotes." if isinstance(value, str) else ""
            raise TypeError(f"`{name}` must be a number, got {value!r}.{remedy}")
        number: Any = value
        if not is_finite(number):
            raise ValueError(f"`{name}` must be a finite number, got {value}.")
        if float not in types[name]:
            if number != int(number):
                raise ValueError(f"`{name}` must be a whole number, got {value}.")
            setattr(config, name, int(number))
        if not allowed.holds(number):
            raise ValueError(f"`{name}` must be {allowed}, got {value}.")
