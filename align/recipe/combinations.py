"""Settings that have no meaning together, and keys of blocks that no library takes: found before a model is loaded."""

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.util import find_spec
from typing import Any

from pydantic import PydanticSchemaGenerationError, TypeAdapter, ValidationError

from align.recipe.fields import (
    Parameter,
    Source,
    class_fields,
    enum_members,
    functions_by_member,
    keys_read,
    parameters,
)
from align.recipe.model import ModelSettings
from align.recipe.problems import first_problem, shown
from align.recipe.rules import check_range, rules_of, suggestion

POLYNOMIAL_END = 1e-7  # transformers 5.17, `get_polynomial_decay_schedule_with_warmup`
IN_LAUNCH_FILE = "parallelism_config"  # a setting that a recipe cannot hold
# TRL 1.16: one setting of each trainer that reads the weights of the head itself, past an adapter on it.
READ_THE_HEAD = ("num_generations", "loss_weights", "packing")
# TRL 1.16, `DPOTrainer`: in all others a term of other divergences does not cancel.
DIVERGENCE_LOSSES = ("sigmoid", "sigmoid_norm", "hinge", "ipo", "exo_pair", "robust", "discopop", "sft")
SORTING_LOSSES = ("aot", "aot_unpaired")


def check_together(settings: Any, model: ModelSettings, evaluates: bool) -> None:
    """Refuses settings of any method that have no meaning together."""
    _check_alone(settings)
    _check_evaluation(settings, evaluates)
    _check_best(settings)
    _check_rates(settings)
    _check_pairs_of_keys(settings)
    if hasattr(settings, "sync_ref_model"):
        _check_reference(settings, model)
    if hasattr(settings, "num_generations"):
        _check_grpo(settings)
    if hasattr(settings, "loss_weights"):
        _check_dpo(settings)
    if any(hasattr(settings, name) for name in READ_THE_HEAD):
        _check_head(model)


# Keys that no trainer reads here, or reads for `compute_metrics` alone, and where what they ask for is said.
OF_METRICS = ("batch_eval_metrics", "eval_accumulation_steps", "eval_do_concat_batches", "eval_use_gather_object",
              "include_for_metrics", "prediction_loss_only")  # fmt: skip
UNREAD = {
    "do_train": "`align train` trains, and `align check` does not.",
    "do_eval": "`eval_strategy` says when a run evaluates, and `align eval` evaluates without training.",
    "do_predict": "`align eval` asks a model that is trained.",
    "local_rank": "The launcher numbers processes: `accelerate launch`.",
    "length_column_name": "Lengths are counted when training begins.",
    "resume_from_checkpoint": "A run is continued by an option of the command: `align train RECIPE --resume auto`, or "
    "`--resume PATH`.",
    **dict.fromkeys(
        ("hub_strategy", "hub_always_push"),
        "A push is made once, when the run has ended, and `hf upload` pushes a checkpoint.",
    ),
    **dict.fromkeys(OF_METRICS, "An evaluation within a run keeps no predictions; `align eval` does."),
}
BY_LENGTH = ("group_by_length", "batch_rebalance")


def check_written(method: str, settings: Any) -> None:
    """Refuses settings that, as they are written, would do nothing."""
    written = {name: getattr(settings, name) for name in sorted(settings.model_fields_set)}
    written = {name: value for name, value in written.items() if value is not None}
    done = {"do_train": (True,), "do_eval": (settings.eval_strategy != "no",), "prediction_loss_only": (True, False)}
    done |= {"hub_strategy": ("end",)}
    for name, said in UNREAD.items():
        if name in written and written[name] not in done.get(name, (type(settings).model_fields[name].default,)):
            value = str(written[name]).lower() if isinstance(written[name], bool) else shown(written[name])
            raise ValueError(f"`{name}: {value}` is read by no trainer. {said} Remove it.")
    for switches, names in rules_of(method).read_with.items():
        lone = next((name for name in names if name in written), None)
        keys = {each.partition(":")[0] for each in switches}  # which may turn it off
        if lone and keys.isdisjoint(settings.model_fields_set):
            needed = " or ".join(f"`{each}`" for each in switches)
            raise ValueError(f"`{lone}` is read only with {needed}. Set it, or remove `{lone}`.")
    if "eval_steps" in written and "eval_strategy" not in written:  # `--eval_strategy no` may turn evaluation off
        raise ValueError("`eval_steps` is read only with `eval_strategy: steps`. Set it, or remove `eval_steps`.")
    _check_sampling(settings)


