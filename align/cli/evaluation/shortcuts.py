"""What `align eval --reward_model` says about slices and phrases, before and after."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape

from align.console import make_console, make_table
from align.data.pairs.phrases import check_position, load_phrases
from align.data.pairs.reward_bench import BenchPair
from align.errors import DataError, UserError
from align.evaluation.record.models import Measured
from align.evaluation.reward_models.mining import FEWEST_PROMPTS
from align.evaluation.reward_models.shortcuts import Shortcuts, ShortcutSettings
from align.evaluation.reward_models.slices import FEWEST_PAIRS
from align.report.evaluation.shortcuts import (
    count_mined,
    count_slices,
    describe_position,
    mined_grid,
    phrase_grid,
    slice_grid,
)
from align.report.evaluation.view import Grid
from align.whole_files import write_whole

PHRASES_FILE = "phrases.txt"
_MOST_ROWS = 12


def read_settings(options: Mapping[str, Any], given: set[str]) -> ShortcutSettings:
    """Reads what is looked for.

    Args:
        options: Value of every option.
        given: Names of those that the command line named.

    Raises:
        UserError: If options do not go together, or the file of phrases cannot be read.
    """
    check_position(options["position"])
    if options["mine"] and not options["slices"]:
        raise UserError("`--mine` takes its phrases from slices. Give `--slices` too.")
    if "position" in given and not (options["phrases"] or options["mine"]):
        raise UserError("`--position` says where phrases are put, and there are none. Give `--phrases` or `--mine`.")
    phrases = load_phrases(options["phrases"], "--phrases") if options["phrases"] is not None else []
    return ShortcutSettings(
        options["slices"], tuple(phrases), options["mine"], options["position"], options["probe_pairs"]
    )


def check_pairs(settings: ShortcutSettings, pairs: Sequence[BenchPair]) -> None:
    """Refuses data that slices and phrases can say nothing about, before a model is loaded.

    Raises:
        UserError: If there are no pairs.
        DataError: If there are too few of them.
    """
    asked = {"--mine": settings.mine, "--slices": settings.slices, "--phrases": bool(settings.phrases)}
    if (option := next((name for name, is_asked in asked.items() if is_asked), None)) is None:
        return
    if not pairs:
        raise UserError(f"`{option}` needs pairs, with one chosen and one rejected response. Give them as `--data`.")
    num_prompts = len({repr(pair.prompt) for pair in pairs})
    if settings.mine and num_prompts < FEWEST_PROMPTS:
        raise DataError(
            f"`--mine` needs pairs of {FEWEST_PROMPTS} prompts, half of them to find phrases and half to hold them "
            f"against; there are {num_prompts}. Give more pairs, or leave it out."
        )
    if settings.slices and len(pairs) < FEWEST_PAIRS:
        raise DataError(
            f"`--slices` needs {FEWEST_PAIRS} pairs, since no feature can be in enough of fewer; there are "
            f"{len(pairs)}. Give more pairs, or leave it out."
        )


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


def write_phrases(out: Path, found: Shortcuts | None) -> Path | None:
    """Writes the phrases that are kept, one a line; without any there is no file, nor one of an earlier run."""
    path = out / PHRASES_FILE
    if found is None or found.mined is None:
        return None
    if not found.mined.kept:
        path.unlink(missing_ok=True)
        return None
    write_whole(path, "".join(f"{phrase}\n" for phrase in found.mined.kept))
    return path


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
