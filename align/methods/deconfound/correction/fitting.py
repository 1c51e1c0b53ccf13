"""Settings of a correction; fits it to observations, and applies it to others."""

import inspect
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from align.data.tables.observations import Observations, Roles, Values
from align.errors import DataError, UserError
from align.methods.deconfound.options import Estimation
from align.models.at_hand import require_model
from align.models.pretrained import load_pretrained
from align.models.reading import reading_model, refuse_unfit
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

    def corrector(self) -> Corrector:
        """Makes an unfitted estimator."""
        chosen = CLASSES[self.estimator]
        known = inspect.signature(chosen).parameters
        return chosen(**{name: value for name, value in vars(self).items() if name in known})

    def check_needs(self, *, has_text: bool, has_instruments: bool, has_groups: bool) -> None:
        """Refuses an estimator without the columns that it needs."""
        needs = {"iv": ("instruments", has_instruments), "dml": ("text", has_text)}
        needs["fixed_effects"] = ("groups", has_groups)
        role, is_given = needs.get(self.estimator, ("", True))
        if not is_given:
            usable = {"dml": has_text, "fixed_effects": has_groups, "iv": has_instruments, "ols": True}
            others = ", ".join(f"`{name}`" for name, is_usable in usable.items() if is_usable)
            raise UserError(
                f"`estimator: {self.estimator}` needs `{role}`, and none is named. Name the column, or choose an "
                f"estimator that works without it: {others}."
            )


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


BATCH = 32  # texts at once
LONGEST = 512  # tokens that are read of a text


def embed(texts: Sequence[str], model: str) -> NDArray[np.float32]:
    """Averages the last hidden states of an `AutoModel` over the tokens of each text, `(N, D)`."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    require_model(model)
    with reading_model(model, "embedding model"):
        tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=False)
        network, info = load_pretrained(AutoModel, model, output_loading_info=True)
    unpooled = [name for name in info["missing_keys"] if not name.startswith("pooler.")]  # embeddings are means
    refuse_unfit(model, info | {"missing_keys": unpooled})
    network.eval()
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else "cpu"
    network = network.to(device)
    distinct, codes = np.unique(np.asarray(texts, dtype=str), return_inverse=True)
    order = np.argsort([len(text) for text in distinct])
    found: dict[int, NDArray[np.float32]] = {}
    for start in range(0, len(order), BATCH):
        places = order[start : start + BATCH]
        inputs = tokenizer(
            [str(distinct[place]) for place in places], padding=True, truncation=True, max_length=LONGEST,
            return_tensors="pt", return_token_type_ids=False,
        ).to(device)  # fmt: skip
        with torch.no_grad():
            states = network(**inputs).last_hidden_state
        mask = inputs["attention_mask"][..., None]
        means = ((states * mask).sum(1) / mask.sum(1)).float().cpu().numpy()
        found.update(zip(places.tolist(), means, strict=True))
    return np.stack([found[place] for place in range(len(distinct))])[codes]
