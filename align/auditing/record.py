"""What an audit found, as `audit.json` keeps it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from align.auditing.cues import Cues
from align.auditing.row_findings import RowFinding
from align.secrets import mask
from align.whole_files import write_whole

VERSION = 1
AUDIT_FILE = "audit.json"


@dataclass(frozen=True)
class FileCount:
    """What was read of a file."""

    file: str  # as given
    use: str  # `training` or `evaluation`
    read: int  # rows
    unusable: dict[str, int]  # rows left out of everything, by rule
    problems: list[str]  # the first of them, in words


@dataclass(frozen=True)
class AuditRecord:
    """One audit; a part is None where it was not asked for, or nothing could be tested."""

    kind: str
    files: list[FileCount]
    num_rows: int  # rows for training that can be used
    num_distinct: int  # rows that cues are counted over
    rows: list[RowFinding]  # what comparing them found
    cues: Cues | None  # what goes with a label
    sentences: list[str]  # what cannot be said, and why

    def counts(self) -> dict[str, int]:
        """Returns what can stop a pipeline, by name."""
        found = {each.name: each.count for each in self.rows}
        found["unusable"] = sum(sum(file.unusable.values()) for file in self.files)
        return found | {"cues": len(self.cues.found) if self.cues else 0}

    def write(self, folder: Path) -> Path:
        """Writes `audit.json`."""
        path = folder / AUDIT_FILE
        text = json.dumps(mask({"version": VERSION} | asdict(self)), indent=2, ensure_ascii=False)
        write_whole(path, text + "\n", errors="replace")
        return path
