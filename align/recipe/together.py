"""Settings of transformers and TRL that have no meaning without each other, found before a model is loaded."""

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from align.recipe.model import ModelSettings
from align.recipe.problems import shown
from align.recipe.rules import suggestion
from align.recipe.signatures import enum_members

Setting = Callable[[str], Any]
POLYNOMIAL_END = 1e-7  # transformers 5.17, `get_polynomial_decay_schedule_with_warmup`
IN_LAUNCH_FILE = "parallelism_config"  # a setting that a recipe cannot hold
# TRL 1.16: one setting of each trainer that reads the weights of the head itself, past an adapter on it.
READ_THE_HEAD = ("num_generations", "loss_weights", "packing")
# TRL 1.16, `DPOTrainer`: in all others a term of other divergences does not cancel.
DIVERGENCE_LOSSES = ("sigmoid", "sigmoid_norm", "hinge", "ipo", "exo_pair", "robust", "discopop", "sft")
SORTING_LOSSES = ("aot", "aot_unpaired")


def check_together(setting: Setting, has: Callable[[str], bool], model: ModelSettings, evaluates: bool) -> None:
    """Refuses settings of any method that have no meaning together.

    Args:
        setting: Reads a setting by name.
        has: Says whether the method has a setting.
        model: The model block.
        evaluates: Whether there are rows to evaluate on.

    Raises:
        ValueError: At the first.
    """
    _check_alone(setting, has)
    _check_evaluation(setting, evaluates)
    _check_best(setting)
    _check_rates(setting)
    _check_optimizer(setting)
    _check_precision(setting)
    _check_workers(setting)
    if has("sync_ref_model"):
        _check_reference(setting, model)
    if has("num_generations"):
        _check_grpo(setting)
    if has("loss_weights"):
        _check_dpo(setting)
    if any(map(has, READ_THE_HEAD)):
        _check_head(model)


def check_written(written: Collection[str]) -> None:
    """Refuses settings that, as they are written, would do nothing.

    Args:
        written: Names of the settings in the recipe.

    Raises:
        ValueError: At the first.
    """
    if "resume_from_checkpoint" in written:
        raise ValueError(
            "`resume_from_checkpoint` is read by no trainer. Where a run goes on is an option of the command: `align "
            "train RECIPE --resume auto`, or `--resume PATH`."
        )
    if "eval_steps" in written and "eval_strategy" not in written:  # `--eval_strategy no` may turn evaluation off
        raise ValueError("`eval_steps` is read with `eval_strategy: steps` alone. Set it, or remove `eval_steps`.")


def _check_alone(setting: Setting, has: Callable[[str], bool]) -> None:
    """Checks texts that have a form of their own."""
    if setting(IN_LAUNCH_FILE) is not None:
        raise ValueError(f"`{IN_LAUNCH_FILE}` cannot be written in a recipe. Write the block into the launch file.")
    if setting("output_dir") is not None and not setting("output_dir").strip():
        raise ValueError("`output_dir` is empty. Remove the line for the default, or name a folder.")
    if re.search(r"\$\{?\w", setting("output_dir") or ""):
        raise ValueError(
            f"`output_dir` is {shown(setting('output_dir'))}, and a recipe reads no variables of the environment. "
            "Write the folder out, or give it on the command line, where the shell reads them."
        )
    backend = setting("torch_compile_backend")
    backends = sorted(name.lower() for name in enum_members(("accelerate", "utils/dataclasses.py"), "DynamoBackend"))
    if backend is not None and backend.lower() not in backends:
        raise ValueError(
            f"`torch_compile_backend` must be one of {', '.join(backends)}; got {shown(backend)}."
            f"{suggestion(backend, backends)}"
        )
    multiple = setting("pad_to_multiple_of") if has("pad_to_multiple_of") else None
    if isinstance(multiple, str) and multiple != "auto":
        raise ValueError(f"`pad_to_multiple_of` must be a number, `auto` or null; got {shown(multiple)}.")
    pattern = setting("vllm_structured_outputs_regex") if has("vllm_structured_outputs_regex") else None
    try:
        re.compile(pattern or "")
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"`vllm_structured_outputs_regex` is no regular expression: {error}.") from error


