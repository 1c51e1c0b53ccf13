"""The batch arithmetic of a method, in words."""

import math

from align.checks.finding import Finding
from align.checks.launch import Launch
from align.recipe.recipe import Recipe


def check_rows(recipe: Recipe, launch: Launch, num_rows: int, name: str, detail: str, sequences: int) -> list[Finding]:
    """Says what one step is, of so many rows that are called `name`; `detail` follows their number."""
    settings = recipe.settings
    per_device, accumulation = int(settings.per_device_train_batch_size), int(settings.gradient_accumulation_steps)
    processes = launch.num_processes
    together, rows = per_device * processes, per_device * processes * accumulation
    dropped = recipe.settings.dataloader_drop_last
    batches = num_rows // together if dropped else math.ceil(num_rows / together)
    if batches == 0 and not getattr(recipe.dataset, "streaming", False):
        text = f"A batch of all devices is {together} {name}, the data has {num_rows}. Use a smaller one or more data."
        return [Finding("error", "batch", text)]
    steps = math.ceil(batches / accumulation)
    text = (
        f"One step: {per_device} per device x {processes} process{'es' if processes > 1 else ''} x {accumulation} "
        f"accumulation = {rows} {name}{detail}."
    )
    if getattr(recipe.dataset, "streaming", False):
        return [Finding("ok", "batch", text, {f"{name}_per_step": rows, "sequences_per_step": sequences * rows})]
    text += f" One pass over {num_rows} {name} takes {steps} step{'s' if steps > 1 else ''}."
    numbers = {f"{name}_per_step": rows, "sequences_per_step": sequences * rows, "steps_per_pass": steps}
    return [Finding("ok", "batch", text, numbers)]