def _check_sampling(settings: Any) -> None:
    """Refuses what Trainer reads for rows of one sequence, and the trainers of groups and pairs do not."""
    strategy, samples = settings.train_sampling_strategy, hasattr(settings, "num_generations")
    if samples and strategy != "random":
        raise ValueError(
            f"`train_sampling_strategy: {strategy}` is not read where prompts are asked in groups. Remove it; "
            "`shuffle_dataset: false` asks them in the order of the rows."
        )
    if hasattr(settings, "packing"):
        return
    if strategy in BY_LENGTH:
        raise ValueError(
            f"`train_sampling_strategy: {strategy}` needs rows of one sequence each, as of demonstrations. Remove it."
        )
    if settings.label_smoothing_factor:
        instead = " `label_smoothing` is what this loss reads." if hasattr(settings, "label_smoothing") else ""
        raise ValueError(f"`label_smoothing_factor` is not read by this loss.{instead} Remove it.")


def _check_alone(settings: Any) -> None:
    """Checks texts that have a form of their own."""
    if getattr(settings, IN_LAUNCH_FILE) is not None:
        raise ValueError(f"`{IN_LAUNCH_FILE}` cannot be written in a recipe. Write the block into the launch file.")
    if settings.output_dir is not None and not settings.output_dir.strip():
        raise ValueError("`output_dir` is empty. Remove the line for the default, or name a folder.")
    if re.search(r"\$\{?\w", settings.output_dir or ""):
        raise ValueError(
            f"`output_dir` is {shown(settings.output_dir)}, and a recipe reads no variables of the environment. "
            "Write the folder out, or give it on the command line, where the shell reads them."
        )
    backend = settings.torch_compile_backend
    backends = sorted(name.lower() for name in enum_members(("accelerate", "utils/dataclasses.py"), "DynamoBackend"))
    if backend is not None and backend.lower() not in backends:
        raise ValueError(
            f"`torch_compile_backend` must be one of {', '.join(backends)}; got {shown(backend)}."
            f"{suggestion(backend, backends)}"
        )
    multiple = getattr(settings, "pad_to_multiple_of", None)
    if isinstance(multiple, str) and multiple != "auto":
        raise ValueError(f"`pad_to_multiple_of` must be a number, `auto` or null; got {shown(multiple)}.")
    pattern = getattr(settings, "vllm_structured_outputs_regex", None)
    try:
        re.compile(pattern or "")
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"`vllm_structured_outputs_regex` is no regular expression: {error}.") from error


def _check_evaluation(settings: Any, evaluates: bool) -> None:
    strategy = settings.eval_strategy
    if strategy != "no" and not evaluates:
        raise ValueError(
            f"`eval_strategy: {strategy}` needs rows to evaluate on. Set `dataset.eval_path`, or remove it."
        )
    if settings.eval_on_start and strategy == "no":
        raise ValueError("`eval_on_start: true` needs an evaluation. Set `eval_strategy: steps` and `eval_steps`.")
    if settings.lr_scheduler_type in ("reduce_lr_on_plateau", "greedy") and strategy == "no":
        raise ValueError(
            f"`lr_scheduler_type: {settings.lr_scheduler_type}` follows the evaluation, and there is none. Set "
            "`eval_strategy: steps` and `eval_steps`."
        )


def _check_best(settings: Any) -> None:
    save, evaluation = settings.save_strategy, settings.eval_strategy
    if save == "best":
        if evaluation == "no":
            raise ValueError("`save_strategy: best` needs an evaluation. Set `eval_strategy: steps` and `eval_steps`.")
        if settings.metric_for_best_model is None and not settings.load_best_model_at_end:
            raise ValueError("`save_strategy: best` needs `metric_for_best_model`, for example `loss`.")
        return
    if not settings.load_best_model_at_end:
        return
    if save != evaluation:
        raise ValueError(
            f"`load_best_model_at_end: true` must save whenever it evaluates; got `save_strategy: {save}` and "
            f"`eval_strategy: {evaluation}`. Make them equal, or set `save_strategy: best`."
        )
    steps, every = settings.save_steps, settings.eval_steps or settings.logging_steps
    # transformers takes a multiple, and then keeps the last model where the best evaluation was not saved.
    if save == "steps" and steps != every:
        raise ValueError(
            f"`load_best_model_at_end: true` needs `save_steps` equal to `eval_steps`, so that the best was saved; "
            f"got {steps} and {every}. Make them equal, or set `save_strategy: best`, which saves the best alone."
        )


