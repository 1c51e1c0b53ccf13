"""The report of a folder, whatever wrote it."""

from pathlib import Path

from align.evaluation.record import EVALUATION_FILE, read_record
from align.evaluation.record.models import ModelsRecord
from align.report.evaluation import build_evaluation_report
from align.report.page import build_comparison, build_report

_LOG = "metrics.jsonl"


def build_any_report(folder: Path) -> Path:
    """Writes the report of a training run, of an evaluation, or of runs side by side with their evaluation.

    A folder with a log is a run, also if an evaluation of it lies beside the log. A folder with `evaluation.json` and
    run folders in it is a comparison, such as the quickstart writes.

    Raises:
        RunFolderError: If the folder is none of these, or a file is broken.
    """
    if (folder / _LOG).exists() or not (folder / EVALUATION_FILE).exists():
        return build_report(folder)
    runs = sorted(path.parent for path in folder.glob(f"*/{_LOG}"))
    if not runs:
        return build_evaluation_report(folder)
    record = read_record(folder / EVALUATION_FILE)
    short = record if isinstance(record, ModelsRecord) else None
    names = {name.lower(): name for name in short.models} if short else {}
    return build_comparison({names.get(run.name, run.name): run for run in runs}, short, folder / "report.html")
