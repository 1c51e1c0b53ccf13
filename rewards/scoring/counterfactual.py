"""A reward that pays only what survives a change of what the policy did not see."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rewards.error_rates.rates import Rate, rate_of
from rewards.reading.responses import Completion
from rewards.running.protocol import is_async, result_of, reward_name

Change = Callable[[Mapping[str, Any]], Mapping[str, Any] | None]


class Counterfactual:
    """Pays the lower of what a reward gives beside a row, and beside the row with something unseen changed.

    A program is run with other tests, a query on another database, a plan in another world: what was fitted to the
    one that was shown, or found out of it, is not paid. `change` gets a row, with every column, and returns the
    columns that differ, what is right among them; None where there is nothing to change, and the row's own pay counts.

    Example:
        >>> def doubles(completions, test, **columns):
        ...     return [float(eval(c, {"x": t[0]}) == t[1]) for c, t in zip(completions, test)]
        >>> fair = Counterfactual(doubles, lambda row: {"test": row["other"]})
        >>> fair(completions=["2 * x", "6"], test=[(3, 6)] * 2, other=[(5, 10)] * 2)
        [1.0, 0.0]
    """

    def __init__(self, reward: Callable[..., Any], change: Change) -> None:
        self.reward, self.change = reward, change
        self.__name__ = f"{reward_name(reward)}_counterfactual"
        own = [each for each in inspect.signature(reward).parameters.values() if each.kind is not each.VAR_KEYWORD]
        more = inspect.Parameter("columns", inspect.Parameter.VAR_KEYWORD)
        self.__signature__ = inspect.Signature([*(each.replace(kind=each.KEYWORD_ONLY) for each in own), more])

    def __call__(self, completions: Sequence[Completion], **columns: Any) -> list[float | None]:
        """Scores completions; None where one of both pays says nothing."""
        own, changed = self._pays(completions, columns)
        if log := columns.get("log_metric"):
            taken = [x is not None and y is not None and y < x for x, y in zip(own, changed, strict=True)]
            log(f"{self.__name__}/taken_rate", float(np.mean(taken)) if taken else 0.0)
        return [None if x is None or y is None else min(x, y) for x, y in zip(own, changed, strict=True)]

    def cost(self, completions: Sequence[Completion], **columns: Any) -> Rate:
        """Measures on honest completions the share of paid ones of which it takes pay."""
        pairs = [(x, y) for x, y in zip(*self._pays(completions, columns), strict=True) if x is not None and x > 0]
        return rate_of([y is None or y < x for x, y in pairs])

    def _pays(self, completions: Sequence[Completion], columns: Mapping[str, Any]) -> tuple[list[Any], list[Any]]:
        count = len(completions)
        of_rows = [name for name, each in columns.items() if isinstance(each, list | tuple) and len(each) == count]
        rows = [{name: columns[name][i] for name in of_rows} for i in range(count)]
        changes = [self.change(row) for row in rows]
        asked = [i for i, each in enumerate(changes) if each is not None]
        own = self._ask(completions, rows, columns)
        if not asked:
            return own, own
        others = [{**rows[i], **(changes[i] or {})} for i in asked]
        found = dict(zip(asked, self._ask([completions[i] for i in asked], others, columns), strict=True))
        return own, [found.get(i, value) for i, value in enumerate(own)]

    def _ask(self, completions: Sequence[Completion], rows: Sequence[Any], columns: Mapping[str, Any]) -> list[Any]:
        plain = {name: each for name, each in columns.items() if not rows or name not in rows[0]}
        given = {"completions": list(completions), **plain, **{name: [row[name] for row in rows] for name in rows[0]}}
        value = self.reward(**given)
        return list(result_of(value) if is_async(self.reward) else value)


counterfactual = Counterfactual
