"""How commands grow with rows: seconds of the processor and peak memory of a fresh process, and the fitted exponents.

    python -m scripts.benches.growth --rows 1000 10000 100000 --json bench_growth.json
    python -m scripts.benches.growth --rows 1000 1000000 --parts load-questions check-questions --check_bars

Every number is one process from the start of Python to its end, children included, with one thread of OpenMP and no
network. Seconds of the processor are counted, since those of the wall grow beside other work. Two exponents are fitted
by least squares in logarithms: over all sizes, where the start of Python and its imports weigh at small ones, and of
what is beyond the smallest size. Models are random and tiny, so that what is measured is the work on rows;
`train-pairs` and `train-pairs-again` are the first start of RRPO with one step, and the second one of the same.
`audit-pairs` looks for no near duplicates, and `near-pairs` does. `compare-logs` reads two files of so many rows, with
two scores each. `skip-completions` packs one generation of so many completions, of which three in eight have an
advantage, by length and by prompt; `share-prompts` puts so many pairs into rows that read their prompts once. Both
have no model; the first imports TRL, the second transformers.
"""

import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scripts.harness import Options, tell, write_numbers

ROOT = Path(__file__).resolve().parents[2]
VOCABULARY = [f"word{i}" for i in range(2_000)]
OTHER = [f"{word}x" for word in VOCABULARY]  # in rejected responses only
ROWS = (1_000, 3_162, 10_000, 31_623, 100_000)
BARS = {  # wall or memory at so many rows
    "load-questions": (1_000_000, "peak_gb", 1.5),
    "load-pairs": (1_000_000, "peak_gb", 1.5),
    "check-questions": (1_000_000, "wall_seconds", 60.0),
    "check-pairs": (200_000, "wall_seconds", 25.0),
    "compare-logs": (1_000_000, "wall_seconds", 60.0),
}
UPDATES = {"skip-completions": "skip_completions", "share-prompts": "share_prompts"}
PARTS = (*BARS, "audit-pairs", "near-pairs", "train-pairs", "train-pairs-again", "deconfound", "report", *UPDATES)
LOAD = "import sys; from align import data; print(len(getattr(data, sys.argv[1])(sys.argv[2])[0]))"
MAKE = (
    "import sys; sys.path.append(sys.argv[1]); from scripts.benches import growth; "
    "getattr(growth, sys.argv[2])(*sys.argv[3:])"
)
RECIPE = """\
method: {method}
model_name_or_path: {model}
output_dir: {folder}/out
dataset: {{path: {rows}{more}}}
{rest}
max_steps: 1
per_device_train_batch_size: 2
learning_rate: 1.0e-5
bf16: false
gradient_checkpointing: false
use_cpu: true
save_strategy: "no"
report_to: none
"""
REST = {"questions": "second_pass: auto\nreward_funcs: [answer_consistency]\nnum_generations: 2\n"
        "max_completion_length: 8", "pairs": "max_length: 2048"}  # fmt: skip


class Used(NamedTuple):
    """What one process used."""

    cpu_seconds: float
    wall_seconds: float
    peak_gb: float


