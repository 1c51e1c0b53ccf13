"""Whether a recipe's model is there and whole, and has what the recipe names of it."""

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from align.checks.finding import Finding
from align.models.at_hand import file_problem
from align.models.model_files import ModelFiles, file_problems
from align.recipe.fields import Source, class_fields, keys_read, parameters, source_tree
from align.recipe.recipe import Recipe
from align.recipe.rules import suggestion

ELSEWHERE = {"gguf_file", "subfolder", "variant"}  # keys of loading under which the files have other names


def check_model(recipe: Recipe, model: ModelFiles) -> list[Finding]:
    """Finds a model path that leads nowhere, or to pickled weights; a hub id may still be downloaded."""
    given = getattr(recipe.settings, "model_init_kwargs", None) or {}
    if given.get("use_safetensors", True) is not True:
        text = "`model_init_kwargs.use_safetensors` is always true here: pickled weights can run code. Remove the key."
        return [Finding("error", "model", text)]
    if model.pickled:
        return [Finding("error", "model", f"`model_name_or_path`: {model.pickled}")]
    if Path(model.name).is_dir():
        return _check_folder(recipe, Path(model.name), given)
    if problem := file_problem(model.name):
        return [Finding("error", "model", f"`model_name_or_path`: {problem}{_hint(model.name)}")]
    if model.is_hub_id:
        return []
    text = f"There is no folder {model.name}. Check `model_name_or_path`; `./x` is relative to the recipe."
    return [Finding("error", "model", text)]


def _hint(file: str) -> str:
    name = Path(file).name
    chosen = f" A GGUF file in it is chosen by `model_init_kwargs: {{gguf_file: {name}}}`."
    return chosen if name.endswith(".gguf") else ""


def _check_folder(recipe: Recipe, folder: Path, given: Mapping[str, Any]) -> list[Finding]:
    if ELSEWHERE & set(given):
        return []
    runs_code = True in (getattr(recipe.settings, "trust_remote_code", None), given.get("trust_remote_code"))
    writes_text = recipe.record.part("footprint")(recipe).has_lm_head
    problems = file_problems(folder, runs_code=runs_code, writes_text=writes_text)
    return [Finding("error", "model", f"`model_name_or_path`: {problem}") for problem in problems]


def check_adapter(recipe: Recipe, model: ModelFiles) -> list[Finding]:
    """Finds names of `lora_target_modules` that are no part of a name in the model's files.

    A pattern is left to peft, and so is `all-linear`. What is found is a warning, since transformers may join the
    modules of a file, as it does with experts.
    """
    targets = recipe.model.lora_target_modules
    if not recipe.model.use_peft or isinstance(targets, str):
        return []
    known = model.modules
    missing = [name for name in targets if known and not any(f".{each}".endswith(f".{name}") for each in known)]
    last = sorted({module.rpartition(".")[2] for module in known})
    return [
        Finding(
            "warning",
            "model",
            f"`lora_target_modules`: the model has no module called {name!r}, so no adapter would be put there. It "
            f"has {', '.join(last)}.{suggestion(name, last)}",
        )
        for name in missing
    ]


MODELS: Source = ("transformers", "modeling_utils.py")
AUTO: Source = ("transformers", "models/auto/auto_factory.py")
CONFIGS: Source = ("transformers", "configuration_utils.py")
OF_LOADING = {"code_revision", "experts_implementation", "attn_implementation", "low_cpu_mem_usage", "torch_dtype"}
OF_PROGRAMS = {"config", "state_dict", "output_loading_info"}  # take or give objects, which no recipe holds
OF_LABELS = {"num_labels", "id2label", "label2id", "problem_type", "output_attentions", "use_cache"}
KEY = "router_aux_loss_coef"
ROUTED = "output_router_logits"  # TRL 1.16 looks for it in the config once the model is loaded


def check_model_kwargs(recipe: Recipe, model: ModelFiles) -> list[Finding]:
    """Finds keys that neither loading nor the model's config takes: they would end in an error of its class."""
    given = getattr(recipe.settings, "model_init_kwargs", None)
    if not isinstance(given, dict):
        return []
    config, known = _config_keys(model)
    known |= _loading_keys()
    findings = []
    for name in given:
        if name in known:
            continue
        text = f"`model_init_kwargs.{name}` is no setting of loading"
        if config is None:
            text += ", and the model's own settings are not on this machine: training may stop when it loads."
            findings.append(Finding("warning", "model", text + suggestion(str(name), known)))
        else:
            text += f" or of a model of type {config}. Remove it.{suggestion(str(name), known)}"
            findings.append(Finding("error", "model", text))
    return findings


def _loading_keys() -> set[str]:
    named = parameters(MODELS, "PreTrainedModel.from_pretrained").keys() - {"cls", "pretrained_model_name_or_path"}
    read = keys_read(MODELS, "PreTrainedModel.from_pretrained", "kwargs")
    auto = keys_read(AUTO, "_BaseAutoModelClass.from_pretrained", "kwargs")
    return {name for name in {*named, *read, *auto} if not name.startswith("_")} - OF_PROGRAMS | OF_LOADING


def _config_keys(model: ModelFiles) -> tuple[str | None, set[str]]:
    """Reads the type of a model and the keys of its config; None where either is not known."""
    content = model.written_config
    if not isinstance(content.get("model_type"), str):
        return None, set()
    classes = _config_classes(content["model_type"])
    keys = {*content, *class_fields(CONFIGS, "PreTrainedConfig"), *OF_LABELS}
    return (content["model_type"] if classes else None), keys.union(*classes)


def _config_classes(model_type: str) -> list[set[str]]:
    """Lists the fields of each config class of a model type; empty if one inherits from another model's."""
    package = model_type.replace("-", "_")
    source = ("transformers", f"models/{package}/configuration_{package}.py")
    try:
        nodes = source_tree(source).body if package.isidentifier() else []
    except FileNotFoundError:
        return []
    found = []
    for node in nodes:
        if isinstance(node, ast.ClassDef) and node.name.endswith("Config"):
            if [getattr(base, "id", "") for base in node.bases] != ["PreTrainedConfig"]:
                return []
            found.append(set(class_fields(source, node.name)))
    return found


def check_experts(recipe: Recipe, model: ModelFiles) -> list[Finding]:
    """Finds a weight of that loss for a model which is no mixture of experts; one with images is left to TRL."""
    weight = getattr(recipe.settings, KEY, None)
    kind, keys = _config_keys(model) if weight else (None, set())
    if kind is None or {ROUTED, "text_config"} & keys:
        return []
    text = (
        f"`{KEY}: {weight:g}` weighs the load-balancing loss of a mixture of experts, and a model of type {kind} is "
        "none. Remove it."
    )
    return [Finding("error", "model", text)]
