from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from align.models.samplers.sampler import Answer
from align.progress import Bars


class Bar:
    """One bar of progress."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task
        self._num_answers = self._num_tokens = 0

    def count(self, answer: Answer) -> None:
        """Counts an answer that was paid for."""
        self._num_answers += 1
        self._num_tokens += answer.prompt_tokens + answer.completion_tokens
        self._progress.update(self._task, num_answers=self._num_answers, num_tokens=self._num_tokens)

    def advance(self) -> None:
        """Counts one more thing as done."""
        self._progress.advance(self._task)


@contextmanager
def show_progress(description: str, total: int) -> Iterator[Bar]:
    """Draws a bar on stderr."""
    progress = Bars(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TextColumn("{task.fields[num_tokens]:,} tokens"),
        TimeRemainingColumn(),
    )
    with progress:
        yield Bar(progress, progress.add_task(description, total=total, num_answers=0, num_tokens=0))


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        # Over all of it: answers that come in batches make the rate of the moment jump.
        return Text(f"{task.fields['num_answers'] / task.elapsed:.1f} answers/s" if task.elapsed else "- answers/s")
