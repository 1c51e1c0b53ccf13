import json
import random
from pathlib import Path


def write_questions(path: Path, count: int = 40, gold: str | None = None) -> Path:
    """Writes questions with four numbers as options; the right one is drawn unless `gold` is given."""
    rng = random.Random(0)
    rows = (
        {
            "id": f"q{i}",
            "question": f"q{i}?",
            "options": [str(number) for number in rng.sample(range(100), 4)],
            "answer": gold or "ABCD"[i % 4],
        }
        for i in range(count)
    )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
