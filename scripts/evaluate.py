"""Evaluates a reward model: accuracy with intervals, probes for shortcuts, and best-of-N.

    python scripts/evaluate.py --reward_model DIR --baseline OTHER --data pairs.jsonl --probes --out outputs/evaluation
    python scripts/evaluate.py --reward_model DIR --data allenai/reward-bench --split filtered --out outputs/evaluation
    python scripts/evaluate.py --reward_model DIR --best_of_n candidates.jsonl --out outputs/evaluation

`--data` holds `prompt`, `chosen`, `rejected` and perhaps `subset` or `category`; RewardBench's subsets are known.
`--best_of_n` holds `prompt`, `responses` and perhaps `quality`. In `--out` lie `evaluation.json`, the margin of every
pair (`pairs.jsonl`) and what was chosen (`best_of_n.jsonl`).
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import numpy as np
from rich.console import Console
from rich.table import Table
from transformers.utils.logging import disable_progress_bar

from align.data.candidates import Candidates, load_candidates
from align.data.reward_bench import BenchPair, load_reward_bench
from align.errors import UserError
from align.evaluation.metrics import Estimate
from align.evaluation.reward_model import RewardModel
from align.evaluation.reward_suite import RewardResult, as_messages, evaluate_reward_model, reward_record

TITLES = {
    "accuracy/": "accuracy, by category",
    "accuracy_drop/": "accuracy lost to a change that leaves the meaning",
    "insertion/": "score gained by a phrase in front, in mean margins",
    "best_of_": "true quality of the best of n",
}


def evaluate_reward_models(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measures the model and its baselines on the same items, prints tables and writes the files."""
    pairs = load_reward_bench(arguments.data, **_reading(arguments))[0] if arguments.data else []
    candidates = (
        load_candidates(arguments.best_of_n, on_bad_rows=arguments.on_bad_rows)[0] if arguments.best_of_n else []
    )
    if not pairs and not candidates:
        raise UserError("There is nothing to evaluate on. Give `--data`, `--best_of_n` or both.")
    if arguments.probes and not pairs:
        raise UserError("`--probes` needs pairs. Give `--data`.")
    names = _name(paths := [arguments.reward_model, *arguments.baseline])
    measured = {
        name: measure_reward_model(path, pairs, candidates, arguments) for name, path in zip(names, paths, strict=True)
    }
    results = {name: result for name, (result, _) in measured.items()}
    record = reward_record(results, names[1:])
    for name, (_, how) in measured.items():
        record[name]["scored"] = how
    write_rows(arguments.out, results, pairs, candidates)
    show(record, results)
    return record


def measure_reward_model(
    path: str, pairs: Sequence[BenchPair], candidates: Sequence[Candidates], arguments: argparse.Namespace
) -> tuple[RewardResult, dict[str, Any]]:
    """Loads one model, measures it, and says how it was scored."""
    print(f"Scoring with {path}", file=sys.stderr)
    model = RewardModel.load(
        path,
        dtype=arguments.dtype,
        device=arguments.device,
        batch_size=arguments.batch_size,
        max_length=arguments.max_length,
        on_too_long="nan",
        progress=True,
    )
    in_template = arguments.prompt_format == "messages" or (
        arguments.prompt_format == "auto" and model.tokenizer.chat_template is not None
    )
    result = evaluate_reward_model(
        model,
        as_messages(pairs) if in_template else pairs,
        as_messages(candidates) if in_template else candidates,
        probe_pairs=arguments.probe_pairs if arguments.probes else None,
        seed=arguments.seed,
    )
    return result, {
        "path": path,
        "model_type": "pairwise" if model.pairwise else "scalar",
        "data": arguments.data,
        "best_of_n": arguments.best_of_n,
        "seed": arguments.seed,
        "texts_in_template": in_template and any(isinstance(row.prompt, str) for row in (*pairs, *candidates)),
        "pairs_too_long": 0 if result.margins is None else int(np.isnan(result.margins).sum()),
    }


def write_rows(
    out: Path, results: Mapping[str, RewardResult], pairs: Sequence[BenchPair], candidates: Sequence[Candidates]
) -> None:
    """Writes the margin of every pair and what was chosen for every prompt."""
    out.mkdir(parents=True, exist_ok=True)
    if pairs:
        rows: list[dict[str, Any]] = []
        for i, pair in enumerate(pairs):
            margins = {
                name: _number(result.margins[i]) for name, result in results.items() if result.margins is not None
            }
            rows.append({"id": pair.id, "subset": pair.subset, "category": pair.category, "margin": margins})
        _write_lines(out / "pairs.jsonl", rows)
    if candidates:
        rows = []
        for i, row in enumerate(candidates):
            chosen = {name: _describe(row, result.choices[i]) for name, result in results.items() if result.choices}
            rows.append({"id": row.id, "prompt": row.prompt, "chosen": chosen})
        _write_lines(out / "best_of_n.jsonl", rows)


