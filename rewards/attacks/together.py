"""What a recipe pays, the sum of its rewards with weights, gates and limits, as one reward that can be attacked."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rewards.running import protocol
from rewards.running.contract import Spec
from rewards.running.scores import Composition


@dataclass(frozen=True)
class Together:
    """A spec of the sum of rewards."""

    parts: Sequence[Spec]
    weights: Sequence[float]
    composition: Composition
    spec: str = "the sum"

    def resolve(self) -> "Sum":
        """Finds and builds all of them."""
        return Sum([each.resolve() for each in self.parts], self.weights, self.composition)


class Sum:
    """The weighted sum of rewards behind their gates and limits; None where none of them has a value."""

    def __init__(
        self, funcs: Sequence[Callable[..., Any]], weights: Sequence[float], composition: Composition
    ) -> None:
        self.funcs, self.weights, self.composition = list(funcs), np.asarray(weights, float), composition
        names = [protocol.reward_name(func) for func in funcs]
        gates = [
            f" (behind {names[composition.gates[i]]})" if i in composition.gates else "" for i in range(len(names))
        ]
        parts = zip(weights, names, gates, strict=True)
        self.__name__ = " + ".join(f"{'' if w == 1 else f'{w:g} '}{name}{gate}" for w, name, gate in parts if w)
        for told in (protocol.asks_a_model, protocol.reads_whole_batch, protocol.renders_messages):
            name = "whole_batch" if told is protocol.reads_whole_batch else told.__name__
            setattr(self, name, any(map(told, funcs)))
        all_of = [each for func in funcs for each in inspect.signature(func).parameters.values()]
        kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        named = {p.name: p.replace(kind=p.KEYWORD_ONLY) for p in all_of if p.kind in kinds}
        more = inspect.Parameter("columns", inspect.Parameter.VAR_KEYWORD)
        self.__signature__ = inspect.Signature([*named.values(), more])

    def __call__(self, **given: Any) -> list[float | None]:
        """Scores completions."""
        scored = [protocol.result_of(f(**given)) if protocol.is_async(f) else f(**given) for f in self.funcs]
        values = np.array([[np.nan if x is None else x for x in each] for each in scored], float).T
        counted = self.composition.apply(values)
        totals = np.where(np.isnan(counted).all(axis=1), np.nan, np.nansum(counted * self.weights, axis=1))
        return [None if np.isnan(total) else float(total) for total in totals]
