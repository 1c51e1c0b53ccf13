"""What an audit found, as `audit.json` keeps it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from align.auditing.attributes import AttributeFinding
from align.auditing.cues import Cues
from align.auditing.masks import MaskFinding
from align.auditing.row_findings import RowFinding
from align.auditing.traces import TraceFinding
from align.secrets import mask
from align.whole_files import write_whole

VERSION = 1
AUDIT_FILE = "audit.json"


@dataclass(frozen=True)
class FileCount:
    """What was read of a file.

    Attributes:
        file: As given.
        use: `training` or `evaluation`.
        read: Rows.
        unusable: Rows left out of everything, by rule.
        problems: The first of them, in words.
    """

    file: str
    use: str
    read: int
    unusable: dict[str, int]
    problems: list[str]


@dataclass(frozen=True)
class AuditRecord:
    """One audit.

    Attributes:
        kind: Of the rows.
        files: What was read.
        num_rows: Rows for training that can be used.
        num_distinct: Rows that cues are counted over.
        rows: What comparing them found.
        cues: What goes with a label; None where nothing could be tested.
        mask: What the text of a column gives away; None if none was named, or nothing can be said.
        attributes: Which pairs of attributes are rarely seen together; None likewise.
        traces: How likely a student finds the traces; None likewise.
        sentences: What cannot be said, and why.
    """

    kind: str
    files: list[FileCount]
    num_rows: int
    num_distinct: int
    rows: list[RowFinding]
    cues: Cues | None
    mask: MaskFinding | None
    attributes: AttributeFinding | None
    traces: TraceFinding | None
    sentences: list[str]

    def counts(self) -> dict[str, int]:
        """Returns what can stop a pipeline, by name."""
        found = {each.name: each.count for each in self.rows}
        found["unusable"] = sum(sum(file.unusable.values()) for file in self.files)
        found["mask"] = int(self.mask is not None and self.mask.leaks)
        return found | {"cues": len(self.cues.found) if self.cues else 0}

    def write(self, folder: Path) -> Path:
        """Writes `audit.json`."""
        path = folder / AUDIT_FILE
        text = json.dumps(mask({"version": VERSION} | asdict(self)), indent=2, ensure_ascii=False)
        write_whole(path, text + "\n", errors="replace")
        return path