def _check_rates(settings: Any) -> None:
    decay = settings.learning_rate * settings.weight_decay
    if decay >= 1:
        raise ValueError(
            f"`learning_rate` times `weight_decay` must be below 1, got {decay:g}: from 1 on every step flips the "
            "sign of all weights. Use a smaller `weight_decay`."
        )
    name = settings.lr_scheduler_type
    given = settings.lr_scheduler_kwargs or {}
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
    if name == "polynomial" and end >= settings.learning_rate:
        raise ValueError(
            f"`lr_scheduler_type: polynomial` ends at `lr_scheduler_kwargs.lr_end`, which must be below "
            f"`learning_rate`; got {end:g} and {settings.learning_rate:g}. Lower the first, or raise the second."
        )


def _check_pairs_of_keys(settings: Any) -> None:
    """Checks what two or three keys say about each other, and no one else reads."""
    optim = settings.optim or ""
    if optim.startswith(("galore", "apollo")) and settings.optim_target_modules is None:
        raise ValueError(f"`optim: {optim}` needs `optim_target_modules`, for example `all-linear`.")
    reporters = settings.report_to
    if isinstance(reporters, list) and len(reporters) > 1 and {"all", "none"} & set(reporters):
        raise ValueError(f"`report_to`: `all` and `none` stand alone; got {', '.join(reporters)}.")
    for first, second in (("bf16", "fp16"), ("bf16_full_eval", "fp16_full_eval")):
        if getattr(settings, first) and getattr(settings, second):
            raise ValueError(f"`{first}: true` and `{second}: true` exclude each other. Keep one.")
    if settings.load_best_model_at_end and settings.save_only_model and settings.deepspeed:
        raise ValueError("`load_best_model_at_end` needs whole checkpoints with DeepSpeed. Remove `save_only_model`.")
    for name in ("dataloader_prefetch_factor", "dataloader_persistent_workers", "dataloader_multiprocessing_context"):
        if not settings.dataloader_num_workers and (value := getattr(settings, name)):
            raise ValueError(f"`{name}: {value}` needs workers. Set `dataloader_num_workers`, or remove it.")


def _check_reference(settings: Any, model: ModelSettings) -> None:
    if settings.sync_ref_model and model.use_peft:
        raise ValueError(
            "`sync_ref_model: true` needs a reference of its own, and with `use_peft: true` that is the model without "
            "its adapter. Remove one of them."
        )
    if settings.sync_ref_model and settings.beta == 0:
        raise ValueError(
            "`sync_ref_model: true` needs a reference, and with `beta: 0` there is none. Set `beta` above 0, or "
            "remove `sync_ref_model`."
        )


def _check_grpo(settings: Any) -> None:
    if settings.auto_find_batch_size:
        raise ValueError(
            "`auto_find_batch_size: true` would break the groups of `num_generations` apart. Remove it, and lower "
            "`per_device_train_batch_size`."
        )
    if settings.remove_unused_columns:
        raise ValueError(
            "`remove_unused_columns: true` would take the columns away that rewards read, such as `answer`. Remove it."
        )
    if settings.log_completions_hub_repo is not None and settings.log_completions is False:
        raise ValueError("`log_completions_hub_repo` needs `log_completions: true`. Set it, or remove the repository.")
    low, high = settings.vllm_importance_sampling_clip_min, settings.vllm_importance_sampling_clip_max
    if low is not None and high is not None and low >= high:
        raise ValueError(
            f"`vllm_importance_sampling_clip_min` must be below `vllm_importance_sampling_clip_max`; got {low} and "
            f"{high}."
        )
    if settings.entropy_coef_min > settings.entropy_coef_max:
        raise ValueError(
            f"`entropy_coef_min` must not be above `entropy_coef_max`; got {settings.entropy_coef_min} and "
            f"{settings.entropy_coef_max}."
        )


