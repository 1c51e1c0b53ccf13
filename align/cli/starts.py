"""Where the runs of a recipe start, in the words of `align train` and `align check`."""

from collections.abc import Iterator, Sequence

from align.runs.stages import Stage, ToDo


def start_words(stages: Sequence[Stage], resume: str | None) -> Iterator[str]:
    """Words which checkpoint a command goes on from, and which it passes over.

    Args:
        stages: The runs of a recipe.
        resume: As on the command line.
    """
    for stage in stages:
        for path, wrong in stage.passed_over:
            yield f"{path.name} is passed over: {wrong}."
    first = next((stage for stage in stages if stage.todo is not ToDo.NOTHING), None)
    if first is None:
        yield from (f"{each.folder} holds a finished run; nothing is left to do." for each in stages)
    elif resume == "auto" and first.checkpoint is None:
        yield f"There is no checkpoint in {first.folder}: training starts at the beginning."
    elif first.checkpoint is not None and first.todo is ToDo.END:
        yield f"All steps of {first.folder} are made; model, card and report are written from {first.checkpoint.name}."
    elif first.checkpoint is not None:
        yield f"{first.folder} goes on from {first.checkpoint.name}."
