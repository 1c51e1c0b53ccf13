"""What a set costs, told before it starts.

Hours are arithmetic: 6 operations for a weight and a token (4 with LoRA), 2 more for gradient checkpointing and 2 for
a reference, every sequence as long as `max_length`, at 40 % of the 312 TFLOPS of an A100. So they are a bound where
rows are shorter. Where a method generates they are of generation alone: a token of every completion takes as long as
the weights take to be read, at the 2.04 TB/s of an A100, and every completion is as long as it may be. Prompts, caches
and learning are not in them, as how long prompts are is not known before.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress

from align.assets import find_recipe
from align.models.model_files import ModelFiles
from align.recipe.recipe import Recipe, load_recipe
from scripts.papers.plan import Asked, Job, PaperSet

ROWS = 100_000
SPEED = 0.4 * 312e12  # operations a second of one GPU
BANDWIDTH = 2.039e12  # bytes a second of one GPU


def cost_of(paper: PaperSet, jobs: Sequence[Job], asked: Asked) -> Iterator[str]:
    """Yields what is run, what a step of it is, calls of the oracle, and GPU hours with their source."""
    stages = [stage for job in jobs for stage in job.stages]
    evaluations = [stage.words for stage in stages if stage.words[0] == "eval"]
    trained = {}
    for job in jobs:
        for stage in job.stages:
            if stage.words[0] == "train":
                words = stage.words[: stage.words.index("--resume")]
                name = job.name if stage.name == "train" else f"{job.name}/{stage.name}"
                trained[name] = load_recipe(find_recipe(words[1]), list(words[2:]))
    seeds = ", ".join(map(str, asked.seeds))
    yield f"{len(trained)} trainings, {len(evaluations)} evaluations; arms {', '.join(asked.arms)}; seeds {seeds}."
    if not asked.tiny and paper.batch:
        yield f"A step has {paper.batch} rows, of ACRE completions, on any number of GPUs: {paper.batch_of}."
    alike: dict[str, list[str]] = {}
    for name, recipe in trained.items():
        alike.setdefault(_step(recipe, asked.gpus), []).append(name)
    yield from (f"{', '.join(names)}: {step}." for step, names in alike.items())
    for prompt in dict.fromkeys(words[words.index("--prompt_template") + 1] for words in evaluations if
                                "--prompt_template" in words):  # fmt: skip
        yield f"Evaluations ask {prompt!r}."
    if asked.tiny or not trained:
        return
    rows, source = _rows(paper, asked)
    if paper.calls:
        yield f"{paper.calls * rows:,} calls of the oracle: {paper.calls} for each of {rows:,} rows ({source})."
    hours = 0.0
    for recipe in trained.values():
        size = ModelFiles.of(recipe).size
        of = recipe, float("nan") if size is None else size.parameters, asked.gpus
        hours += asked.gpus * (hours_of(*of) or hours_to_generate(*of))
    yield (
        f"At most {hours * rows / ROWS:,.0f} hours of an A100 for trainings, if each reads {rows:,} rows ({source}): "
        f"arithmetic of `scripts/papers/cost.py`. Evaluations come on top. The paper: {paper.hours}."
    )


def _step(recipe: Recipe, gpus: int) -> str:
    own = recipe.settings
    at_once, accumulated = own.per_device_train_batch_size, own.gradient_accumulation_steps
    length = f"epochs {own.num_train_epochs:g}" if own.max_steps < 1 else f"steps {own.max_steps}"
    return (
        f"GPUs x rows x accumulated {gpus} x {at_once} x {accumulated}, learning rate {own.learning_rate:g}, {length}"
    )


def _rows(paper: PaperSet, asked: Asked) -> tuple[int, str]:
    with suppress(OSError), open(asked.data / next(iter(paper.files)), "rb") as file:
        return sum(1 for _ in file), f"lines of {file.name}"
    return (paper.rows, "the paper's") if paper.rows else (ROWS, "a number to reckon with")


def hours_in_words(recipe: Recipe, parameters: int | None, gpus: int) -> str:
    """Writes the hours of a pass over `ROWS` rows."""
    if parameters is None:
        return "unknown"
    if (hours := hours_of(recipe, parameters, gpus)) is not None:
        return f"{hours:.1f}"
    return f"{hours_to_generate(recipe, parameters, gpus):.1f} to generate"


def hours_to_generate(recipe: Recipe, parameters: float, gpus: int) -> float:
    """Returns the hours in which weights in 16 bits are read once for each token of completions of `ROWS` rows.

    Each GPU writes the completions of one step of its own side by side.

    Example:
        >>> from types import SimpleNamespace as N
        >>> settings = N(num_generations=8, max_completion_length=1000, per_device_train_batch_size=2,
        ...              gradient_accumulation_steps=4)
        >>> round(hours_to_generate(N(settings=settings), 10**9, 1), 1)  # 1e8 readings of 2e9 bytes
        27.2
    """
    settings = recipe.settings
    beside = settings.per_device_train_batch_size * settings.gradient_accumulation_steps
    rounds = ROWS * settings.num_generations / (gpus * beside)
    return float(rounds * settings.max_completion_length * 2 * parameters / BANDWIDTH / 3600)


def hours_of(recipe: Recipe, parameters: float, gpus: int) -> float | None:
    """Bounds the hours of a pass over `ROWS` rows by the operations of full sequences; None where tokens are unknown.

    Example:
        >>> from types import SimpleNamespace as N
        >>> settings = N(max_length=1000, gradient_checkpointing=False)
        >>> recipe = N(settings=settings, method="sft", model=N(use_peft=False))
        >>> round(hours_of(recipe, 10**9, 1), 3)  # 6e17 operations at 124.8e12
        1.335
    """
    settings = recipe.settings
    length = getattr(settings, "max_length", None)
    if not length:
        return None
    operations = 4 if recipe.model.use_peft else 6
    operations += 2 * bool(settings.gradient_checkpointing) + 2 * (recipe.method == "rrpo")
    sequences = 2 if recipe.method in ("rrpo", "crome") else 1
    return operations * parameters * sequences * length * ROWS / (SPEED * gpus) / 3600