def _check_dpo(settings: Any) -> None:
    weights, losses = settings.loss_weights, settings.loss_type
    if weights is not None and len(weights) != len(losses):
        raise ValueError(f"`loss_weights` has {len(weights)} numbers for {len(losses)} losses. Give one per loss.")
    if "exo_pair" in losses and settings.label_smoothing == 0:
        raise ValueError("`loss_type: exo_pair` needs `label_smoothing` above 0, for example 0.001.")
    if settings.sync_ref_model and settings.precompute_ref_log_probs:
        raise ValueError("`precompute_ref_log_probs` needs a reference that does not move. Remove `sync_ref_model`.")
    divergence = settings.f_divergence_type
    other = next((loss for loss in losses if loss not in DIVERGENCE_LOSSES), None)
    if divergence != "reverse_kl" and other is not None:
        raise ValueError(
            f"`f_divergence_type: {divergence}` needs a `loss_type` of {', '.join(DIVERGENCE_LOSSES)}; got {other}. "
            "Use one of them, or `f_divergence_type: reverse_kl`."
        )
    sorting = next((loss for loss in losses if loss in SORTING_LOSSES), None)
    if settings.use_weighting and sorting is not None:
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
            f"`lora_target_modules: {shown(targets)}` puts an adapter on `lm_head`. The loss reads that layer's own "
            "weights, so the adapter would not be trained. Leave `lm_head` out."
        )


Known = Mapping[str, Parameter]
ARGUMENTS: Source = ("transformers", "training_args.py")
NAMES: Source = ("transformers", "trainer_utils.py")
SCHEDULES: Source = ("transformers", "optimization.py")
OPTIMIZERS: Source = ("transformers", "trainer_optimizer.py")
GENERATION: Source = ("transformers", "generation/configuration_utils.py")
OPEN_BLOCKS = ("chat_template_kwargs", "model_init_kwargs", "dataset_kwargs", "deepspeed")  # whose keys are not known
FROM_FILES = ("accelerator_config", "fsdp_config", "deepspeed")  # may be the path of a JSON file


def check_blocks(method: str, settings: Any) -> None:
    """Checks every block against what takes it, and names every key that is unknown."""
    found, unknown = list(_blocks(settings)), []
    for block, values, known, taker in found:
        few = f" It takes {', '.join(sorted(known)) or 'none'}." if len(known) <= 12 else ""
        wrong = (str(key) for key in values if key not in known)
        unknown += [f"Unknown key `{block}.{key}` for {taker}.{suggestion(key, known) or few}" for key in wrong]
    if unknown:
        raise ValueError(" ".join(unknown))
    for block, values, known, taker in found:
        for key, value in values.items():
            _check_type(f"{block}.{key}", known[key].type, value)
            if block == "generation_kwargs":
                _check_generation(method, key, value)
        missing = [key for key, parameter in known.items() if parameter.needed and key not in values]
        if missing:
            raise ValueError(f"`{block}.{missing[0]}` is missing: {taker} needs it.")


def _blocks(settings: Any) -> Iterator[tuple[str, Mapping[str, Any], Known, str]]:
    """Yields the blocks whose keys are known: name, content, keys, and what takes them."""
    for name, known_keys in BLOCKS.items():
        value = getattr(settings, name, None)
        if value is None and name == "lr_scheduler_kwargs":
            value = {}  # a schedule may need some
        if value is None:
            continue
        block = _as_block(name, value)
        known, taker = known_keys(settings)
        if block is not None and known is not None:
            yield name, block, known, taker


def _as_block(name: str, value: Any) -> Mapping[str, Any] | None:
    """Returns a block; JSON in a text is read, and None stands for a file that is there."""
    if isinstance(value, Mapping):
        return value
    if name == "optim_args":
        pairs = [pair.split("=") for pair in value.replace(" ", "").split(",")] if value else []
        if any(len(pair) != 2 or not all(pair) for pair in pairs):
            raise ValueError(f"`optim_args` must be written as `name=value,name=value`; got {shown(value)}.")
        return dict(pairs)
    try:
        content = json.loads(value) if str(value).startswith("{") else None
    except (ValueError, RecursionError):
        content = None
    if isinstance(content, Mapping):
        return content
    if name in FROM_FILES and os.path.isfile(value):
        return None
    if name in FROM_FILES and str(value).endswith(".json"):
        raise ValueError(f"`{name}`: there is no file {shown(value)}, seen from where the command is run.")
    file = ", or the path of a JSON file" if name in FROM_FILES else ""
    raise ValueError(f"`{name}` must be a block of `key: value` lines{file}; got {shown(value)}.")


def _check_generation(method: str, name: str, value: Any) -> None:
    label = f"generation_kwargs.{name}"
    if name == "stop_strings" and value is not None:
        raise ValueError(
            f"`{label}` needs the tokenizer, which TRL does not hand on. Set `eos_token_id` in the block."
        )
    if name not in rules_of(method).ranges:
        return
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise ValueError(f"`{label}` must be a number; got {shown(value)}.")
    check_range(method, name, value, "generation_kwargs")


