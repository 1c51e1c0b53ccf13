"""Results that a lab keeps as they come, so that a run which was stopped goes on."""

import json
from pathlib import Path
from typing import Any


class KeptRuns:
    """Results by key, in a JSONL file where there is one; a last line that was cut off by a kill is left out."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._found: dict[str, Any] = {}
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()  # what cannot be written is said before minutes of work
            text = path.read_text(encoding="utf-8")
            whole = text[: text.rfind("\n") + 1]
            if whole != text:
                path.write_text(whole, encoding="utf-8")
            for line in whole.splitlines():
                entry = json.loads(line)
                self._found[entry["key"]] = entry["metrics"]

    def __contains__(self, key: str) -> bool:
        return key in self._found

    def __getitem__(self, key: str) -> Any:
        return self._found[key]

    def __setitem__(self, key: str, metrics: Any) -> None:
        self._found[key] = metrics
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"key": key, "metrics": metrics}) + "\n")
