"""Python and columns as people have them: results that print, sentences in a small install, names of others."""

import json
import subprocess
import sys
from pathlib import Path

import align

WITHOUT_TORCH = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
import align
try:
    align.evaluate.questions(model="here", data=sys.argv[1], out="there")
except ImportError as error:
    print(error)
"""


def written(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_an_evaluation_without_torch_is_a_sentence(tmp_path: Path) -> None:
    rows = written(tmp_path / "rows.jsonl", [{"question": "?", "options": ["tin", "iron"], "answer": 1}])
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH, str(rows)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("`align.evaluate.questions` needs torch")
    assert 'pip install "truealign[eval]"' in done.stdout


def test_a_comparison_prints_its_verdict(tmp_path: Path) -> None:
    logs = [tmp_path / name for name in ("a.csv", "b.csv")]
    for log, right in zip(logs, (0, 1), strict=True):
        log.write_text("id,acc\n" + "".join(f"{n},{n % 2 or right}\n" for n in range(40)))
    found = align.compare(*logs, out=tmp_path / "out", scores="acc", match="id")
    assert repr(found) == str(found)
    assert repr(found).startswith("`b.csv` is above `a.csv` in acc")


def test_columns_of_others_are_named_in_an_audit(tmp_path: Path) -> None:
    rows = [{"question": f"{n}?", "choices": ["tin", "iron"], "answerKey": "AB"[n % 2]} for n in range(8)]
    data = written(tmp_path / "rows.jsonl", rows)
    found = align.audit(data, out=tmp_path / "out", columns="{options: choices, answer: answerKey}")
    assert found.record.kind == "questions"
    assert sum(file.read - sum(file.unusable.values()) for file in found.record.files) == 8
