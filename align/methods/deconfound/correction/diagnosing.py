"""What to look at before a correction is believed, computed for one table and ready for JSON."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from align.data.tables.observations import Observations, Values
from align.errors import UserError
from align.methods.deconfound.correction.fitting import CorrectionSettings, apply, columns, confounders_of, fit
from align.methods.deconfound.correction.verdict import Explained, taken_along, together
from align.whole_files import as_json
from rewards.correction import Correction, Corrector
from rewards.correction.corrector import FEW_CLUSTERS
from rewards.correction.diagnostics import (
    Agreement,
    What,
    additivity,
    overlap,
    placebo,
    rank_agreement,
)

MOST_ROWS = 200_000  # that diagnostics look at; several estimators are fitted to them
MOST_TEXTS = 20_000  # where these read the text
PLACEBO_ROWS = 20_000  # each placebo fits twenty times again
PLACEBO_TEXTS = 2_000
REPEATS = 20


def diagnose(
    correction: Correction,
    rows: Observations,
    settings: CorrectionSettings,
    *,
    corrector: Corrector | None = None,
    shares: Sequence[Explained] = (),
    repeats: int = REPEATS,
) -> dict[str, Any]:
    """Computes every diagnostic that the columns allow; `not_made` says what not.

    `shares` are what `explain` found of the same rows.
    """
    others, fitted = _compare(correction, rows, settings)
    known = (each.residuals_ for each in (corrector, fitted.get("dml")) if each is not None)
    residuals = next((each for each in known if each is not None), None)  # by whichever took the text off
    confounders, slopes = confounders_of(rows), np.array(correction.coefficients)
    left = None if residuals is None else residuals.confounders
    not_made: dict[str, str] = {}

    def make(name: str, compute: Callable[[], Any]) -> Any:
        try:
            return as_json(compute())
        except ValueError as error:  # numpy's LinAlgError is one
            not_made[name] = str(error)
            return []

    return {
        "num_rows": rows.num_rows,
        "explained": as_json(list(shares)),
        "together": as_json(together(correction, rows, None if corrector is None else corrector.left_)),
        "taken_along": as_json(taken_along(correction, rows, fitted.get("dml"))),
        "overlap": make("overlap", lambda: overlap(confounders, left)),
        "overlap_knows_text": left is not None,
        "additivity": []
        if residuals is None
        else make(
            "additivity",
            lambda: additivity(confounders.names, residuals, slopes, rows.groups),
        ),
        "placebo": _placebos(rows, settings, repeats),
        "sensitivity": others,
        "within": within_prompts(rows, apply(correction, rows)),
        "not_made": not_made,
    }


def within_prompts(rows: Observations, reward: Values) -> dict[str, Any] | None:
    """Says how much of the correction differs between responses to one prompt, or group; the rest cancels in GRPO."""
    labels = rows.groups if rows.prompt is None else rows.prompt
    if labels is None:
        return None
    _, codes = np.unique(labels.astype(str), return_inverse=True)
    counts = np.bincount(codes)
    removed = rows.outcome - reward
    means = np.bincount(codes, weights=removed) / counts
    total = float(removed.var())
    share = float(((removed - means[codes]) ** 2).mean() / total) if total > 0 else 0.0
    kind = "group" if rows.prompt is None else "prompt"
    return {"by": kind, "share_within": share, "num_labels": len(counts), "num_with_several": int((counts > 1).sum())}


def sample_groups(rows: Observations, limit: int, seed: int) -> tuple[Observations, NDArray[np.int64]]:
    """Draws whole groups until there are enough rows; without groups, or where few of them fit, rows."""
    if rows.num_rows <= limit:
        return rows, np.arange(rows.num_rows)
    rng = np.random.default_rng(seed)
    if rows.groups is not None:
        _, codes = np.unique(rows.groups.astype(str), return_inverse=True)
        order = rng.permutation(int(codes.max()) + 1)
        enough = int(np.searchsorted(np.bincount(codes)[order].cumsum(), limit, side="right"))
        if enough >= FEW_CLUSTERS:
            kept = np.flatnonzero(np.isin(codes, order[:enough]))
            return rows.take(kept), kept
    kept = np.sort(rng.choice(rows.num_rows, limit, replace=False))
    return rows.take(kept), kept


def _compare(
    correction: Correction,
    rows: Observations,
    settings: CorrectionSettings,
) -> tuple[dict[str, Any], dict[str, Corrector]]:
    rewards = {correction.estimator: apply(correction, rows)}
    found, fitted, not_run = [_describe(correction)], {}, {}
    for name in ("none", "ols", "dml", "iv", "fixed_effects"):
        if name == correction.estimator:
            continue
        try:
            other = fit(rows, replace(settings, estimator=name), on_weak_instrument="keep")
        except UserError as error:
            not_run[name] = str(error)
            continue
        fitted[name], rewards[name] = other, apply(other.correction_, rows)
        found.append(_describe(other.correction_))
    alone = Agreement((), np.empty((0, 0)), np.empty((0, 0)))
    agreement = rank_agreement(rewards) if len(rewards) > 1 else alone
    return {
        "estimates": found,
        "not_run": not_run,
        "names": list(agreement.names),
        "rank_correlation": as_json(agreement.rank_correlation),
        "top_overlap": as_json(agreement.top_overlap),
    }, fitted


def _describe(correction: Correction) -> dict[str, Any]:
    return {
        "estimator": correction.estimator,
        "num_rows": correction.num_rows,
        "coefficients": list(correction.coefficients),
        "intervals": [list(interval) for interval in correction.intervals],
        "warnings": list(correction.warnings),
    }


def _placebos(rows: Observations, settings: CorrectionSettings, repeats: int) -> list[dict[str, Any]]:
    if settings.estimator == "none":
        return []
    few, _ = sample_groups(rows, PLACEBO_ROWS if rows.text is None else PLACEBO_TEXTS, settings.seed)
    own = columns(few, settings.estimator)
    kinds: tuple[What, ...] = ("confounder", "instrument") if own.get("instruments") else ("confounder",)
    found = []
    for kind in kinds:
        try:
            result = placebo(
                settings.corrector(), few.outcome, confounders_of(few), **own, permute=kind, repeats=repeats,
                seed=settings.seed,
            )  # fmt: skip
        except ValueError as error:
            found.append({"what": kind, "num_rows": few.num_rows, "not_run": str(error)})
            continue
        found.append(as_json(result) | {"num_rows": few.num_rows, "repeats": repeats})
    return found
