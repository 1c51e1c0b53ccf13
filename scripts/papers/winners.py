r"""Finds pairs of texts of which one is better by more than chance, in rows of an archive.

    python -m scripts.papers.winners experiments data/upworthy-test.csv --out winners.jsonl
    python -m scripts.papers.winners matched data/posts-test.jsonl --out winners.jsonl

`experiments` takes packages of one test of the Upworthy archive whose rates of clicks differ at 5 % (two-sided test
of two proportions). `matched` takes posts of a StackExchange dump with the same tags, nearly the same views and nearly
the same day, one of which has at least `--margin` more votes. The prompt is the lede, or the tags: both sides share
it, and none is empty. A text is in one pair at most.
"""

import csv
import json
import sys
from collections.abc import Iterable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

from scipy.stats import norm

from align.data.problems import BadRow
from align.data.tables.observation_adapters import stackexchange, upworthy
from scripts.harness import Options, write_rows

LEVEL = 0.05
NEAR_VIEWS, NEAR_DAYS = 0.1, 30.0  # in logs, and in days
Row = dict[str, Any]


def differ(clicks: float, shown: float, other_clicks: float, other_shown: float) -> bool:
    """Tells whether two rates differ at 5 %, with the pooled variance.

    Example:
        >>> differ(60, 3000, 30, 3000), differ(60, 3000, 55, 3000)
        (True, False)
    """
    pooled = (clicks + other_clicks) / (shown + other_shown)
    error = (pooled * (1 - pooled) * (1 / shown + 1 / other_shown)) ** 0.5
    return error > 0 and abs(clicks / shown - other_clicks / other_shown) / error > norm.isf(LEVEL / 2)


def experiments(rows: Iterable[Row], margin: float) -> Iterator[tuple[str, str, str]]:
    """Yields lede, winner and loser of packages that differ in their headline; `margin` is not looked at."""
    tests: dict[str, list[Row]] = {}
    for row in rows:
        try:
            tests.setdefault(str(row["clickability_test_id"]), []).append(row | upworthy(row))
        except BadRow:
            continue  # nobody saw it
    for packages in tests.values():
        used: set[int] = set()
        for i, j in combinations(range(len(packages)), 2):
            one, other = packages[i], packages[j]
            counts = [float(row[key]) for row in (one, other) for key in ("clicks", "impressions")]
            same = one["headline"] == other["headline"] or one["lede"] != other["lede"] or not one["lede"]
            if used & {i, j} or same or not differ(*counts):
                continue
            used |= {i, j}
            better, worse = (one, other) if one["click_rate"] > other["click_rate"] else (other, one)
            yield better["lede"], better["headline"], worse["headline"]


def matched(rows: Iterable[Row], margin: float) -> Iterator[tuple[str, str, str]]:
    """Yields tags, winner and loser of neighbours by views that were written in nearly the same days."""
    posts = [stackexchange(row) | {"tags": row["Tags"]} for row in rows if row["Tags"]]
    posts.sort(key=lambda post: (post["tags"], post["log_views"], post["day"]))
    waiting: list[Row] = []
    for post in posts:
        near = post["log_views"] - NEAR_VIEWS
        waiting = [each for each in waiting if each["log_views"] >= near and each["tags"] == post["tags"]]
        for each in waiting:
            if abs(post["day"] - each["day"]) <= NEAR_DAYS and abs(post["score"] - each["score"]) >= margin:
                better, worse = (post, each) if post["score"] > each["score"] else (each, post)
                yield post["tags"], better["text"], worse["text"]
                waiting.remove(each)
                break
        else:
            waiting.append(post)


def read(path: Path) -> Iterator[Row]:
    """Reads rows of a .csv, or a line each."""
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file) if path.suffix == ".csv" else (json.loads(line) for line in file)


def main(argv: list[str] | None = None) -> int:
    """Writes the pairs; returns 1 if there are none."""
    parser = Options(__doc__)
    parser.add_argument("kind", choices=("experiments", "matched"))
    parser.add_argument("rows", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--margin", type=float, default=2.0, help="votes")
    arguments = parser.parse_args(argv)
    find = {"experiments": experiments, "matched": matched}[arguments.kind]
    found = [
        {"id": f"pair-{number}", "prompt": f"{prompt}\n", "chosen": better, "rejected": worse}
        for number, (prompt, better, worse) in enumerate(find(read(arguments.rows), arguments.margin))
    ]
    if not found:
        print(f"error: no two texts of {arguments.rows} differ by more than chance.", file=sys.stderr)
        return 1
    write_rows(arguments.out, found)
    print(f"{len(found):,} pairs in {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
