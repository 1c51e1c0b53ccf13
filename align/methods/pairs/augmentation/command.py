"""What a run of `align augment` does whatever it makes: opens its answers, counts what came out, and says it."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from align.data.problems import DataReport
from align.methods.pairs.augmentation.folder import Row, check_folder, claim_folder
from align.models.samplers.asking import SampledAnswers


@contextmanager
def answers_of(out: Path, run: Row, cache: Path | None, *, dry_run: bool) -> Iterator[SampledAnswers | None]:
    """Claims the folder of a run and opens the answers that it has; a dry run claims nothing and may have none."""
    cache = cache or out / "cache"
    (check_folder if dry_run else claim_folder)(out, run)
    if dry_run and not cache.is_dir():
        yield None
        return
    with SampledAnswers(cache) as answers:
        yield answers


def build_card(report: DataReport, run: Row, counts: Row, **parts: Any) -> dict[str, Any]:
    """Counts what came out and records what it was made from."""
    counts = {"rows_read": report.num_read, "bad_rows": len(report.problems), **counts}
    return {"truealign": version("truealign"), "run": dict(run), "counts": counts, **parts}


def print_card(card: Row, made: Iterable[tuple[int, str]], left_out: Mapping[str, int], end: str) -> None:
    """Prints what was made, what was left out by reason, what it took, and where it is."""
    tokens = card["tokens"]
    for number, text in (
        *made,
        *((number, f"left out: {reason}") for reason, number in left_out.items()),
        *((number, f"rows not read: {rule}") for rule, number in card["bad_rows"].items()),
        (tokens["prompt"] + tokens["completion"], f"tokens in {tokens['answers']:,} answers"),
    ):
        print(f"{number:>9,}  {text}")
    if any("error: " in reason for reason in left_out):
        print("Run the same command again to ask once more where there was an error.")
    print(end)
