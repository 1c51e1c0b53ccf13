"""Settings of a correction; fits it to observations, and applies it to others."""

import inspect
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from align.data.tables.observations import Observations, Roles, Values
from align.errors import DataError
from align.methods.deconfound.options import Estimation
from rewards.correction import ESTIMATORS as CLASSES
from rewards.correction import Correction, CorrectionWarning, Corrector
from rewards.correction.columns import Columns, read_columns

T = TypeVar("T")
ESTIMATORS = ("auto", *CLASSES)


def chosen(estimator: str, roles: Roles) -> str:
    """Returns the estimator that `auto` means: the one with the weakest assumptions that the columns allow."""
    if estimator != "auto":
        return estimator
    return "iv" if roles.instruments else "dml" if roles.text else "ols"


@dataclass(frozen=True, kw_only=True)
class CorrectionSettings(Estimation):
    """Which estimator, and what it may do; `instrumented` is None for all."""

    def numbers(self, confounders: Sequence[str]) -> Sequence[str]:
        """Returns the confounders that instruments move, which therefore stay numbers with few values, too."""
        if self.estimator != "iv":
            return ()
        return confounders if self.instrumented is None else self.instrumented

    def corrector(self, **more: Any) -> Corrector:
        """Makes an unfitted estimator, which takes what it knows of the settings, and of `more`."""
        chosen = CLASSES[self.estimator]
        known = inspect.signature(chosen).parameters
        return chosen(**{name: value for name, value in (vars(self) | more).items() if name in known})


def fit(rows: Observations, settings: CorrectionSettings, **more: Any) -> Corrector:
    """Fits the estimator to rows that are all in memory."""
    known = columns(rows, settings.estimator)
    return _quietly(lambda: settings.corrector(**more).fit(rows.outcome, confounders_of(rows), **known))


def confounders_of(rows: Observations) -> Columns:
    """Returns the confounders with the units of those that were dates, and the categories that levels are of."""
    found = read_columns(rows.confounders, "confounder")
    units = {name: rows.units[name] for name in found.names if name in rows.units}
    return found._replace(units=units, categories=rows.categories)


def columns(rows: Observations, estimator: str) -> dict[str, Any]:
    """Returns the columns that an estimator takes beside outcome and confounders."""
    found: dict[str, Any] = {"text": rows.text, "groups": rows.groups}
    if estimator == "iv":
        found["instruments"] = rows.instruments or None
    return found


def apply(correction: Correction, rows: Observations) -> Values:
    """Returns the corrected outcome of each row; those of groups that were not fitted are not corrected for them."""
    return _quietly(lambda: correction.correct(rows.outcome, confounders_of(rows), groups=rows.groups))


def load_correction(path: Path) -> Correction:
    """Reads a saved correction; raises `DataError` if there is none, or the file is something else."""
    try:
        return Correction.load(path)
    except OSError as error:
        raise DataError(f"The correction {path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is not a correction: {error}") from error


def _quietly(made: Callable[[], T]) -> T:
    """Fits or corrects; the warnings are in the correction, where the page and the command find them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CorrectionWarning)
        try:
            return made()
        except DataError:
            raise
        except (ValueError, ImportError) as error:
            raise DataError(str(error)) from error
