"""The batch arithmetic of methods that sample completions, in words, and what they keep in memory."""

import math

from align.checks.finding import Finding
from align.checks.launch import Launch
from align.checks.memory import Footprint
from align.recipe.recipe import Recipe


def check_batch(recipe: Recipe, launch: Launch, num_questions: int) -> list[Finding]:
    """Says what one step and one generation are, and whether their numbers divide."""
    settings = recipe.settings
    per_device, accumulation = int(settings.per_device_train_batch_size), int(settings.gradient_accumulation_steps)
    generations = int(settings.num_generations)
    completions = per_device * launch.num_processes * accumulation
    spelled = (
        f"{per_device} per device x {launch.num_processes} process{'es' if launch.num_processes > 1 else ''} x "
        f"{accumulation} accumulation = {completions} completions"
    )
    generated, problem = _generation_batch(recipe, per_device * launch.num_processes, completions)
    if problem:
        return [problem]
    if generated % generations:
        nearest = max(generations, round(completions / generations) * generations)
        return [
            Finding(
                "error",
                "batch",
                f"One generation is {generated} completions, which `num_generations` = {generations} does not "
                f"divide ({spelled}). Change `per_device_train_batch_size` or `gradient_accumulation_steps` so that "
                f"the product is a multiple of {generations}, for example {nearest}.",
            )
        ]
    prompts = generated // generations
    per_generation = generated // (per_device * launch.num_processes)  # TRL's `steps_per_generation`
    epoch_batches = num_questions // prompts * int(recipe.settings.num_iterations) * per_generation
    epoch_steps = max(1, math.ceil(epoch_batches / accumulation))
    problem = _check_together(recipe, "rows_together", per_device, generations, times=per_generation)
    if problem:
        return [problem]
    numbers = {"completions_per_step": completions, "prompts_per_generation": prompts, "steps_per_pass": epoch_steps}
    findings = [
        Finding(
            "ok",
            "batch",
            f"One step: {spelled}; each generation asks {prompts} question{'s' if prompts > 1 else ''} {generations} "
            f"times. One pass over {num_questions} questions takes {epoch_steps} "
            f"step{'s' if epoch_steps > 1 else ''}.",
            numbers,
        )
    ]
    if num_questions < prompts:
        findings.append(
            Finding(
                "error",
                "batch",
                f"A step asks {prompts} questions and the data has {num_questions}. TRL would make no step. "
                f"Use a smaller batch or more data.",
            )
        )
    together = per_generation * int(recipe.settings.num_iterations)
    findings += _check_saves(recipe, together // math.gcd(together, accumulation))
    return findings + _check_eval_batch(recipe, launch)


def _check_together(recipe: Recipe, name: str, batch: int, generations: int, times: int = 1) -> Finding | None:
    """Finds rows that rewards have to see in one call and that a process does not generate together."""
    together = getattr(recipe.dataset, name, 1)
    whole = together * generations
    if together == 1 or batch * times % whole == 0:
        return None
    key = "per_device_eval_batch_size" if name.startswith("eval") else "per_device_train_batch_size"
    step = whole // math.gcd(whole, times)
    text = (
        f"`dataset` asks each row {together} times (`perturb`, or several wordings), which the rewards have to see in "
        f"one call: with {generations} completions each that is a multiple of {whole}, and one process generates "
        f"{batch * times} at once. Change `{key}`, for example to {max(1, round(batch / step)) * step}."
    )
    return Finding("error", "batch", text, {"together": together})


def _check_saves(recipe: Recipe, steps: int) -> list[Finding]:
    """Completions that later steps would still use are not in a checkpoint."""
    saves, evaluates = recipe.settings.save_strategy, recipe.settings.eval_strategy
    key = "save_steps"
    if saves == "best":  # after an evaluation
        saves, key = evaluates, "eval_steps" if recipe.settings.eval_steps else "logging_steps"
    every = float(getattr(recipe.settings, key))
    if saves != "steps" or every < 1 or int(every) % steps == 0:
        return []
    text = (
        f"`{key}: {int(every)}` saves while completions are still in use: {steps} steps learn from one "
        f"generation, and a run that goes on from there draws new ones. Use a multiple of {steps}, so that it "
        "ends like an uninterrupted one."
    )
    return [Finding("warning", "batch", text, {"steps_per_generation": steps})]


def _check_eval_batch(recipe: Recipe, launch: Launch) -> list[Finding]:
    """TRL wants whole groups in an evaluation batch of all devices."""
    generations = int(recipe.settings.num_generations_eval or recipe.settings.num_generations)
    batch = int(recipe.settings.per_device_eval_batch_size) * launch.num_processes
    if recipe.settings.eval_strategy == "no":
        return []
    if batch % generations == 0:
        per_device = int(recipe.settings.per_device_eval_batch_size)
        problem = _check_together(recipe, "eval_rows_together", per_device, generations)
        return [problem] if problem else []
    text = (
        f"An evaluation batch of all devices is {batch} completions, which {generations} generations do not divide. "
        f"Change `per_device_eval_batch_size`, or set `num_generations_eval`."
    )
    return [Finding("error", "batch", text)]


def _generation_batch(recipe: Recipe, global_batch: int, completions: int) -> tuple[int, Finding | None]:
    steps, size = recipe.settings.steps_per_generation, recipe.settings.generation_batch_size
    if steps and size:
        text = "`steps_per_generation` and `generation_batch_size` say the same thing twice. Keep one."
        return completions, Finding("error", "batch", text)
    if size and size % global_batch:
        text = f"`generation_batch_size` = {size} must be a multiple of the batch of all devices, {global_batch}."
        return completions, Finding("error", "batch", text)
    return (size or (steps * global_batch if steps else completions)), None


def footprint(recipe: Recipe) -> Footprint:
    """Says what sampling and the KL to a reference keep in memory."""
    logits = int(recipe.settings.per_device_train_batch_size) * int(recipe.settings.max_completion_length)
    return Footprint(
        f"Activations and the logits of {logits:,} completion tokens",
        keeps_reference=bool(recipe.settings.beta) and not recipe.model.use_peft,
    )
