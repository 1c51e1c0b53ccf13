"""Whether the model on this machine takes the keys of `model_init_kwargs`, and has experts where a loss needs them."""

import ast
import json
from pathlib import Path
from typing import Any

from align.checks.finding import Finding
from align.checks.model import model_folder
from align.recipe.recipe import Recipe
from align.recipe.rules import suggestion
from align.recipe.signatures import Source, class_fields, keys_read, parameters, source_tree

MODELS: Source = ("transformers", "modeling_utils.py")
AUTO: Source = ("transformers", "models/auto/auto_factory.py")
CONFIGS: Source = ("transformers", "configuration_utils.py")
OF_LOADING = {"code_revision", "experts_implementation", "attn_implementation", "low_cpu_mem_usage", "torch_dtype"}
OF_PROGRAMS = {"config", "state_dict", "output_loading_info"}  # take or give objects, which no recipe holds
OF_LABELS = {"num_labels", "id2label", "label2id", "problem_type", "output_attentions", "use_cache"}
KEY = "router_aux_loss_coef"
ROUTED = "output_router_logits"  # TRL 1.16 looks for it in the config once the model is loaded


def check_model_kwargs(recipe: Recipe) -> list[Finding]:
    """Finds keys that neither loading nor the model's config takes: they would end in an error of its class."""
    given = getattr(recipe.settings, "model_init_kwargs", None)
    if not isinstance(given, dict):
        return []
    config, known = config_keys(recipe.model.model_name_or_path)
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


def config_keys(model: str) -> tuple[str | None, set[str]]:
    """Reads the type of a model and the keys of its config; None where either is not known."""
    folder = model_folder(model)
    content: Any = None
    if folder is not None and (folder / "config.json").is_file():
        try:
            content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        except (ValueError, RecursionError):
            content = None
    if not isinstance(content, dict) or not isinstance(content.get("model_type"), str):
        return None, set()
    classes = _config_classes(content["model_type"])
    keys = {*content, *class_fields(CONFIGS, "PreTrainedConfig"), *OF_LABELS}
    return (content["model_type"] if classes else None), keys.union(*classes)


def _config_classes(model_type: str) -> list[set[str]]:
    """Lists the fields of each config class of a model type; empty if one inherits from another model's."""
    package = model_type.replace("-", "_")
    source = ("transformers", f"models/{package}/configuration_{package}.py")
    if not package.isidentifier() or not _exists(source):
        return []
    found = []
    for node in source_tree(source).body:
        if isinstance(node, ast.ClassDef) and node.name.endswith("Config"):
            if [getattr(base, "id", "") for base in node.bases] != ["PreTrainedConfig"]:
                return []
            found.append(set(class_fields(source, node.name)))
    return found


def _exists(source: Source) -> bool:
    import importlib.util

    spec = importlib.util.find_spec(source[0])
    return spec is not None and Path(next(iter(spec.submodule_search_locations or [""])), source[1]).is_file()


def check_experts(recipe: Recipe) -> list[Finding]:
    """Finds a weight of that loss for a model which is no mixture of experts; one with images is left to TRL."""
    weight = getattr(recipe.settings, KEY, None)
    kind, keys = config_keys(recipe.model.model_name_or_path) if weight else (None, set())
    if kind is None or {ROUTED, "text_config"} & keys:
        return []
    text = (
        f"`{KEY}: {weight:g}` weighs the load-balancing loss of a mixture of experts, and a model of type {kind} is "
        "none. Remove it."
    )
    return [Finding("error", "model", text)]
