"""Records as tables: for a console, a notebook and pandas."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from align.evaluation.statistics.metrics import Estimate

if TYPE_CHECKING:
    import pandas as pd

Line = tuple[str, str, str, Estimate]  # suite, model (or "a - b"), metric, and what was measured


class Tabled:
    """A record that is shown as a table, one line for each metric of each model and each difference."""

    def lines(self) -> Iterator[Line]:
        """Yields the lines."""
        raise NotImplementedError

    def to_pandas(self) -> "pd.DataFrame":
        """Returns a frame with the columns suite, model, metric, value, low, high and n; intervals are of 95 %."""
        import pandas as pd

        rows = [(suite, model, metric, *cell[:4]) for suite, model, metric, cell in self.lines()]
        return pd.DataFrame(rows, columns=["suite", "model", "metric", "value", "low", "high", "n"])

    def __str__(self) -> str:
        """Returns a line for each metric, with its interval."""
        return "\n".join(f"{suite} {metric}, {model}: {cell}" for suite, model, metric, cell in self.lines())

    def _repr_html_(self) -> str:
        """Returns the table for a notebook: metrics down, models and differences across."""
        import pandas as pd

        rows: list[dict[str, Any]] = [
            {"suite": suite, "metric": metric, "model": model, "measured": str(cell)}
            for suite, model, metric, cell in self.lines()
        ]
        table = pd.DataFrame(rows).pivot(index=["suite", "metric"], columns="model", values="measured").fillna("")
        order = list(dict.fromkeys(row["model"] for row in rows))
        html: str = table.reindex(list(dict.fromkeys((row["suite"], row["metric"]) for row in rows)))[order].to_html()
        return html
