"""What an audit found, as `audit.json` keeps it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from align.auditing.attributes import AttributeFinding
from align.auditing.cues import Cues
from align.auditing.masks import MaskFinding
from align.auditing.row_findings import RowFinding
from align.auditing.trace_scores import TraceFinding
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
        sentences: What cannot be said, and why.
        mask: What the text of a column gives away; None if none was named, or nothing can be said.
        attributes: Which pairs of attributes are rarely seen together; None likewise.
        traces: How likely a student finds the traces; None likewise.
    """

    kind: str
    files: list[FileCount]
    num_rows: int
    num_distinct: int
    rows: list[RowFinding]
    cues: Cues | None
    sentences: list[str]
    mask: MaskFinding | None = None
    attributes: AttributeFinding | None = None
    traces: TraceFinding | None = None

    def counts(self) -> dict[str, int]:
        """Returns what can stop a pipeline, by name."""
        found = {each.name: each.count for each in self.rows}
        found["unusable"] = sum(sum(file.unusable.values()) for file in self.files)
        found["mask"] = int(self.mask is not None and self.mask.leaks)
        return found | {"cues": len(self.cues.found) if self.cues else 0}

    def as_json(self) -> dict[str, Any]:
        """Returns it as JSON has it."""
        cues = None
        if self.cues is not None:
            found = [
                asdict(cue) | {"information": cue.information._asdict() if cue.information else None}
                for cue in self.cues.found
            ]
            cues = asdict(self.cues) | {"found": found}
        return {
            "version": VERSION,
            "kind": self.kind,
            "files": [asdict(file) for file in self.files],
            "num_rows": self.num_rows,
            "num_distinct": self.num_distinct,
            "rows": [asdict(finding) for finding in self.rows],
            "cues": cues,
            "mask": asdict(self.mask) if self.mask else None,
            "attributes": asdict(self.attributes) if self.attributes else None,
            "traces": asdict(self.traces) if self.traces else None,
            "sentences": self.sentences,
        }

    def write(self, folder: Path) -> Path:
        """Writes `audit.json`."""
        path = folder / AUDIT_FILE
        text = json.dumps(mask(self.as_json()), indent=2, ensure_ascii=False)
        write_whole(path, text + "\n", errors="replace")
        return path
