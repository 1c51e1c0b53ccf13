"""The rows that a reward model on corrected outcomes learns from."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from align.data.tables.observations import Labels, Observations, Values

SCALE_FILE = "reward_scale.json"  # beside a model


@dataclass(frozen=True)
class Scale:
    """What a reward model's scores mean: one unit of them is `deviation` of the outcome, 0 is `mean`.

    Attributes:
        outcome: Name of the outcome.
        mean: Of the corrected outcome in training.
        deviation: Its standard deviation there.
        prefix: What the model reads before the prompt, for a model that takes confounders as input.
    """

    outcome: str
    mean: float
    deviation: float
    prefix: str = ""

    def record(self) -> dict[str, Any]:
        """Returns what is saved beside a model."""
        return {"format": "truealign.reward_scale/1"} | asdict(self)


class ObservedText(NamedTuple):
    """One text with what was observed of it, as it was read.

    Attributes:
        id: As in the rows of the trainer, which do not say where a row stood in its file.
        prompt: What it answers; empty where nothing says so.
        text: The text.
        outcome: What was observed.
        confounders: What may have moved it, in their order.
    """

    id: str
    prompt: str
    text: str
    outcome: float
    confounders: tuple[float, ...]


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
    observations: Observations,
    corrected: Values,
    scale: Scale,
    *,
    prefixes: Sequence[str] | None = None,
    conversational: bool = False,
    name: str = "row",
) -> list[dict[str, Any]]:
    """Makes the rows of a trainer.

    Args:
        observations: With text.
        corrected: `(N,)` corrected outcomes.
        scale: Of the labels.
        prefixes: What goes before each prompt.
        conversational: Whether prompts become messages.
        name: Of the rows, before their number.

    Returns:
        Rows with `id`, `prompt`, `text`, `label` (standardised), `outcome`, and `confounders` in their order.
    """
    assert observations.text is not None
    prompts: Labels | Sequence[str] = observations.prompt if observations.prompt is not None else [""] * len(corrected)
    confounders = np.stack(list(observations.confounders.values()), axis=1)
    labels = (corrected - scale.mean) / scale.deviation
    rows = []
    for number, (prompt, text) in enumerate(zip(prompts, observations.text, strict=True)):
        prompt = prompt if prefixes is None else prefixes[number] + prompt
        rows.append(
            {
                "id": f"{name}-{number}",
                "prompt": [{"role": "user", "content": prompt}] if conversational else prompt,
                "text": text,
                "label": float(labels[number]),
                "outcome": float(observations.outcome[number]),
                "confounders": confounders[number].tolist(),
            }
        )
    return rows


def confounder_prefix(names: Sequence[str], standardised: Sequence[float]) -> str:
    r"""Words confounders for a model that reads them, in standard deviations from their mean.

    Example:
        >>> confounder_prefix(["popularity"], [0.731])
        'popularity +0.7\n'
    """
    return "".join(f"{name} {round(value, 1) + 0.0:+.1f}\n" for name, value in zip(names, standardised, strict=True))
