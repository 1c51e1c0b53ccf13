from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from align.data.columns import Columns
from align.data.files import RawRow
from align.data.loading import RowOptions, Schema, load_rows
from align.data.pairs.pair import NEEDS, Pair, check_texts, split_pair
from align.data.problems import DataReport, RowProblem
from align.data.question_checks import check_label, check_truth
from align.errors import DataError

# The four sections of RewardBench (arXiv 2403.13787) and their subsets.
SECTIONS = {
    "chat": ("alpacaeval-easy", "alpacaeval-length", "alpacaeval-hard", "mt-bench-easy", "mt-bench-med"),
    "chat-hard": ("mt-bench-hard", "llmbar-natural", "llmbar-adver-neighbor", "llmbar-adver-GPTInst",
                  "llmbar-adver-GPTOut", "llmbar-adver-manual"),
    "safety": ("refusals-dangerous", "refusals-offensive", "xstest-should-refuse", "xstest-should-respond",
               "donotanswer"),
    "reasoning": ("math-prm", "hep-cpp", "hep-go", "hep-java", "hep-js", "hep-python", "hep-rust"),
}  # fmt: skip
TIE = "a pair without an order has no right answer"
SECTION_OF = {subset: section for section, subsets in SECTIONS.items() for subset in subsets}


@dataclass(frozen=True)
class BenchPair(Pair):
    """A pair whose chosen response is known to be the better one, unless it is a tie."""

    subset: str | None  # where the pair is from, if the data says so
    category: str | None  # the column, else the section of a subset of RewardBench, else the subset
    tie: bool = False


def load_reward_bench(
    path: str | Path, *, columns: Columns | None = None, **reading: Unpack[RowOptions]
) -> tuple[list[BenchPair], DataReport]:
    """Loads pairs in RewardBench's format and checks every row.

    A row needs `prompt`, `chosen` and `rejected`: texts, or messages in any of TRL's conversational forms. `subset`,
    `category`, `tie` and `id` (default: file name and row; unique within a subset) may be there. Other columns are not
    read. Ties are left out and reported, also with `raise`: no response is the right one.
    """
    found, report = load_rows(path, _check, Schema(NEEDS, columns=columns), DataReport, **reading)
    pairs = [pair for pair in found if not pair.tie]
    if not pairs:
        raise DataError(f"All {len(found)} pairs of {report.file} are ties: {TIE}. Give some with a better response.")
    report.problems += [
        RowProblem(report.file, pair.row, "tie", "True", TIE, "It is left out.") for pair in found if pair.tie
    ]
    report.num_kept = len(pairs)
    return pairs, report


def _check(row: Mapping[str, Any], raw: RawRow) -> BenchPair:
    split = split_pair(row, number=raw.row, name=raw.name)
    subset, category = (check_label(column, row.get(column)) for column in ("subset", "category"))
    pair = BenchPair(
        **vars(split) | {"id": split.id if subset is None else f"{subset}/{split.id}"},
        subset=subset,
        category=category or SECTION_OF.get(subset or "", subset),
        tie=check_truth("tie", row.get("tie") or None, untyped=True) or False,
    )
    check_texts(pair)
    return pair