def make_rows(kind: str, num: int, words: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Makes rows: questions with four options, pairs of which a tenth of the words differ, or observed texts."""
    draw = random.Random(seed)

    def text(mean: int) -> list[str]:
        return draw.choices(VOCABULARY, k=draw.randint(max(1, mean // 2), mean + mean // 2))

    for i in range(num):
        asked = f"Question {i}: {' '.join(text(12))}?"
        if kind == "questions":
            options = [f"{' '.join(text(2))} {letter}" for letter in ("one", "two", "three", "four")]
            yield {"id": f"q{i}", "question": asked, "options": options, "answer": draw.randrange(4)}
        elif kind == "pairs":
            chosen = text(words)
            rejected = [draw.choice(OTHER) if draw.random() < 0.1 else word for word in chosen[1:]]
            yield {
                "id": f"p{i}",
                "prompt": asked,
                "chosen": " ".join(chosen),
                "rejected": " ".join([draw.choice(OTHER), *rejected]),
            }
        else:
            shock, cause = draw.gauss(0, 1), draw.gauss(0, 1)
            moved = shock + cause
            clicks = 2 * moved + cause + draw.gauss(0, 1)
            yield {"headline": " ".join(text(8)), "clicks": clicks, "popularity": moved, "shock": shock}


def make_scores(num: int, seed: int) -> Iterator[dict[str, Any]]:
    """Makes the log of a side of a comparison: whether it is right, and a reward."""
    draw = random.Random(seed)
    for i in range(num):
        right = draw.random() < 0.6 + 0.01 * seed
        yield {"id": f"item-{i}", "question": f"What is {i} + {i}?", "correct": right, "reward": draw.gauss(0, 1)}


def write_model(folder: str) -> None:
    """Saves a tiny random model that knows the words of the rows."""
    from scripts.benches.random_model import random_model
    from scripts.labs.tiny_models import make_tokenizer

    units = [*VOCABULARY, *OTHER, *map(chr, range(32, 127)), "\n"]
    random_model(folder, "random-tiny", vocabulary=len(units) + 10)
    make_tokenizer(units, r"\w+|\s|[^\w\s]").save_pretrained(folder)


def write_report(folder: str, num: str) -> None:
    """Writes the folder of a run with so many completions."""
    from scripts.benches.long_run import write_run

    write_run(Path(folder), max(1, int(num) // 5), int(num))


def skip_completions(num: str) -> None:
    """Packs the completions of a generation, eight to a prompt and to a batch, as an update of GRPO does."""
    import torch

    from align.methods.rollouts.zero_advantage import Window

    draw, number = torch.Generator().manual_seed(0), max(1, int(num) // 8)
    batches = []
    for prompt in range(number):
        lengths = torch.randint(1, 65, (8, 1), generator=draw)
        ids, prompt_ids = torch.zeros(8, 64, dtype=torch.long), torch.full((8, 32), prompt)
        batch = {"prompt_ids": prompt_ids, "prompt_mask": torch.ones_like(prompt_ids), "completion_ids": ids}
        batch |= {"completion_mask": (torch.arange(64) < lengths).int()}
        batches.append(batch | {"advantages": torch.full((8,), float(prompt % 8 < 3))})
    for width in (None, 512):
        window = Window(batches, "dapo", width)
        window.batches(len(window.packed))


def share_prompts(num: str) -> None:
    """Puts pairs, eight to a batch, into rows in which each prompt stands once, as an update of RRPO does."""
    import torch

    from align.models.shared_prefixes import fold

    draw = torch.Generator().manual_seed(0)
    for _ in range(max(1, int(num) // 8)):
        ids = torch.randint(1, 2_000, (16, 96), generator=draw)
        ids[8:, :64] = ids[:8, :64]
        fold(ids, (torch.arange(96) < torch.randint(65, 97, (16, 1), generator=draw)).long(), 512)


def make(function: str, *words: object) -> None:
    """Runs a function of this file in a process of its own: what is started is as large as what starts it."""
    subprocess.run([sys.executable, "-c", MAKE, str(ROOT), function, *map(str, words)], check=True)


def command(part: str, num: int, folder: Path, words: int) -> list[str]:
    """Writes what a part reads, and returns the words after `python`."""
    if part == "report":
        run = folder / f"run-{num}"
        if not run.exists():
            make("write_report", run, num)
        return ["-m", "align", "report", str(run)]
    if part == "compare-logs":
        logs = [folder / f"log-{side}-{num}.jsonl" for side in (0, 1)]
        for side, log in enumerate(logs):
            with log.open("w") as file:
                file.writelines(f"{json.dumps(row)}\n" for row in make_scores(num, side))
        options = ["--scores", "correct", "reward", "--out", str(folder / f"compared-{num}")]
        return ["-m", "align", "compare", *map(str, logs), *options]
    if part in UPDATES:
        return ["-c", MAKE, str(ROOT), UPDATES[part], str(num)]
    kind = "outcomes" if part == "deconfound" else part.split("-")[1]
    rows = folder / f"{kind}-{num}.jsonl"
    if not rows.exists():
        with rows.open("w") as file:
            file.writelines(f"{json.dumps(row)}\n" for row in make_rows(kind, num, words))
    if part == "deconfound":
        columns = ["--outcome", "clicks", "--confounders", "popularity", "--instruments", "shock"]
        return ["-m", "align", "deconfound", str(rows), *columns, "--out", str(folder / f"corrected-{num}")]
    if part.startswith("load"):
        return ["-c", LOAD, "load_questions" if kind == "questions" else "load_preferences", str(rows)]
    if part in ("audit-pairs", "near-pairs"):
        exact = ["--no-near"] if part == "audit-pairs" else []
        return ["-m", "align", "audit", str(rows), *exact, "--out", str(folder / f"{part}-{num}")]
    model = folder / "model"
    if not model.exists():
        make("write_model", model)
    recipe = folder / f"{kind}-{num}.yaml"
    method, more = ("acre", ", conversational: false") if kind == "questions" else ("rrpo", "")
    recipe.write_text(RECIPE.format(method=method, model=model, folder=folder, rows=rows, more=more, rest=REST[kind]))
    if part.startswith("train"):
        return ["-m", "align", "train", str(recipe), "--output_dir", str(folder / f"{part}-{num}")]
    return ["-m", "align", "check", str(recipe)]


def run(words: Sequence[str], folder: Path) -> Used:
    """Runs `python WORDS` and returns what it used.

    Raises:
        RuntimeError: If it fails, with the end of what it said.
    """
    more = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(folder / "cache")}
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    started = time.perf_counter()
    with (folder / "said.txt").open("w") as said:
        process = subprocess.Popen(
            [sys.executable, *words], stdout=said, stderr=said, env={**os.environ, **more, "PYTHONPATH": paths}
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - started
    if process.returncode:
        raise RuntimeError(
            f"{' '.join(words)} ended with {process.returncode}:\n{(folder / 'said.txt').read_text()[-2000:]}"
        )
    return Used(round(usage.ru_utime + usage.ru_stime, 2), round(wall, 2), round(usage.ru_maxrss / 2**20, 3))


def exponent(sizes: Sequence[int], costs: Sequence[float]) -> float | None:
    """Fits the exponent of a power by least squares in logarithms; None with fewer than two costs above 0."""
    points = [(math.log(size), math.log(cost)) for size, cost in zip(sizes, costs, strict=True) if cost > 0]
    if len(points) < 2:
        return None
    return round(float(np.polyfit(*zip(*points, strict=True), 1)[0]), 2)


def fit(used: Mapping[int, Used]) -> dict[str, float | None]:
    """Fits how seconds and memory grow, of all sizes and of what is beyond the smallest."""
    sizes, found = sorted(used), {}
    for name in ("cpu_seconds", "peak_gb"):
        costs = [getattr(used[size], name) for size in sizes]
        found[name] = exponent(sizes, costs)
        found[f"{name}_beyond"] = exponent(sizes[1:], [cost - costs[0] for cost in costs[1:]])
    return found


def check_bars(found: Mapping[str, Mapping[int, Used]]) -> dict[str, bool]:
    """Says of each bar whose size was measured whether it held."""
    return {
        f"{part} of {size:,} rows: {name} under {bar:g}": getattr(found[part][size], name) < bar
        for part, (size, name, bar) in BARS.items()
        if size in found.get(part, {})
    }


def main(argv: list[str] | None = None) -> int:
    """Prints the curves; returns 1 if a bar was to be checked and is missed."""
    parser = Options(__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--words", type=int, default=60, help="of a response of a pair, in the mean")
    parser.add_numbers("exit code 1 if a bar is missed")
    options = parser.parse_args(argv)
    found: dict[str, dict[int, Used]] = {}
    with tempfile.TemporaryDirectory() as name:
        for size in sorted(options.rows):
            for part in options.parts:
                used = run(command(part, size, Path(name), options.words), Path(name))
                found.setdefault(part, {})[size] = used
                print(f"{part:18} {size:>9,} rows {used.cpu_seconds:8.2f} CPU s {used.peak_gb:7.3f} GB", flush=True)
    fitted = {part: fit(used) for part, used in found.items()}
    for part, exponents in fitted.items():
        print(f"{part:18} exponents: {', '.join(f'{name} {value}' for name, value in exponents.items())}")
    bars = check_bars(found)
    curves = {part: {size: each._asdict() for size, each in used.items()} for part, used in found.items()}
    write_numbers(options.json, {"curves": curves, "exponents": fitted, "bars": bars})
    return tell(bars, options)


if __name__ == "__main__":
    sys.exit(main())