def _check_evaluation(setting: Setting, evaluates: bool) -> None:
    strategy = setting("eval_strategy")
    if strategy != "no" and not evaluates:
        raise ValueError(
            f"`eval_strategy: {strategy}` needs rows to evaluate on. Set `dataset.eval_path`, or remove it."
        )
    if setting("eval_on_start") and strategy == "no":
        raise ValueError("`eval_on_start: true` needs an evaluation. Set `eval_strategy: steps` and `eval_steps`.")
    if setting("lr_scheduler_type") in ("reduce_lr_on_plateau", "greedy") and strategy == "no":
        raise ValueError(
            f"`lr_scheduler_type: {setting('lr_scheduler_type')}` follows the evaluation, and there is none. Set "
            "`eval_strategy: steps` and `eval_steps`."
        )


def _check_best(setting: Setting) -> None:
    save, evaluation = setting("save_strategy"), setting("eval_strategy")
    if save == "best":
        if evaluation == "no":
            raise ValueError("`save_strategy: best` needs an evaluation. Set `eval_strategy: steps` and `eval_steps`.")
        if setting("metric_for_best_model") is None and not setting("load_best_model_at_end"):
            raise ValueError("`save_strategy: best` needs `metric_for_best_model`, for example `loss`.")
        return
    if not setting("load_best_model_at_end"):
        return
    if save != evaluation:
        raise ValueError(
            f"`load_best_model_at_end: true` saves where it evaluates; got `save_strategy: {save}` and "
            f"`eval_strategy: {evaluation}`. Make them equal, or set `save_strategy: best`."
        )
    steps, every = setting("save_steps"), setting("eval_steps") or setting("logging_steps")
    # transformers takes a multiple, and then keeps the last model where the best evaluation was not saved.
    if save == "steps" and steps != every:
        raise ValueError(
            f"`load_best_model_at_end: true` can load what was saved, so that `save_steps` must be `eval_steps`; got "
            f"{steps} and {every}. Make them equal, or set `save_strategy: best`, which saves the best alone."
        )


def _check_rates(setting: Setting) -> None:
    decay = setting("learning_rate") * setting("weight_decay")
    if decay >= 1:
        raise ValueError(
            f"`learning_rate` times `weight_decay` is {decay:g}, and from 1 on every step turns all weights around. "
            "Use a smaller `weight_decay`."
        )
    name = setting("lr_scheduler_type")
    given = setting("lr_scheduler_kwargs") or {}
    if name in ("cosine_with_min_lr", "cosine_warmup_with_min_lr") and not {"min_lr", "min_lr_rate"} & set(given):
        raise ValueError(
            f"`lr_scheduler_type: {name}` needs its lowest rate. Set `lr_scheduler_kwargs: {{min_lr_rate: 0.1}}`."
        )
    given = given if isinstance(given, Mapping) else {}
    if given.get("min_lr") is not None and given.get("min_lr_rate") is not None:
        raise ValueError(
            f"`lr_scheduler_kwargs`: `min_lr` and `min_lr_rate` say the same thing twice; got {given['min_lr']} and "
            f"{given['min_lr_rate']}. Keep one."
        )
    end = given.get("lr_end", POLYNOMIAL_END)
    if name == "polynomial" and (isinstance(end, bool) or not isinstance(end, int | float)):
        raise ValueError(f"`lr_scheduler_kwargs.lr_end` must be a number; got {shown(end)}.")
    if name == "polynomial" and end >= setting("learning_rate"):
        raise ValueError(
            f"`lr_scheduler_type: polynomial` ends at `lr_scheduler_kwargs.lr_end`, which must be below "
            f"`learning_rate`; got {end:g} and {setting('learning_rate'):g}. Lower the first, or raise the second."
        )


def _check_optimizer(setting: Setting) -> None:
    optim = setting("optim") or ""
    if optim.startswith(("galore", "apollo")) and setting("optim_target_modules") is None:
        raise ValueError(f"`optim: {optim}` needs `optim_target_modules`, for example `all-linear`.")
    reporters = setting("report_to")
    if isinstance(reporters, list) and len(reporters) > 1 and {"all", "none"} & set(reporters):
        raise ValueError(f"`report_to`: `all` and `none` stand alone; got {', '.join(reporters)}.")


def _check_precision(setting: Setting) -> None:
    for first, second in (("bf16", "fp16"), ("bf16_full_eval", "fp16_full_eval")):
        if setting(first) and setting(second):
            raise ValueError(f"`{first}: true` and `{second}: true` exclude each other. Keep one.")
    if setting("load_best_model_at_end") and setting("save_only_model") and setting("deepspeed"):
        raise ValueError("`load_best_model_at_end` needs whole checkpoints with DeepSpeed. Remove `save_only_model`.")


