"""Whether a run goes on, in words."""

from align.report.charts.panel import Metrics
from align.runs.progress import Progress, State


def describe(progress: Progress, metrics: Metrics) -> str:
    """Says how far a run is; nothing of one that is finished, or that is at its end by the steps it was asked for.

    Example:
        >>> describe(Progress(State.FINISHED, 100, ""), {})
        ''
    """
    last = max((int(series.steps[-1]) for series in metrics.values()), default=0)
    of = f" of {progress.steps:,}" if progress.steps is not None else ""
    if progress.state is State.RUNNING:
        return f"Still running: step {last:,}{of} when this page was written, at {progress.written}."
    if progress.state is State.CUT_SHORT and progress.steps is not None and last < progress.steps:
        rest = "`--resume auto` goes on where it left a checkpoint."
        return f"Not finished: nothing trains it after step {last:,}{of}. {rest}"
    return ""
