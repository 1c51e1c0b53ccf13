"""What the parts of `evaluation.json` are made of: estimates, and names of metrics."""

import math
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, PlainSerializer

from align.evaluation.statistics.metrics import Estimate

_RENAMED = {"macro_std": "group_std"}  # by the name that earlier versions gave them
_NUMBERS = ("value", "low", "high", "n")


def _with_nan(cell: object) -> object:
    """Puts nan where a file has null, that is no number. Only a list holds NaN itself."""
    if isinstance(cell, Estimate):
        return cell
    if isinstance(cell, dict):
        known = {key: cell[key] for key in _NUMBERS if key in cell}
        return _filled(known, may_be_nan=False)
    if not isinstance(cell, list | tuple) or len(cell) not in (4, 5):
        raise ValueError("must have value, low, high and n")
    return [*_filled(dict(zip(_NUMBERS, cell, strict=False)), may_be_nan=True).values(), *cell[4:]]


def _filled(numbers: dict[str, object], *, may_be_nan: bool) -> dict[str, object]:
    for each in numbers.values():
        if isinstance(each, float) and not math.isfinite(each) and not (may_be_nan and math.isnan(each)):
            raise ValueError("must hold finite numbers, or null where there is none")
    return {key: math.nan if each is None and key != "n" else each for key, each in numbers.items()}


def _as_object(estimate: Estimate) -> dict[str, float]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high, "n": estimate.n}


Metric = Annotated[str, AfterValidator(lambda name: _RENAMED.get(name, name))]
Row = Annotated[Estimate, BeforeValidator(_with_nan)]  # `[value, low, high, n, unit]`
Cell = Annotated[Estimate, BeforeValidator(_with_nan), PlainSerializer(_as_object)]  # with names


class Part(BaseModel):
    """An object of the file. What is not set is not written; keys that are not known are ignored."""

    model_config = ConfigDict(strict=True, protected_namespaces=())  # `model_type` is a key
