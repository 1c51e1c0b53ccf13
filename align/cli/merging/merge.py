"""`align merge`: one merged model, or several that are evaluated beside their parents."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from align.console import say
from align.errors import UserError
from align.models.merging.alphas import read_alphas

_OF_EVALUATION = ("data", "adapter", "suite", "drift", "pick", "keep_all")


def run(options: Mapping[str, Any], out: Path, given: set[str]) -> None:
    """Merges, and evaluates where there is data.

    Args:
        options: Value of every option.
        out: Where to.
        given: Names of those that the command line named.
    """
    from align.cli.merging.sweep import sweep
    from align.data.kinds import first_columns
    from align.evaluation.merging import read_rule
    from align.evaluation.policies.suite import check_names
    from align.evaluation.suites import ROW_SUITES
    from align.models.merging.merge import check_extra, merge
    from align.models.merging.parents import find_parents

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError("`align merge` runs in one process. Leave `accelerate launch` out.")
    has_data = options["data"] is not None
    alphas = read_alphas(options["alpha"] or (("0:1:0.1",) if has_data else ("0.5",)))
    if not has_data and (wrong := sorted(given & {*_OF_EVALUATION} - {"data"})):
        raise UserError(f"`--{wrong[0]}` needs `--data`, which merged models are evaluated on.")
    if own := [name for name in options["suite"] if name in ROW_SUITES]:
        raise UserError(
            f"`--suite {own[0]}` has rows of its own, and merged models are compared on questions. Leave it out here, "
            "and give it to `align eval`."
        )
    if options["suite"]:
        check_names(options["suite"])
    rule = None if options["pick"] is None else read_rule(options["pick"])
    if options["keep_all"] and rule is None:
        raise UserError(
            "`--keep_all` says what happens to models that `--pick` does not take. Leave it out: all stay."
        )
    check_extra(options["tuned"])
    if has_data:
        first_columns(
            options["data"], options.get("split")
        )  # a file that is not there is told before models are merged
    parents = find_parents(options["base"], options["tuned"])
    inner = [alpha for alpha in alphas if not has_data or 0 < alpha < 1]
    folders = {alpha: out if len(alphas) == 1 and not has_data else out / f"alpha-{alpha:g}" for alpha in inner}
    _check_room(parents.tuned_folder, out, len([each for each in folders.values() if not each.exists()]))
    for alpha, folder in folders.items():
        was_there = merge(parents, alpha, folder)
        say(f"{folder}: {alpha:g} of {parents.tuned.path}, {1 - alpha:g} of {parents.base.path}"
            f"{', as it was' if was_there else ''}.")  # fmt: skip
    if has_data:
        places = {0.0: parents.base.path} | {alpha: str(folder) for alpha, folder in folders.items()}
        sweep(options, given, places | {1.0: parents.tuned.path}, out, rule)


def _check_room(folder: Path, out: Path, count: int) -> None:
    from align.runs.room import free_bytes, size_of, words

    needed, free = count * size_of(folder), free_bytes(out)
    if needed > free:
        raise UserError(
            f"{count} merged models take about {words(needed)}, and {out} has {words(free)} free. Free room, or merge "
            "fewer weights with `--alpha`."
        )
