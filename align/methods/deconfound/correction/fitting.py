"""Fits a correction to observations, all at once or in chunks, and applies it to others."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from align.data.tables.observations import ObservationReader, Observations, Roles, Values
from align.errors import DataError
from align.methods.deconfound.correction.settings import CHUNKED, CorrectionSettings
from rewards.correction import Correction, CorrectionWarning, Corrector, TableChunk
from rewards.correction.columns import Columns, read_columns


def fit(rows: Observations, settings: CorrectionSettings, features: Any = None) -> Corrector:
    """Fits the estimator to rows that are all in memory; `features` `(N, D)` replace the words of the text."""
    has_text = rows.text is not None or features is not None
    settings.check_needs(has_text=has_text, has_instruments=bool(rows.instruments), has_groups=rows.groups is not None)
    return _quietly(
        lambda: settings.corrector().fit(
            rows.outcome, confounders_of(rows), **columns(rows, settings.estimator, features)
        )
    )


def confounders_of(rows: Observations) -> Columns:
    """Returns the confounders with the units of those that were dates, and the categories that levels are of."""
    found = read_columns(rows.confounders, "confounder")
    units = {name: rows.units[name] for name in found.names if name in rows.units}
    return found._replace(units=units, categories=rows.categories)


def columns(rows: Observations, estimator: str, features: Any = None) -> dict[str, Any]:
    """Returns the columns that an estimator takes beside outcome and confounders."""
    found: dict[str, Any] = {"text": rows.text, "features": features, "groups": rows.groups}
    if estimator == "iv":
        found["instruments"] = rows.instruments or None
    return found


def fits_in_chunks(settings: CorrectionSettings, roles: Roles) -> bool:
    """Says whether sums over rows are all that the estimator needs."""
    return settings.estimator in CHUNKED and (settings.estimator != "iv" or roles.text is None)


def fit_in_chunks(reader: ObservationReader, settings: CorrectionSettings) -> Corrector:
    """Fits the estimator of the settings to rows that are read as often as it needs them."""
    settings.check_needs(
        has_text=False, has_instruments=bool(reader.roles.instruments), has_groups=reader.roles.groups is not None
    )

    def read() -> Iterator[TableChunk]:
        for rows in reader.read():
            if rows.num_rows:
                instruments = rows.instruments if settings.estimator == "iv" else None
                yield TableChunk(rows.outcome, confounders_of(rows), instruments, rows.groups)

    return _quietly(lambda: settings.corrector().fit_chunks(read))


def apply(correction: Correction, rows: Observations) -> Values:
    """Returns the corrected outcome of each row, also of rows that were not fitted.

    Rows of unknown groups are not corrected for them; `num_unknown_groups` counts these.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CorrectionWarning)
        try:
            return correction.correct(rows.outcome, confounders_of(rows), groups=rows.groups)
        except ValueError as error:
            raise DataError(str(error)) from error


def load_correction(path: Path) -> Correction:
    """Reads a saved correction; raises `DataError` if there is none, or the file is something else."""
    try:
        return Correction.load(path)
    except OSError as error:
        raise DataError(f"The correction {path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is not a correction: {error}") from error


def num_unknown_groups(correction: Correction, rows: Observations) -> int:
    """Counts rows whose group has no effect of its own, and which are therefore not corrected for it."""
    if not correction.group_effects or rows.groups is None:
        return 0
    return correction.unknown_groups(np.asarray(rows.groups))


def _quietly(fitted: Any) -> Corrector:
    """Fits; the warnings are in the correction, where the page and the command find them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CorrectionWarning)
        try:
            result: Corrector = fitted()
        except DataError:
            raise
        except (ValueError, ImportError) as error:
            raise DataError(str(error)) from error
    return result