def _check_type(name: str, kind: Any, value: Any) -> None:
    try:
        TypeAdapter(kind).validate_python(value, strict=isinstance(value, bool))
    except PydanticSchemaGenerationError:
        return  # a type of the library's own
    except ValidationError as error:
        raise ValueError(first_problem(name, error)) from error


def _any(names: Iterable[str]) -> dict[str, Parameter]:
    return {name: Parameter(Any) for name in names}


def _without(known: Known, *names: str) -> dict[str, Parameter]:
    return {name: parameter for name, parameter in known.items() if name not in names}


def _of_schedule(settings: Any) -> tuple[Known, str]:
    name = settings.lr_scheduler_type
    taker = f"`lr_scheduler_type: {name}`"
    if name in ("constant", "constant_with_warmup"):  # `get_scheduler` hands them nothing
        return {}, taker
    if name == "reduce_lr_on_plateau":
        known = parameters(("torch", "optim/lr_scheduler.py"), "ReduceLROnPlateau.__init__")
    elif name == "greedy":
        known = parameters(SCHEDULES, "GreedyLR.__init__")
    else:
        functions = functions_by_member(SCHEDULES, "TYPE_TO_SCHEDULER_FUNCTION")
        known = parameters(SCHEDULES, functions[enum_members(NAMES, "SchedulerType")[name]])
    given = ("self", "optimizer", "num_warmup_steps", "num_training_steps", "last_epoch")
    return _without(known, *given), taker


def optimizer_function(optim: str | None) -> str:
    """Names the function of transformers that makes an optimizer; None stands for its default.

    Example:
        >>> optimizer_function("sgd")
        '_get_sgd'
    """
    member = enum_members(ARGUMENTS, "OptimizerNames").get(optim or "adamw_torch", "")
    return functions_by_member(OPTIMIZERS, "_OPTIMIZER_HANDLERS").get(member, "")


def _of_optimizer(settings: Any) -> tuple[Known | None, str]:
    name = settings.optim
    taker = f"`optim: {name}`" if name else "the default `optim`"
    function = optimizer_function(name)
    if not function or (name or "").startswith("rmsprop_bnb"):  # hands all of them on
        return None, taker
    return _any(keys_read(OPTIMIZERS, function, "optim_args")), taker


def _of_generation(settings: Any) -> tuple[Known | None, str]:
    if not settings.use_vllm:
        own = keys_read(GENERATION, "GenerationConfig.__init__", "kwargs")
        public = {name for name in own if not name.startswith("_")}
        return _any(public - {"disable_compile"}), "transformers' `GenerationConfig`"
    if find_spec("vllm") is None:
        return None, ""
    return class_fields(("vllm", "sampling_params.py"), "SamplingParams"), "vLLM's `SamplingParams`"


def _of_checkpointing(settings: Any) -> tuple[Known, str]:
    known = parameters(("torch", "utils/checkpoint.py"), "checkpoint")
    own = parameters(("transformers", "modeling_utils.py"), "PreTrainedModel.gradient_checkpointing_enable")
    every = _without(own, "self", "gradient_checkpointing_kwargs")
    return _without(known, "function", "context_fn") | every, "torch's `checkpoint`"


def _of_fsdp(settings: Any) -> tuple[Known, str]:
    if not settings.fsdp:
        raise ValueError("`fsdp_config` is read only with `fsdp: true`. Set it, or remove the block.")
    known = keys_read(ARGUMENTS, "TrainingArguments._process_fsdp_args", "fsdp_config")
    return _any(known | {f"fsdp_{name}" for name in known}), "`fsdp: true`"


BLOCKS: dict[str, Callable[[Any], tuple[Known | None, str]]] = {
    "lr_scheduler_kwargs": _of_schedule,
    "optim_args": _of_optimizer,
    "generation_kwargs": _of_generation,
    "gradient_checkpointing_kwargs": _of_checkpointing,
    "fsdp_config": _of_fsdp,
    "accelerator_config": lambda settings: (
        class_fields(("transformers", "trainer_pt_utils.py"), "AcceleratorConfig"),
        "accelerate's `AcceleratorConfig`",
    ),
    "transformers_continuous_batching_config": lambda settings: (
        class_fields(GENERATION, "ContinuousBatchingConfig"),
        "transformers' `ContinuousBatchingConfig`",
    ),
    **dict.fromkeys(OPEN_BLOCKS, lambda settings: (None, "")),
}
