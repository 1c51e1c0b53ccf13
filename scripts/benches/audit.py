"""What `align audit` costs: seconds and memory of the exact part, of near duplicates, and of everything.

python -m scripts.benches.audit --rows 1000000 --part exact
python -m scripts.benches.audit --rows 200000 --part near
python -m scripts.benches.audit --rows 20000 --words 150 --part all
"""

import json
import random
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from align.auditing.cue_data import CueData
from align.auditing.reading import Reader, Source
from align.auditing.repeats import Seen, compare
from align.auditing.row_findings import describe_rows
from align.auditing.run import NearRows
from scripts.harness import Options

REPEATED = 100  # one row of so many is an earlier one again
NEARLY = 50  # and one is an earlier one but for its first word


def write_pairs(path: Path, num: int, words: int, seed: int = 0) -> None:
    """Writes pairs of about so many words a side."""
    draw = random.Random(seed)
    vocabulary = [f"word{i}" for i in range(5_000)]
    kept: list[dict[str, Any]] = []

    def text() -> str:
        return " ".join(draw.choices(vocabulary, k=draw.randint(max(1, words // 2), words + words // 2)))

    with path.open("w") as file:
        for i in range(num):
            if kept and i % REPEATED == 0:
                row = draw.choice(kept)
            elif kept and i % NEARLY == 1:
                row = draw.choice(kept)
                row = row | {"prompt": f"again {row['prompt']}"}
            else:
                row = {"prompt": f"question {i} {text()}", "chosen": text(), "rejected": text()}
            if len(kept) < 1_000:
                kept.append(row)
            file.write(json.dumps(row) + "\n")


def measure(path: Path, part: str) -> dict[str, Any]:
    """Reads a file and does one part of the audit."""
    start = time.perf_counter()
    train, cues = Seen("pairs"), CueData("pairs")
    near = NearRows() if part in ("near", "all") else None
    num_near = 0
    for _, entry in Reader(Source(str(path)), "pairs").read():
        train.add(entry)
        if part == "all":
            cues.add(entry)
        if near is not None:
            num_near += near.add(len(train) - 1, entry) is not None
    read = time.perf_counter() - start
    rows = compare(train)
    found = {each.name: each.count for each in describe_rows(train, None, rows)}
    if near is not None:
        found["near_duplicates"] = num_near
    if part == "all":
        tested = cues.find(train, rows)[0]
        found |= {"tested": tested.num_tested if tested else 0, "cues": len(tested.found) if tested else 0}
    return {
        "part": part,
        "rows": len(train),
        "seconds": round(time.perf_counter() - start, 1),
        "seconds_reading": round(read, 1),
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "found": found,
    }


def main(words: Sequence[str] | None = None) -> int:
    """Prints the numbers."""
    parser = Options(__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--words", type=int, default=8, help="of a text, in the mean")
    parser.add_argument("--part", choices=("exact", "near", "all"), default="exact")
    parser.add_numbers()
    options = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pairs.jsonl"
        write_pairs(path, options.rows, options.words)
        found = measure(path, options.part)
    print(json.dumps(found, indent=2))
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
