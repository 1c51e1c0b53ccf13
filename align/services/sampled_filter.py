"""Keeps samples of a policy that a verifier accepts, or prompts that it sometimes solves, and writes their card."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from align.console import say
from align.data.conversations import write_response
from align.data.prompt_rows import PromptRow
from align.data.texts import is_blank
from align.errors import UserError
from align.evaluation.asking import Asking, Subject
from align.evaluation.engine import Evaluation
from align.evaluation.statistics.item_means import clustered_share
from align.evaluation.statistics.metrics import Estimate, Values, mean_of_known, share
from align.evaluation.suite import LoadedRows, Suite
from align.evaluation.suites.prompts import PROMPTS, PromptOptions
from align.evaluation.suites.prompts.evaluation import PromptTask, load_with, reward
from align.evaluation.suites.prompts.suite import read_scale
from align.evaluation.suites.tools.evaluation import transcribe
from align.evaluation.with_tools import NamedTools
from align.secrets import mask
from align.whole_files import write_whole

KEPT, REJECTED, UNKNOWN, CUT_OFF, EMPTY, REPEATED = "kept", "rejected", "no value", "cut off", "empty", "repeated"
FATES = (KEPT, REJECTED, UNKNOWN, CUT_OFF, EMPTY, REPEATED)


def accepts(values: Values, threshold: float) -> Values:
    """Returns 1 for each value above the threshold, 0 for others, and nan where there is no value."""
    return np.where(np.isnan(values), np.nan, values > threshold)


def sort_out(completions: Sequence[Sequence[Any]], accepted: Values, longest: int) -> list[list[str]]:
    """Says what becomes of each of `(N, S)` samples, one of `FATES`.

    An accepted one is still left out if it is as long as responses may be (`longest`, in tokens), so that its end is
    missing, if there is nothing in it, or if an earlier kept sample of the same prompt has the same text.
    """
    fates: list[list[str]] = []
    for group, row in zip(completions, accepted, strict=True):
        seen: set[str] = set()
        fates.append([])
        for sample, value in zip(group, row, strict=True):
            if np.isnan(value):
                fate = UNKNOWN
            elif not value:
                fate = REJECTED
            elif sample.ids is not None and len(sample.ids) >= longest:
                fate = CUT_OFF
            elif is_blank(sample.text):
                fate = EMPTY
            else:
                fate = REPEATED if sample.text in seen else KEPT
                seen.add(sample.text)
            fates[-1].append(fate)
    return fates


def measure_slips(accepted: Values, gold: Values, kept: Values) -> dict[str, Estimate]:
    """Measures a verifier on `(N, S)` samples: what it accepts, gold (nan is left out), and what gets into data.

    Intervals are over prompts.
    """
    known, taken = ~np.isnan(gold), np.nan_to_num(accepted)
    right, wrong, data = known & (gold > 0), known & (gold <= 0), known & (kept > 0)
    return {
        "false_positive_rate": _share(wrong & (taken > 0), wrong),
        "true_positive_rate": _share(right & (taken > 0), right),
        "wrong_among_kept": _share(data & wrong, data),
        "right": share(mean_of_known(gold)),
    }


def _share(part: NDArray[np.bool_], whole: NDArray[np.bool_]) -> Estimate:
    return clustered_share(part.sum(axis=1).astype(float), whole.sum(axis=1).astype(float))


class Kept(NamedTuple):
    """What is kept."""

    rows: list[dict[str, Any]]  # as they are written
    card: dict[str, Any]  # what decided them, what was counted, and the verifier's audit
    slips: Mapping[str, Estimate]  # the audit; empty without one


@dataclass(frozen=True, kw_only=True)
class FilterOptions(PromptOptions):
    """How samples are chosen; the first reward is the verifier, and a second the gold that it is held against."""

    threshold: float  # values above it are accepted
    pass_rate: tuple[float, float] | None  # keep prompts of whose samples such a share is accepted, and no samples


def filter_samples(options: FilterOptions, given: frozenset[str], folder: Path) -> Kept:
    """Samples a policy as an evaluation on prompts does, and keeps what the first of its rewards accepts.

    `given` options win over a recipe; `folder` has the samples, found again after a stop.
    """
    kept: Kept = Evaluation(_FILTER, options, given, kept_in=folder).run()
    return kept


_FILTER = Suite(
    name="filter",
    about="Samples that a reward accepts.",
    rows=PROMPTS.rows,
    options=FilterOptions,
    load=f"{__name__}:load",
    measure=f"{__name__}:measure",
    finish=f"{__name__}:finish",
    reads=PROMPTS.reads,
    makes_prompts=False,
)


def load(run: Evaluation, options: FilterOptions) -> LoadedRows:
    """Finds rewards and tools, and reads the prompts; refuses images, which nothing that is kept would hold."""
    named = NamedTools.of_recipe(run.recipe)
    if named and options.pass_rate is None:
        raise UserError(
            f"{run.recipe_path} names tools, and samples with calls are no rows to train on. Keep prompts by "
            "`--pass_rate LOW:HIGH`, or give a `--recipe` without tools."
        )
    loaded = load_with(run, named)
    if loaded.images:
        raise UserError(f"{loaded.images} has images, and `align filter` samples texts only. Leave such rows out.")
    return loaded


def measure(subject: Subject, rows: Sequence[PromptRow], asking: Asking) -> None:
    """Samples, and says how many prompts were sampled before."""
    transcribe(subject, rows, asking)
    if subject.kept.num_cached:
        say(f"{subject.kept.num_cached:,} of {len(rows):,} prompts were sampled before.")


def finish(run: Evaluation, loaded: LoadedRows, _: Mapping[str, Any]) -> Kept:
    """Judges, and chooses the rows."""
    task, prompts, options = loaded.task, loaded.rows, run.options
    reward(task, prompts)
    ((name, completions),) = task.completions.items()
    verifier, *golds = (task.rewarded[name][each.name].values for each in task.rewards)
    accepted = accepts(verifier, options.threshold)
    if options.pass_rate is None:
        fates = sort_out(completions, accepted, run.decoding.max_new_tokens)
        kept = np.array([[fate == KEPT for fate in row] for row in fates])
        rows = _sample_rows(prompts, completions, verifier, kept)
        found = Counter(fate for row in fates for fate in row)
        counts = {"prompts_kept": sum(KEPT in row for row in fates), "samples": {fate: found[fate] for fate in FATES}}
    else:
        kept, rates = np.nan_to_num(accepted), mean_of_known(accepted)
        rows, counts = _prompt_rows(prompts, rates, options.pass_rate), _count_prompts(accepted, options.pass_rate)
    counts |= {"prompts": len(prompts), "rows": len(rows)}
    counts["mean_pass_rate"] = cell(share(mean_of_known(accepted)))
    slips = measure_slips(accepted, _gold(task, golds[0]), kept) if golds else {}
    return Kept(rows, _card(run, loaded, counts, slips), slips)


def _gold(task: PromptTask, values: Values) -> Values:
    right_from = read_scale([values], task.run.options.right_from).right_from
    if right_from is None:
        raise UserError(
            f"`--audit` {task.rewards[1].spec} gives values other than 0 and 1. Say with `--right_from` from "
            "where a response is right."
        )
    return np.where(np.isnan(values), np.nan, values >= right_from)


def _card(
    run: Evaluation, loaded: LoadedRows, counts: dict[str, Any], slips: Mapping[str, Estimate]
) -> dict[str, Any]:
    about, options = run.about(loaded, []), run.options
    (model,) = about.models
    verifier, *golds = loaded.task.rewards
    audit = {"gold": golds[0].spec} | {name: cell(each) for name, each in slips.items()} if golds else None
    return {
        "kind": "samples" if options.pass_rate is None else "prompts",
        "data": run.path,
        "model": {"path": model.path, "fingerprint": model.fingerprint},
        "decoding": asdict(run.decoding),
        "verifier": {"spec": verifier.spec, "threshold": options.threshold},
        "pass_rate": None if options.pass_rate is None else list(options.pass_rate),
        "counts": counts,
        "audit": audit,
        "versions": about.versions,
        "invalid": {name: each.failures for name, each in loaded.task.rewarded[model.name].items()},
        "bad_rows": loaded.left_out,
    }


def _sample_rows(
    prompts: Sequence[PromptRow], completions: Sequence[Sequence[Any]], values: Values, kept: Values
) -> list[dict[str, Any]]:
    return [
        {
            "id": f"{row.id}-sample-{j}",
            "prompt": row.prompt,
            "completion": write_response(completions[i][j].text, row.prompt),
            "prompt_id": row.id,
            "verifier": float(values[i, j]),
        }
        for i, row in enumerate(prompts)
        for j in np.flatnonzero(kept[i])
    ]


def _prompt_rows(prompts: Sequence[PromptRow], rates: Values, within: tuple[float, float]) -> list[dict[str, Any]]:
    low, high = within
    return [
        {"id": row.id, "prompt": row.prompt} | dict(row.columns) | {"pass_rate": round(float(rate), 6)}
        for row, rate in zip(prompts, rates, strict=True)
        if low <= rate <= high
    ]


def _count_prompts(accepted: Values, within: tuple[float, float]) -> dict[str, Any]:
    (low, high), rates = within, mean_of_known(accepted)
    unknown, taken = int(np.isnan(accepted).sum()), int(np.nansum(accepted))
    return {
        "below": int((rates < low).sum()),
        "above": int((rates > high).sum()),
        "without_value": int(np.isnan(rates).sum()),
        "samples": {"accepted": taken, REJECTED: accepted.size - taken - unknown, UNKNOWN: unknown},
    }


def write_summary(out: Path, card: Mapping[str, Any]) -> Path:
    """Writes `OUT.filter.json` beside the rows."""
    masked, summary = mask(dict(card)), out.with_suffix(".filter.json")
    write_whole(summary, json.dumps(masked, indent=2, ensure_ascii=False) + "\n", errors="backslashreplace")
    return summary


def cell(estimate: Estimate) -> dict[str, float | int | None]:
    """Writes an estimate over prompts for JSON, which knows no nan."""
    ends = (estimate.value, estimate.low, estimate.high)
    value, low, high = (None if math.isnan(end) else end for end in ends)
    return {"value": value, "low": low, "high": high, "prompts": estimate.n}
