"""Reward models among a recipe's rewards: folders or hub ids, which TRL loads, shards and calls itself."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from align.checks.finding import Finding
from align.data.conversations import message_text
from align.data.tables.outcome_rows import SCALE_FILE
from align.models.model_files import damages
from align.models.pretrained import pickled_weights

# transformers 5.17 loads such a folder without its score head and leaves a random one, with a warning only.
ADAPTER = (
    "the folder is an adapter, and TRL would load it with a random score head. Merge it into its model first: "
    '`AutoPeftModelForSequenceClassification.from_pretrained("{folder}", num_labels=1).merge_and_unload()'
    ".save_pretrained(FOLDER)`, and save the tokenizer beside it."
)

PREFIXED = (
    "it was trained with the confounders before the text (`estimator: input`), and no reward call adds them. Write "
    "{prefix!r} before every prompt, or train it with another estimator."
)


def check_reward_model(spec: str, path: str, prompts: Sequence[Any] = ()) -> list[Finding]:
    """Reads the configuration of a reward model; its weights are not loaded.

    Args:
        spec: As the recipe names it.
        path: Folder, or hub id.
        prompts: Some that it will read.
    """
    folder = Path(path)
    if not folder.is_dir():
        return [Finding("warning", "rewards", f"{spec} is not on this machine; it is not checked.")]
    problem = _problem(folder)
    if problem:
        return [Finding("error", "rewards", f"{spec}: {problem}")]
    prefix = _prefix(folder)
    if any(not _text(prompt).startswith(prefix) for prompt in prompts):
        return [Finding("error", "rewards", f"{spec}: {PREFIXED.format(prefix=prefix)}")]
    return [Finding("ok", "rewards", f"{spec} is a reward model with one score.")]


def _prefix(folder: Path) -> str:
    """Returns what the model of a recipe with `estimator: input` reads before every prompt."""
    file = folder / SCALE_FILE
    return str(json.loads(file.read_text(encoding="utf-8"))["prefix"]) if file.is_file() else ""


def _text(prompt: Any) -> str:
    return prompt if isinstance(prompt, str) else message_text(prompt[-1])


def _problem(folder: Path) -> str | None:
    if pickled := pickled_weights(str(folder)):
        return pickled
    if (folder / "adapter_config.json").is_file():
        return ADAPTER.format(folder=folder)
    if not (folder / "config.json").is_file():
        return "the folder has no config.json. Name the folder a training run wrote."
    if not (folder / "tokenizer_config.json").is_file():
        return "the folder has no tokenizer. Save one into it (`tokenizer.save_pretrained(FOLDER)`)."
    if found := damages(folder):
        return found[0]
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if config.get("truealign_pairwise"):
        return "a pairwise model compares two answers and rewards none. Train one with `model_type: scalar`."
    labels, classes = len(config.get("id2label") or ()) or config.get("num_labels", 2), config.get("architectures")
    if labels != 1 or not str((classes or [""])[0]).endswith("ForSequenceClassification"):
        return f"a reward model is a sequence classifier with one label, this is {classes} with {labels}."
    if config.get("pad_token_id") is None and config.get("text_config", {}).get("pad_token_id") is None:
        return "config.json has no `pad_token_id`, so the last token of a padded answer cannot be found. Set it."
    return None
