"""What `align eval --reward_model` prints."""

from rich.markup import escape

from align.console import make_console, make_table
from align.evaluation.record.models import Measured, ModelsRecord
from align.evaluation.statistics.metrics import Estimate
from align.report.evaluation.shortcuts import (
    count_mined,
    count_slices,
    describe_position,
    mined_grid,
    phrase_grid,
    slice_grid,
    word_p_value,
)
from align.report.evaluation.view import Grid

TITLES = {
    "accuracy/": "accuracy, by category",
    "reward_bench_2/": "RewardBench 2, by subset",
    "accuracy_drop/": "accuracy lost to a change that leaves the meaning",
    "insertion/": "score gained by a phrase in front, in mean margins",
    "best_of_": "true quality of the best of n",
}
_MOST_ROWS = 12


def show(record: ModelsRecord) -> None:
    """Prints what was measured, with 95 % intervals."""
    models = record.models
    first, *others = models
    table = make_table("95 % intervals over items")
    for name in [*models, *(f"{first} - {other}" for other in others)]:
        table.add_column(name, justify="right", overflow="fold")
    table.add_column("items", justify="right")
    titled: set[str] = set()
    for metric, estimate in models[first].summary.items():
        prefix = next((prefix for prefix in TITLES if metric.startswith(prefix)), None)
        if prefix is not None and prefix not in titled:
            titled.add(prefix)
            table.add_row(f"[dim]{TITLES[prefix]}[/dim]")
        label = metric if prefix is None else f"  {metric.removeprefix(prefix)}"
        cells: list[Estimate | None] = [model.summary.get(metric) for model in models.values()]
        cells += [models[first].difference_to[other].get(metric) for other in others]
        table.add_row(label, *("" if cell is None else str(cell) for cell in cells), f"{estimate.n:,}")
    console = make_console(least=max(110, 30 + 26 * (2 * len(models))))
    console.print(table)
    for name, model in models.items():
        if model.insertion is not None:
            tests = model.insertion.kinds
            values = {kind: word_p_value(each.adjusted_p_value, ".3f") for kind, each in tests.items()}
            kinds = ", ".join(f"{kind} {value}" for kind, value in values.items())
            console.print(f"{name}: inserted phrases unlike neutral ones, adjusted p: {kinds}")
    for name, model in models.items():
        scored = model.scored
        if scored is not None:
            for missing, why, _ in scored.unscored.reasons():
                pairs = "pair is" if missing == 1 else "pairs are"
                console.print(f"{name}: {missing:,} {pairs} {why}, and left out")
        if model.scored is not None and model.scored.texts_in_template:
            console.print(f"{name}: prompts got its chat template; if it learnt from texts, `--prompt_format data`")
        show_shortcuts(name, model)


def show_shortcuts(name: str, measured: Measured) -> None:
    """Prints what was found of one model."""
    if measured.slices is not None:
        slices = measured.slices
        _print(f"{name}: {count_slices(slices)}", slice_grid(slices, _MOST_ROWS), len(slices.found))
    if measured.phrases is not None:
        phrases = measured.phrases
        title = f"{name}: phrases of the file, {describe_position(phrases.position)}"
        _print(title, phrase_grid(phrases, _MOST_ROWS), len(phrases.phrases))
    if measured.mined is not None:
        _print(f"{name}: {count_mined(measured.mined)}", mined_grid(measured.mined), len(measured.mined.phrases))


def _print(title: str, grid: Grid, num: int) -> None:
    console = make_console(least=160)
    console.print(f"\n{escape(title)}", soft_wrap=True)
    if not grid.rows:
        return
    table = make_table(*grid.columns)
    for row in grid.rows:
        table.add_row(*map(escape, row))
    console.print(table)
    if num > len(grid.rows):
        console.print(f"and {num - len(grid.rows):,} more in the report")
