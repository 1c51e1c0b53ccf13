"""What every record is made of: estimates as the file has them, and a table of what was measured."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer

from align.evaluation.statistics.metrics import Estimate
from rewards.extras import is_installed, loaded

if TYPE_CHECKING:
    import pandas as pd


_NUMBERS = ("value", "low", "high", "n")


def _with_nan(cell: object) -> object:
    """Puts nan where a file has null, that is no number."""
    if isinstance(cell, Estimate):
        return cell
    if not isinstance(cell, dict):
        raise ValueError("must have value, low, high and n")
    numbers = {key: cell[key] for key in _NUMBERS if key in cell}
    for each in numbers.values():
        if isinstance(each, float) and not math.isfinite(each):
            raise ValueError("must hold finite numbers, or null where there is none")
    return {key: math.nan if each is None and key != "n" else each for key, each in numbers.items()}


Cell = Annotated[
    Estimate, BeforeValidator(_with_nan), PlainSerializer(lambda each: dict(zip(_NUMBERS, each, strict=False)))
]
Number = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]  # null is none


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

    def __repr__(self) -> str:
        return str(self)

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
