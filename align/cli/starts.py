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
    stage = next((stage for stage in stages if stage.todo is not ToDo.NOTHING), None)
    if stage is None:
        yield from (f"{each.folder} holds a finished run; nothing is left to do." for each in stages)
    elif resume == "auto" and stage.checkpoint is None:
        yield f"There is no checkpoint in {stage.folder}: training starts at the beginning."
    elif stage.checkpoint is not None and stage.todo is ToDo.END:
        yield f"All steps of {stage.folder} are made; model, card and report are written from {stage.checkpoint.name}."
    elif stage.checkpoint is not None:
        yield f"{stage.folder} goes on from {stage.checkpoint.name}."
