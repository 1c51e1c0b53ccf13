"""Prompts: read, validated row by row, put to the rewards; one step over them, and what stays in memory."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast

from align.checks.counts import check_counts
from align.checks.finding import Finding
from align.checks.images import check_images
from align.checks.launch import Launch
from align.checks.lengths import check_lengths, leave_out_long
from align.checks.memory import Footprint
from align.checks.rewards import check_rewards
from align.data.problems import DataReport
from align.data.prompt_rows import PromptReport, PromptRow, load_prompts, prompts_to_rows
from align.data.questions.rows import shuffled
from align.data.row_templates import RowTemplate, template_of
from align.data.training_data import Rows, TrainingData, load_training_data
from align.data.versions import FAMILY, ORIGIN, perturb_rows, word_in_turn
from align.methods.rollouts.without_labels import check_labels
from align.recipe.dataset import PromptDatasetConfig
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import Reward
from rewards.running.contract.signature import read_parameters
from rewards.running.protocol import reward_name
from rewards.scoring.perturbations import ORIGINAL


def load(recipe: Recipe) -> TrainingData[PromptRow]:
    """Reads the prompts of a recipe, or makes them, with the versions that it asks for."""
    data = cast(PromptDatasetConfig, recipe.dataset)
    template = template_of(data)

    def read(source: PromptDatasetConfig) -> tuple[Sequence[PromptRow], PromptReport]:
        given: dict[str, Any] = {"template": template_of(source), "has_labels": source.labels == "given"}
        found = load_prompts(source.path, media=source, **given, **source.reading)
        return leave_out_long(recipe, source, found, prompts_to_rows)

    def to_rows(prompts: Sequence[PromptRow], once: bool = data.shuffle_options is True) -> Rows:
        rows = prompts_to_rows(prompts)
        if template is None or not once:  # others are drawn by the trainer
            return rows
        return [shuffled(row, template.render, f"{data.seed}/{row['id']}") for row in rows]

    shuffles = partial(to_rows, once=data.kind == "questions")
    found = load_training_data(data, read, to_rows, to_eval_rows=prompts_to_rows, to_probe_rows=shuffles)
    return add_versions(found, data, template)


def check(
    recipe: Recipe,
    data: TrainingData[PromptRow],
    rewards: Sequence[Reward],
    *,
    is_rewarded: bool = False,
    trial_columns: Mapping[str, Any] | None = None,
) -> list[Finding]:
    """Counts prompts, tries every reward on responses to some of them, and measures lengths."""
    findings = check_counts(recipe, data.report, len(data.eval_rows), data.eval_report)
    findings += check_versions(recipe, data, rewards) + check_labels(recipe, data, rewards)
    forms = {isinstance(row["prompt"], str) for row in (*data.rows, *data.eval_rows)}
    if len(forms) > 1:
        text = "Some prompts are texts and some are messages, and TRL reads one form. Write all of them in one."
        return [*findings, Finding("error", "data", text)]
    if not recipe.reward_specs and not is_rewarded:
        text = "`reward_funcs` names no reward, and GRPO learns from nothing else. Name at least one."
        return [*findings, Finding("error", "rewards", text)]
    if rewards:  # else it was said why there are none
        rows = [row | dict(trial_columns) for row in data.rows] if trial_columns else data.rows
        findings += check_rewards(recipe, rewards, rows)
    images = check_images(recipe, data.rows)
    return findings + images.findings + check_lengths(recipe, data.rows, images.tokens)


def add_versions(
    data: TrainingData[Any], block: PromptDatasetConfig, template: RowTemplate | None
) -> TrainingData[Any]:
    """Makes the versions of rows that a `dataset` block asks for, and counts rows that cannot be changed."""
    if template is not None and len(template.wordings) > 1:
        rows, eval_rows = (word_in_turn(each, template) for each in (data.rows, data.eval_rows))
        return data._replace(rows=rows, eval_rows=eval_rows)
    if not block.perturb and not block.eval_perturb:
        return data
    seed = block.perturb_seed
    rows, unchanged = perturb_rows(data.rows, block.perturb or [], template, seed=seed)
    cast(PromptReport, data.report).num_unchanged = dict(unchanged)
    if not data.eval_rows:
        return data._replace(rows=rows)
    eval_rows, unchanged = perturb_rows(data.eval_rows, block.eval_families, template, seed=seed)
    cast(PromptReport, data.eval_report).num_unchanged = dict(unchanged)
    return data._replace(rows=rows, eval_rows=eval_rows)


def rows_together(recipe: Recipe) -> dict[str, Any]:
    """Returns how many rows have to stay together, and how one is shown anew, in the words of `RowsTogether`."""
    data = cast(PromptDatasetConfig, recipe.dataset)
    counts = {name: getattr(data, name) for name in ("rows_together", "eval_rows_together")}
    if data.shuffle_options not in ("every_visit", "within_group"):
        return counts
    return counts | {"show_anew": showing(data), "within_group": data.shuffle_options == "within_group"}


def showing(data: PromptDatasetConfig) -> Callable[[Mapping[str, Any], str], Any] | None:
    """Returns what shows a row's options in an order drawn for a visit; None where no template shows any."""
    template = template_of(data)
    return partial(_show_anew, template.render, data.seed) if template and data.kind == "questions" else None


