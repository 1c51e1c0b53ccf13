"""What labs, benches and checks repeat: options, bars, how numbers are worded, and the files that keep them."""

import argparse
import json
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

ON_A_CPU: dict[str, Any] = {  # of a trainer that leaves nothing behind
    "report_to": "none",
    "save_strategy": "no",
    "disable_tqdm": True,
    "gradient_checkpointing": False,
    "bf16": False,
    "use_cpu": True,
}


class Options(argparse.ArgumentParser):
    """Reads the options of a script, whose docstring is shown as it is written."""

    def __init__(self, about: str | None, **settings: Any) -> None:
        super().__init__(description=about, formatter_class=argparse.RawDescriptionHelpFormatter, **settings)

    def add_seeds(self, seeds: int, first: int = 0, about: str | None = None) -> None:
        """Adds `--seeds` and `--first_seed`."""
        self.add_argument("--seeds", type=int, default=seeds, help="how many")
        self.add_argument("--first_seed", type=int, default=first, help=about)

    def add_out(self, folder: str, what: str = "the model as it is") -> None:
        """Adds `--out`, `--seed` and `--data_only`, as what rebuilds assets takes them."""
        self.add_argument("--out", type=Path, default=Path(folder))
        self.add_argument("--seed", type=int, default=0)
        self.add_argument("--data_only", action="store_true", help=f"leave {what}")

    def add_numbers(self, bars: str | None = None) -> None:
        """Adds `--json`, and `--check_bars` where there are bars to tell of."""
        self.add_argument("--json", type=Path, help="a file that keeps the numbers")
        if bars:
            self.add_argument("--check_bars", action="store_true", help=bars)


def seeds_of(arguments: argparse.Namespace) -> range:
    """Returns the seeds that were asked for."""
    return range(arguments.first_seed, arguments.first_seed + arguments.seeds)


def quiet() -> None:
    """Silences the progress bars and hints of the libraries, between which lines of results would be lost."""
    from datasets import disable_progress_bars
    from transformers.utils import logging

    disable_progress_bars()
    logging.set_verbosity_error()
    logging.disable_progress_bar()


def tell(bars: Mapping[str, bool], arguments: argparse.Namespace) -> int:
    """Prints which bars are held; returns the exit code, 1 if they are checked and one is missed."""
    for bar, held in bars.items():
        print(f"{'held' if held else 'MISSED'}: {bar}")
    return int(arguments.check_bars and not all(bars.values()))


def write_numbers(path: Path | None, *parts: Mapping[str, Any], under: str | None = None) -> None:
    """Keeps numbers, and the versions they were measured with, if there is a file for them.

    Args:
        path: The file, if there is one.
        parts: The numbers, merged.
        under: The key of the versions, which else stand beside the numbers.
    """
    if path is None:
        return
    from align.versions import installed_versions

    record: dict[str, Any] = {under: installed_versions()} if under else dict(installed_versions())
    for part in parts:
        record |= part
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]], **settings: Any) -> int:
    """Writes one row a line, with settings of `json.dumps`; returns the bytes of the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, **settings) + "\n" for row in rows), encoding="utf-8")
    return path.stat().st_size


def print_table(
    title: str, columns: Iterable[str], rows: Mapping[str, Sequence[str]], first: str = "arm", width: int = 140
) -> None:
    """Prints one line for each row, under a title."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column(first)
    for column in columns:
        table.add_column(column, justify="right")
    for name, cells in rows.items():
        table.add_row(name, *cells)
    Console(width=width).print(table)


def with_interval(estimate: Any, places: int = 3) -> str:
    """Writes an estimate and its interval, which one seed has not."""
    low, high = (f"{end:z.{places}f}" for end in (estimate.low, estimate.high))
    return f"{estimate.value:z.{places}f}" + ("" if math.isnan(estimate.low) else f" [{low}, {high}]")


def with_half(estimate: Any, places: int = 2) -> str:
    """Writes an estimate as value +- half its interval, which one seed has not."""
    half = "" if math.isnan(estimate.low) else f" ±{(estimate.high - estimate.low) / 2:.{places}f}"
    return f"{estimate.value:z.{places}f}{half}"


def difference(runs: Mapping[str, Sequence[Mapping[str, float]]], arm: str, other: str, name: str) -> Any:
    """Estimates the mean difference of a metric between two arms with the same seed."""
    from align.evaluation.statistics.metrics import mean_over_seeds

    pairs = zip(runs[arm], runs[other], strict=True)
    return mean_over_seeds([one[name] - two[name] for one, two in pairs])


def arm_runs(
    arms: Sequence[str],
    seeds: Iterable[int],
    run: Callable[[str, int], dict[str, float]],
    labels: Mapping[str, str],
    kept: "KeptRuns | None" = None,
    key: Callable[[str, int], str] = "{}/{}".format,
    once: Sequence[str] = (),
) -> dict[str, list[Any]]:
    """Runs every arm with every seed and prints each result; returns the metrics of each arm.

    Args:
        arms: Their names.
        seeds: Those asked for.
        run: `(arm, seed)` to metrics.
        labels: The metrics that are printed, and how they are called.
        kept: Results that are not run again; what is run is added.
        key: `(arm, seed)` to the name of a result.
        once: Arms that are alike for every seed.
    """
    kept = KeptRuns(None) if kept is None else kept
    runs: dict[str, list[Any]] = {arm: [] for arm in arms}
    for number, seed in enumerate(seeds):
        for arm in arms if not number else [arm for arm in arms if arm not in once]:
            name, began = key(arm, seed), time.process_time()
            if name not in kept:
                kept[name] = run(arm, seed)
            runs[arm].append(kept[name])
            told = ", ".join(f"{label} {kept[name][each]:.3f}" for each, label in labels.items() if each in kept[name])
            print(f"seed {seed}  {arm:20s} {told}  ({time.process_time() - began:.0f} CPU s)", flush=True)
    return runs


def differences(
    runs: Mapping[str, Sequence[Mapping[str, float]]], baseline: str, names: Iterable[str]
) -> dict[str, list[dict[str, float]]]:
    """Subtracts the baseline's metrics seed by seed from those of the others; an arm run once is paired with all."""
    base, names = runs.get(baseline, ()), list(names)
    return {
        arm: [
            {name: one[name] - two[name] for name in names}
            for one, two in zip(list(found) * (len(base) if len(found) == 1 else 1), base, strict=True)
        ]
        for arm, found in runs.items()
        if arm != baseline and base
    }


def show_arms(title: str, runs: Mapping[str, Sequence[Mapping[str, float]]], labels: Mapping[str, str]) -> None:
    """Prints one line per arm: means over the seeds that say something, with half their intervals."""
    seeds = max(map(len, runs.values()), default=0)
    cells = {arm: [cell([run.get(name, math.nan) for run in found], seeds) for name in labels]
             for arm, found in runs.items()}  # fmt: skip
    print_table(title, labels.values(), cells)


def cell(values: Iterable[float], seeds: int) -> str:
    """Writes a mean over seeds +- half the interval, and over how many where some say nothing."""
    from align.evaluation.statistics.metrics import mean_over_seeds

    estimate = mean_over_seeds([value for value in values if not math.isnan(value)])
    if estimate.n == 0:
        return "no data"
    half = "" if math.isnan(estimate.low) else f" ±{(estimate.high - estimate.low) / 2:.2f}"
    return f"{estimate.value:z.2f}{half}" + (f" (n={estimate.n})" if 1 < estimate.n < seeds else "")


def share(truths: Iterable[bool]) -> float:
    """Averages truths."""
    values = list(truths)
    return sum(values) / max(len(values), 1)


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