def _check_workers(setting: Setting) -> None:
    if setting("dataloader_num_workers"):
        return
    for name in ("dataloader_prefetch_factor", "dataloader_persistent_workers", "dataloader_multiprocessing_context"):
        if setting(name):
            raise ValueError(f"`{name}: {setting(name)}` needs workers. Set `dataloader_num_workers`, or remove it.")


def _check_reference(setting: Setting, model: ModelSettings) -> None:
    if setting("sync_ref_model") and model.use_peft:
        raise ValueError(
            "`sync_ref_model: true` needs a reference of its own, and with `use_peft: true` that is the model without "
            "its adapter. Remove one of them."
        )
    if setting("sync_ref_model") and setting("beta") == 0:
        raise ValueError(
            "`sync_ref_model: true` needs a reference, and with `beta: 0` there is none. Set `beta` above 0, or "
            "remove `sync_ref_model`."
        )


def _check_grpo(setting: Setting) -> None:
    if setting("auto_find_batch_size"):
        raise ValueError(
            "`auto_find_batch_size: true` would break the groups of `num_generations` apart. Remove it, and lower "
            "`per_device_train_batch_size`."
        )
    if setting("remove_unused_columns"):
        raise ValueError(
            "`remove_unused_columns: true` would take the columns away that rewards read, such as `answer`. Remove it."
        )
    if setting("log_completions_hub_repo") is not None and setting("log_completions") is False:
        raise ValueError("`log_completions_hub_repo` needs `log_completions: true`. Set it, or remove the repository.")
    low, high = setting("vllm_importance_sampling_clip_min"), setting("vllm_importance_sampling_clip_max")
    if low is not None and high is not None and low >= high:
        raise ValueError(
            f"`vllm_importance_sampling_clip_min` must be below `vllm_importance_sampling_clip_max`; got {low} and "
            f"{high}."
        )
    if setting("entropy_coef_min") > setting("entropy_coef_max"):
        raise ValueError(
            f"`entropy_coef_min` must not be above `entropy_coef_max`; got {setting('entropy_coef_min')} and "
            f"{setting('entropy_coef_max')}."
        )


def _check_dpo(setting: Setting) -> None:
    weights, losses = setting("loss_weights"), setting("loss_type")
    if weights is not None and len(weights) != len(losses):
        raise ValueError(f"`loss_weights` has {len(weights)} numbers for {len(losses)} losses. Give one per loss.")
    if "exo_pair" in losses and setting("label_smoothing") == 0:
        raise ValueError("`loss_type: exo_pair` needs `label_smoothing` above 0, for example 0.001.")
    if setting("sync_ref_model") and setting("precompute_ref_log_probs"):
        raise ValueError("`precompute_ref_log_probs` needs a reference that stays. Remove `sync_ref_model`.")
    divergence = setting("f_divergence_type")
    other = next((loss for loss in losses if loss not in DIVERGENCE_LOSSES), None)
    if divergence != "reverse_kl" and other is not None:
        raise ValueError(
            f"`f_divergence_type: {divergence}` needs a `loss_type` of {', '.join(DIVERGENCE_LOSSES)}; got {other}. "
            "Use one of them, or `f_divergence_type: reverse_kl`."
        )
    sorting = next((loss for loss in losses if loss in SORTING_LOSSES), None)
    if setting("use_weighting") and sorting is not None:
        raise ValueError(
            f"`use_weighting: true` weighs pairs, which `loss_type: {sorting}` sorts apart. Remove `use_weighting`, "
            "or use another loss."
        )


def _check_head(model: ModelSettings) -> None:
    if not model.use_peft:
        return
    targets = model.lora_target_modules
    try:  # peft reads a text as a pattern
        named = re.fullmatch(targets, "lm_head") if isinstance(targets, str) else "lm_head" in targets
    except re.error as error:
        raise ValueError(f"`lora_target_modules` is no regular expression: {error}.") from error
    if named:
        raise ValueError(
            f"`lora_target_modules: {shown(targets)}` puts an adapter on `lm_head`, whose weights the loss reads past "
            "it, so that it would not be trained. Leave `lm_head` out."
        )