def _show_anew(render: Callable[[Mapping[str, Any]], Any], seed: int, row: Mapping[str, Any], visit: str) -> Any:
    return shuffled(row, render, f"{seed}/{row['id']}/{visit}")


def check_versions(recipe: Recipe, data: TrainingData[Any], rewards: Sequence[Reward]) -> list[Finding]:
    """Says what versions were made, which rows are left out, and whether a reward compares them."""
    block = cast(PromptDatasetConfig, recipe.dataset)
    findings = _describe("training", data.rows, data.report, block.rows_together)
    findings += _describe("evaluation", data.eval_rows, data.eval_report, block.eval_rows_together)
    if (block.perturb or block.eval_perturb) and rewards and not any(map(_reads(ORIGIN), rewards)):
        text = (
            "`dataset.perturb` makes versions of each row, and no reward reads `origin` to compare the answers to "
            "them. Add `perturbation_consistency`, or remove the key."
        )
        findings.append(Finding("warning", "data", text))
    trained = rewards[: len(recipe.reward_funcs)]
    name = next((reward_name(cast(Any, reward)) for reward in trained if _reads(FAMILY)(reward)), None)
    if block.perturb and name and recipe.settings.scale_rewards in ("group", True):
        text = (
            f"`{name}` gives all right responses to one prompt the same, and `scale_rewards: group` divides that out "
            "again. Set `scale_rewards: batch` or `none`, with which a prompt whose right answers do not survive a "
            "version pulls less."
        )
        findings.append(Finding("warning", "rewards", text))
    return findings


def _describe(what: str, rows: Rows, report: DataReport | None, together: int) -> list[Finding]:
    if together == 1 or report is None:
        return []
    families = list(dict.fromkeys(row[FAMILY] for row in rows if row.get(FAMILY, ORIGINAL) != ORIGINAL))
    how = f"as they are, and perturbed ({', '.join(families)})" if families else "in each wording"
    text = f"{len(rows) // together:,} rows for {what} are asked {together} times, {how}, next to each other."
    numbers = {"rows": len(rows), "together": together}
    findings = [Finding("ok", "data", text, numbers)]
    unchanged = cast(PromptReport, report).num_unchanged
    if unchanged:
        counts = ", ".join(f"{count:,} by {family}" for family, count in unchanged.items())
        text = (
            f"Rows for {what} are left out that a family of `perturb` cannot change without changing what they ask: "
            f"{counts}. The reward needs all versions of a row."
        )
        findings.append(Finding("warning", "data", text, dict(unchanged)))
    return findings


def _reads(column: str) -> Callable[[Reward], bool]:
    return lambda reward: not isinstance(reward, str) and column in read_parameters(reward).columns


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
        text = (
            f"One generation is {generated} completions, which `num_generations` = {generations} does not divide "
            f"({spelled}). Change `per_device_train_batch_size` or `gradient_accumulation_steps` so that the product "
            f"is a multiple of {generations}, for example {nearest}."
        )
        return [Finding("error", "batch", text)]
    prompts = generated // generations
    per_generation = generated // (per_device * launch.num_processes)  # TRL's `steps_per_generation`
    epoch_batches = num_questions // prompts * int(recipe.settings.num_iterations) * per_generation
    epoch_steps = max(1, math.ceil(epoch_batches / accumulation))
    problem = _check_together(recipe, "rows_together", per_device, generations, times=per_generation)
    if problem:
        return [problem]
    numbers = {"completions_per_step": completions, "prompts_per_generation": prompts, "steps_per_pass": epoch_steps}
    text = (
        f"One step: {spelled}; each generation asks {prompts} question{'s' if prompts > 1 else ''} {generations} "
        f"times. One pass over {num_questions} questions takes {epoch_steps} step{'s' if epoch_steps > 1 else ''}."
    )
    findings = [Finding("ok", "batch", text, numbers)]
    if num_questions < prompts:
        text = f"A step asks {prompts} questions and the data has {num_questions}. TRL would make no step. "
        findings.append(Finding("error", "batch", f"{text}Use a smaller batch or more data."))
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
