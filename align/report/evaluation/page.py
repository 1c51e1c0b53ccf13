"""One HTML file about an evaluation."""

from pathlib import Path

from align.evaluation.record import EVALUATION_FILE, read_record
from align.evaluation.record.models import ModelsRecord
from align.evaluation.record.pairs import PairsRecord
from align.evaluation.record.policies import PolicyRecord
from align.evaluation.record.prompts import PromptsRecord
from align.evaluation.record.suites import SuiteRecord
from align.report.evaluation.pairs import pairs_view
from align.report.evaluation.policy import policy_view
from align.report.evaluation.prompts import prompts_view
from align.report.evaluation.reward_model import reward_model_view
from align.report.evaluation.suite import suite_view
from align.report.evaluation.view import EvaluationView
from align.report.page import write_page


def build_evaluation_report(folder: Path, out: Path | None = None) -> Path:
    """Writes the report of an evaluation.

    Args:
        folder: What `align eval` or `scripts/evaluate.py` wrote.
        out: The HTML file; `report.html` in the folder if not given.

    Returns:
        The file written.

    Raises:
        RunFolderError: If `evaluation.json` is missing, or a file is broken.
    """
    record = read_record(folder / EVALUATION_FILE)
    view: EvaluationView
    if isinstance(record, PolicyRecord):
        view = policy_view(folder, record)
    elif isinstance(record, PromptsRecord):
        view = prompts_view(folder, record)
    elif isinstance(record, PairsRecord):
        view = pairs_view(folder, record)
    elif isinstance(record, SuiteRecord):
        view = suite_view(folder, record)
    elif isinstance(record, ModelsRecord):
        view = reward_model_view(folder, record)
    else:
        raise TypeError(f"There is no page for a {type(record).__name__}.")
    return write_page("evaluation.html.j2", out or folder / "report.html", title=view.title, view=view)
