"""What every record is made of: estimates as the file has them, and a table of what was measured."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, PlainSerializer

from align.evaluation.statistics.metrics import Estimate
from rewards.extras import is_installed, loaded

if TYPE_CHECKING:
    import pandas as pd


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


Metric = Annotated[str, AfterValidator(lambda name: _RENAMED.get(name, name))]
Row = Annotated[Estimate, BeforeValidator(_with_nan)]  # `[value, low, high, n, unit]`
Cell = Annotated[
    Estimate, BeforeValidator(_with_nan), PlainSerializer(lambda each: dict(zip(_NUMBERS, each, strict=False)))
]  # with names


class Part(BaseModel):
    """An object of the file. What is not set is not written; keys that are not known are ignored."""

    model_config = ConfigDict(strict=True, protected_namespaces=())  # `model_type` is a key


Line = tuple[str, str, str, Estimate]  # suite, model (or "a - b"), metric, and what was measured


class Tabled:
    """A record that is shown as a table, one line for each metric of each model and each difference."""

    def lines(self) -> Iterator[Line]:
        """Yields the lines."""
        raise NotImplementedError

    def to_pandas(self) -> "pd.DataFrame":
        """Returns a frame with the columns suite, model, metric, value, low, high and n; intervals are of 95 %."""
        pd = loaded("pandas", "`to_pandas()`")
        rows = [(suite, model, metric, *cell[:4]) for suite, model, metric, cell in self.lines()]
        return pd.DataFrame(rows, columns=["suite", "model", "metric", "value", "low", "high", "n"])

    def __str__(self) -> str:
        return "\n".join(f"{suite} {metric}, {model}: {cell}" for suite, model, metric, cell in self.lines())

    def _repr_html_(self) -> str | None:
        if not is_installed("pandas"):
            return None  # the text is shown
        pd = loaded("pandas", "a table")
        rows: list[dict[str, Any]] = [
            {"suite": suite, "metric": metric, "model": model, "measured": str(cell)}
            for suite, model, metric, cell in self.lines()
        ]
        table = pd.DataFrame(rows).pivot(index=["suite", "metric"], columns="model", values="measured").fillna("")
        order = list(dict.fromkeys(row["model"] for row in rows))
        return table.reindex(list(dict.fromkeys((row["suite"], row["metric"]) for row in rows)))[order].to_html()
