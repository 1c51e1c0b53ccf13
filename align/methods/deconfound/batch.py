from align.checks.batch import check_rows
from align.checks.finding import Finding
from align.checks.launch import Launch
from align.recipe.recipe import Recipe


def check_batch(recipe: Recipe, launch: Launch, num_texts: int) -> list[Finding]:
    """Says what one step over texts is, or what solving for the score head needs."""
    if recipe.settings.head == "ridge":
        return _check_ridge(recipe, launch, num_texts)
    return check_rows(recipe, launch, num_texts, "texts", "", 1)


def _check_ridge(recipe: Recipe, launch: Launch, num_texts: int) -> list[Finding]:
    if launch.zero_stage:
        text = "`head: ridge` needs whole weights, which DeepSpeed shards. Use one process, or `ds_configs/ddp.yaml`."
        return [Finding("error", "batch", text)]
    if recipe.model.use_peft:
        text = "`head: ridge` trains no weights, so an adapter would stay random. Set `use_peft: false`."
        return [Finding("error", "batch", text)]
    text = (
        f"The score head is solved for on all {num_texts} texts at once; `max_steps`, `learning_rate` and other "
        "settings of the optimizer are not used."
    )
    return [Finding("ok", "batch", text)]
