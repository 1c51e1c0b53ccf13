"""Ranges of settings that TRL, transformers and torch check only once a model is loaded, or not at all."""

import math
from typing import NamedTuple


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
    # An optimizer like Adam moves every weight by about this much in one step.
    "learning_rate": Range(0.0, 10.0),
    "weight_decay": NOT_NEGATIVE,
    "adam_beta1": Range(0.0, 1.0, open_high=True),
    "adam_beta2": Range(0.0, 1.0, open_high=True),
    "adam_epsilon": SHARE,
    "max_grad_norm": NOT_NEGATIVE,
    "max_steps": Range(1, other=-1, meaning="to go by `num_train_epochs`"),
    "warmup_steps": NOT_NEGATIVE,
    "label_smoothing_factor": Range(0.0, 1.0, open_high=True),
    "neftune_noise_alpha": NOT_NEGATIVE,
    "num_train_epochs": Range(0.0, 1e6, open_low=True),
    "per_device_train_batch_size": COUNT,
    "per_device_eval_batch_size": COUNT,
    "gradient_accumulation_steps": COUNT,
    "eval_accumulation_steps": COUNT,
    "torch_empty_cache_steps": COUNT,
    "logging_steps": POSITIVE,
    "save_steps": POSITIVE,
    "eval_steps": POSITIVE,
    "eval_delay": NOT_NEGATIVE,
    "save_total_limit": COUNT,
    "seed": SEED,
    "data_seed": SEED,
    "dataloader_num_workers": Range(0, 1_024),
    "dataloader_prefetch_factor": COUNT,
    "ddp_bucket_cap_mb": COUNT,
    "ddp_timeout": Range(1, 31_536_000),  # a year; much more does not fit into a time
}
GRPO_RANGES: dict[str, Range] = {  # TRL 1.16
    "num_generations": Range(2),  # a group of one has no baseline
    "num_generations_eval": COUNT,
    "max_completion_length": COUNT,
    "num_iterations": COUNT,
    "generation_batch_size": COUNT,
    "steps_per_generation": COUNT,
    "pad_to_multiple_of": COUNT,
    "temperature": POSITIVE,
    "top_p": Range(0.0, 1.0, open_low=True),
    "top_k": NOT_NEGATIVE,
    "min_p": SHARE,
    "repetition_penalty": Range(0.0, 100.0, open_low=True),
    "beta": NOT_NEGATIVE,
    "epsilon": NOT_NEGATIVE,
    "epsilon_high": NOT_NEGATIVE,
    "delta": POSITIVE,
    "router_aux_loss_coef": NOT_NEGATIVE,
    "sapo_temperature_neg": POSITIVE,
    "sapo_temperature_pos": POSITIVE,
    "vespo_k_pos": NOT_NEGATIVE,
    "vespo_k_neg": NOT_NEGATIVE,
    "vespo_lambda_pos": NOT_NEGATIVE,
    "vespo_lambda_neg": NOT_NEGATIVE,
    "ref_model_mixup_alpha": SHARE,
    "ref_model_sync_steps": COUNT,
    "top_entropy_quantile": SHARE,
    "entropy_coef_min": NOT_NEGATIVE,
    "entropy_coef_max": NOT_NEGATIVE,
    "entropy_coef_delta": NOT_NEGATIVE,
    "entropy_target": NOT_NEGATIVE,
    "max_tool_calling_iterations": COUNT,
    "off_policy_mask_threshold": NOT_NEGATIVE,
    "num_completions_to_print": NOT_NEGATIVE,
    "vllm_gpu_memory_utilization": Range(0.0, 1.0, open_low=True),
    "vllm_max_model_length": COUNT,
    "vllm_tensor_parallel_size": COUNT,
    "vllm_server_port": PORT,
    "vllm_group_port": PORT,
    "vllm_server_timeout": NOT_NEGATIVE,
    "vllm_importance_sampling_clip_min": NOT_NEGATIVE,
    "vllm_importance_sampling_clip_max": POSITIVE,
    "vllm_importance_sampling_cap": POSITIVE,
}
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