def show(record: Mapping[str, Any], results: Mapping[str, RewardResult]) -> None:
    """Prints what was measured, with 95 % intervals."""
    first, *others = record
    table = Table(box=None, pad_edge=False)
    table.add_column("95 % intervals over items")
    for name in record:
        table.add_column(name, justify="right")
    for other in others:
        table.add_column(f"{first} - {other}", justify="right")
    table.add_column("items", justify="right")
    titled: set[str] = set()
    for metric, estimate in record[first]["summary"].items():
        prefix = next((prefix for prefix in TITLES if metric.startswith(prefix)), None)
        if prefix is not None and prefix not in titled:
            titled.add(prefix)
            table.add_row(f"[dim]{TITLES[prefix]}[/dim]")
        label = metric if prefix is None else f"  {metric.removeprefix(prefix)}"
        cells: list[Estimate | None] = [record[name]["summary"].get(metric) for name in record]
        cells += [record[first]["difference_to"][other].get(metric) for other in others]
        table.add_row(label, *("" if cell is None else str(cell) for cell in cells), f"{estimate.n:,}")
    console = Console(width=max(110, 30 + 26 * (2 * len(record))))
    console.print(table)
    for name, result in results.items():
        if result.insertion is not None:
            kinds = ", ".join(f"{kind.kind} {kind.adjusted_p_value:.3f}" for kind in result.insertion.kinds)
            console.print(f"{name}: inserted phrases unlike neutral ones, adjusted p: {kinds}")
    for name, entry in record.items():
        if entry["scored"]["pairs_too_long"]:
            console.print(f"{name}: {entry['scored']['pairs_too_long']:,} pairs are too long and were left out")
        if entry["scored"]["texts_in_template"]:
            console.print(f"{name}: prompts got its chat template; if it learnt from texts, `--prompt_format data`")


def _reading(arguments: argparse.Namespace) -> dict[str, Any]:
    return {"split": arguments.split, "max_rows": arguments.max_rows, "on_bad_rows": arguments.on_bad_rows}


def _name(paths: Sequence[str]) -> list[str]:
    """Names models after their folders, as far up as it takes to tell them apart."""
    for depth in range(1, max(len(Path(path).parts) for path in paths) + 1):
        names = ["/".join(Path(path).parts[-depth:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    raise UserError(f"The same reward model is given twice: {', '.join(paths)}.")


def _describe(row: Candidates, choice: Any) -> dict[str, Any]:
    scores = None if choice.scores is None else choice.scores.tolist()
    return {"index": choice.best, "response": row.responses[choice.best], "scores": scores}


def _number(value: float) -> float | None:
    return None if value != value else float(value)


def _write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reward_model", required=True, help="folder or hub id; scalar, pairwise or an adapter")
    parser.add_argument("--baseline", nargs="*", default=[], help="reward models to compare with, on the same items")
    parser.add_argument("--data", help="pairs: a file, a folder or a hub id")
    parser.add_argument("--split", help="split of a folder or hub data set")
    parser.add_argument("--max_rows", type=int, help="read only this many pairs")
    parser.add_argument("--on_bad_rows", choices=("raise", "skip"), default="raise")
    parser.add_argument(
        "--probes", action="store_true", help="transformations, insertions, response only, correlations"
    )
    parser.add_argument("--probe_pairs", type=int, default=500, help="pairs to probe, drawn at random")
    parser.add_argument("--best_of_n", help="prompts with candidate responses: a file, a folder or a hub id")
    parser.add_argument(
        "--prompt_format",
        choices=("auto", "messages", "data"),
        default="auto",
        help="auto: prompts that are texts get the chat template if the model has one; data: they stay texts",
    )
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument(
        "--max_length", type=int, help="longest sequence in tokens; the model's own limit if not given"
    )
    parser.add_argument("--dtype", default="float32", help="of the loaded weights")
    parser.add_argument("--device", help="where to score; the accelerator if there is one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Evaluates, and turns an error that the user can mend into one sentence."""
    arguments = parse(argv)
    disable_progress_bar()  # the bar of loading would tear the one of scoring
    try:
        record = evaluate_reward_models(arguments)
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    path = arguments.out / "evaluation.json"
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(f"\nAll numbers are in {path}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
