from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from align.data.tables.observations import Labels, Observations, Values

SCALE_FILE = "reward_scale.json"  # beside a model


@dataclass(frozen=True)
class Scale:
    """What a reward model's scores mean: one unit of them is `deviation` of the outcome, 0 is `mean`."""

    outcome: str
    mean: float  # of the corrected outcome in training
    deviation: float  # its standard deviation there
    prefix: str = ""  # what the model reads before the prompt, for one that takes confounders as input

    def record(self) -> dict[str, Any]:
        """Returns what is saved beside a model."""
        return {"format": "truealign.reward_scale/1"} | asdict(self)


class ObservedText(NamedTuple):
    """One text with what was observed of it, as it was read."""

    id: str  # as in the rows of the trainer, which do not say where a row stood in its file
    prompt: str  # what it answers; empty where nothing says so
    text: str
    outcome: float
    confounders: tuple[float, ...]  # in their order


def observed_texts(observations: Observations, name: str = "row") -> list[ObservedText]:
    """Lists observations one by one, under the names that `outcome_rows` gives them."""
    assert observations.text is not None
    prompts: Labels | Sequence[str] = (
        observations.prompt if observations.prompt is not None else [""] * observations.num_rows
    )
    confounders = np.stack(list(observations.confounders.values()), axis=1).tolist()
    parts = zip(prompts, observations.text, observations.outcome.tolist(), confounders, strict=True)
    return [
        ObservedText(f"{name}-{number}", prompt, text, outcome, tuple(values))
        for number, (prompt, text, outcome, values) in enumerate(parts)
    ]


def outcome_rows(
    texts: Sequence[ObservedText],
    corrected: Values,
    scale: Scale,
    *,
    prefixes: Sequence[str] | None = None,
    conversational: bool = False,
) -> list[dict[str, Any]]:
    """Makes the rows of a trainer with `(N,)` corrected outcomes, whose `label` is standardised by `scale`."""
    labels = ((corrected - scale.mean) / scale.deviation).tolist()
    rows = []
    for number, (each, label) in enumerate(zip(texts, labels, strict=True)):
        prompt = each.prompt if prefixes is None else prefixes[number] + each.prompt
        shown = [{"role": "user", "content": prompt}] if conversational else prompt
        rows.append(each._asdict() | {"prompt": shown, "label": label, "confounders": list(each.confounders)})
    return rows


def confounder_prefix(names: Sequence[str], standardised: Sequence[float]) -> str:
    r"""Words confounders for a model that reads them, in standard deviations from their mean.

    Example:
        >>> confounder_prefix(["popularity"], [0.731])
        'popularity +0.7\n'
    """
    return "".join(f"{name} {round(value, 1) + 0.0:+.1f}\n" for name, value in zip(names, standardised, strict=True))
