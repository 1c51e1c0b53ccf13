"""`align filter`: the pairs that a base reward model is not yet sure of."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from align.console import make_console, make_table
from align.data.cell_values import as_values
from align.data.files import RawRow, Row, find_split
from align.data.loading import Schema, load_rows, name_row
from align.data.pairs.confidence import keep_unsure
from align.data.pairs.pair import NEEDS, check_texts
from align.data.pairs.reward_pair_rules import CheckedRewardPair, check_reward_pair
from align.data.problems import DataReport
from align.data.unread import saying_unread
from align.errors import DataError, UserError
from align.evaluation.record.unscored import Unscored
from align.evaluation.reward_models.unscored import count_unscored
from align.evaluation.statistics.metrics import Values, wilson
from align.secrets import mask
from align.whole_files import write_whole


@dataclass(frozen=True)
class _Entry:
    """A row as it was read and as it was understood."""

    id: str
    row: int
    columns: dict[str, Any]
    pair: CheckedRewardPair


def run(
    data: str,
    out: Path,
    *,
    base: str,
    tau: float,
    model: dict[str, Any],
    split: str | None,
    on_bad_rows: str,
) -> int:
    """Writes the pairs that are kept, and a JSON file of counts beside them; returns 1 if none is kept."""
    if not 0 <= tau <= 1:
        raise UserError(f"`tau` must lie between 0 and 1, got {tau}.")
    if on_bad_rows not in ("raise", "skip"):
        raise UserError(f"`on_bad_rows` must be raise or skip, got {on_bad_rows!r}.")
    if out.suffix != ".jsonl" or out.exists():
        raise UserError(f"`out` must name a new .jsonl file, got {out}{' that exists' if out.exists() else ''}.")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"`out` {out} cannot be written: {error}. Choose another place.") from error
    entries, report = saying_unread(_load(data, split, cast(Literal["raise", "skip"], on_bad_rows)))
    p_base, unscored = _probabilities(base, entries, model)
    kept = keep_unsure(p_base, [entry.pair.tie for entry in entries], tau)
    rows = [
        entry.columns | {"tie": entry.pair.tie, "source": entry.pair.source, "p_base": round(float(p), 6)}
        for entry, p, keep in zip(entries, p_base, kept, strict=True)
        if keep
    ]
    lines = "".join(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in rows)
    counts = {"data": data, "base": base, "tau": tau, "bad_rows": report.reasons} | _count(entries, p_base, kept)
    summary = out.with_suffix(".filter.json")
    try:
        write_whole(summary, json.dumps(mask(counts), indent=2) + "\n")
        write_whole(out, lines)  # last: with it the command is done
    except OSError as error:
        raise UserError(f"The pairs cannot be written to {out}: {error}. Free space there, and try again.") from error
    _show(counts)
    for count, why, _ in unscored.reasons():
        print(f"{count:,} {'pair is' if count == 1 else 'pairs are'} {why}, and left out.")
    print(f"The pairs are in {out}, the counts in {summary}.")
    return int(not rows)


def _load(data: str, split: str | None, on_bad_rows: Literal["raise", "skip"]) -> tuple[list[_Entry], DataReport]:
    file, split = find_split(data, split)
    report = DataReport(file)

    def check(row: Row, raw: RawRow) -> _Entry:
        pair = check_reward_pair(row, untyped=raw.untyped)
        check_texts(pair)
        columns = as_values(row, "pairs", {}) if raw.untyped else dict(row.items())
        return _Entry(pair.id or name_row(raw.row, file), raw.row, columns, pair)

    return load_rows(report, check, Schema(NEEDS), split=split, on_bad_rows=on_bad_rows, max_rows=None), report


def _probabilities(base: str, entries: Sequence[_Entry], settings: dict[str, Any]) -> tuple[Values, Unscored]:
    from scipy.special import expit
    from transformers.utils.logging import disable_progress_bar

    from align.evaluation.reward_models.reward_model import RewardModel

    disable_progress_bar()  # the bar of loading would tear the one of scoring
    pairs = [entry.pair for entry in entries]
    model = RewardModel.load(base, on_too_long="nan", progress=True, **settings)
    texts = [pair.prompt for pair in pairs], [pair.chosen for pair in pairs], [pair.rejected for pair in pairs]
    margins = model.margins(*texts)
    unscored = count_unscored(model, margins, *texts)
    if np.isnan(margins).all():
        raise DataError(f"{base} scores no pair. {unscored.sentence(len(pairs), 'pairs')}")
    probabilities: Values = expit(margins)
    return probabilities, unscored


def _count(entries: Sequence[_Entry], p_base: Values, kept: NDArray[np.bool_]) -> dict[str, Any]:
    sources = np.array([entry.pair.source for entry in entries])
    by_source: dict[str, dict[str, Any]] = {}
    for source in sorted(set(sources)):
        here = sources == source
        by_source[source] = {
            "pairs": int(here.sum()),
            "kept": int(kept[here].sum()),
            "not_scored": int(np.isnan(p_base[here]).sum()),
            "mean_p_base": None if np.isnan(p_base[here]).all() else float(np.nanmean(p_base[here])),
        }
    totals = {name: sum(each[name] for each in by_source.values()) for name in ("pairs", "kept", "not_scored")}
    return totals | {"sources": by_source}


def _show(counts: dict[str, Any]) -> None:
    table = make_table("source")
    for name in ("pairs", "kept", "share kept", "mean p_base"):
        table.add_column(name, justify="right")
    for source, each in [*counts["sources"].items(), ("all", counts)]:
        share = wilson(each["kept"], each["pairs"])
        mean = each.get("mean_p_base")
        table.add_row(
            source, f"{each['pairs']:,}", f"{each['kept']:,}", str(share), "" if mean is None else f"{mean:.2f}"
        )
    make_console(least=100).print(table)
