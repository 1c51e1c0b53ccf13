"""Keys that other trainers and scripts have for what a recipe says in another word."""

from collections.abc import Collection

OTHER_WORDS = {
    "model": "model_name_or_path",
    "model_name": "model_name_or_path",
    "model_id": "model_name_or_path",
    "model_path": "model_name_or_path",
    "torch_dtype": "dtype",
    "lr": "learning_rate",
    "epochs": "num_train_epochs",
    "num_epochs": "num_train_epochs",
    "steps": "max_steps",
    "batch_size": "per_device_train_batch_size",
    "train_batch_size": "per_device_train_batch_size",
    "micro_batch_size": "per_device_train_batch_size",
    "eval_batch_size": "per_device_eval_batch_size",
    "grad_accum": "gradient_accumulation_steps",
    "group_size": "num_generations",
    "rollout_n": "num_generations",
    "kl_coef": "beta",
    "kl_beta": "beta",
    "kl_loss_coef": "beta",
    "rewards": "reward_funcs",
    "reward": "reward_funcs",
    "reward_fn": "reward_funcs",
    "reward_functions": "reward_funcs",
    "reward_model": "reward_funcs",
}
_SENTENCES = {
    "dataset_name": "The data are `dataset: {path: NAME}`, with `split` and `eval_path` in the same block.",
    "dataset_path": "The data are `dataset: {path: FILE}`.",
    "train_dataset": "The data are `dataset: {path: FILE}`.",
    "train_file": "The data are `dataset: {path: FILE}`.",
    "eval_dataset": "Rows to evaluate on are `dataset: {eval_path: FILE}`.",
    "dataset_config": "A subset is named in `dataset: {path: NAME:SUBSET}`.",
    "dataset_train_split": "The split is `dataset: {split: NAME}`.",
    "dataset_test_split": "The split is `dataset: {eval_split: NAME}`.",
    "datasets": "Several data sets are listed under `dataset.mix`.",
    "max_prompt_length": "TRL cuts no prompts; `align check` names those that do not fit.",
    "resume": "Where a run goes on is an option of the command: `align train RECIPE --resume auto`.",
    "time_limit": "It is an option of `align train`: `align train RECIPE --time_limit 3h50m`.",
    "allow_changed_data": "It is an option of `align train`.",
    "peft_config": "LoRA is `use_peft: true`, with `lora_r`, `lora_alpha` and `lora_target_modules`.",
}


def said_elsewhere(key: str, known: Collection[str]) -> str:
    """Words what a recipe says in place of a key from elsewhere, empty for a key that is not known.

    Example:
        >>> said_elsewhere("lr", {"learning_rate"})
        ' A recipe says `learning_rate`.'
    """
    if key in _SENTENCES:
        return f" {_SENTENCES[key]}"
    return f" A recipe says `{OTHER_WORDS[key]}`." if OTHER_WORDS.get(key) in known else ""
