"""A suite that lives outside the package: whether a model shouts."""

from dataclasses import dataclass

import numpy as np

from align.evaluation.options import OwnRows
from align.evaluation.statistics.item_means import ItemMean
from align.evaluation.suite import Measured, Suite
from align.evaluation.suites.suite_rows import check_text, load_suite_rows
from align.models.policies.asking import Prompt
from align.options import option


@dataclass(frozen=True, kw_only=True)
class ShoutingOptions(OwnRows):
    """What is measured."""

    loud: float = option(0.5, "Share of capitals from which a response is loud.")


@dataclass(frozen=True)
class Line:
    """A prompt."""

    id: str
    prompt: str
    group: str | None
    row: int


def load(reading, options):
    """Reads the prompts."""
    return load_suite_rows(
        reading, ("prompt",), lambda row, name, number: Line(name, check_text(row, "prompt"), None, number)
    )


def measure(subject, rows, asking):
    """Measures the share of responses with more capitals than the option says."""
    answers = subject.complete([Prompt(row.id, row.prompt) for row in rows], asking.decoding)
    texts = [each[0].text for each in answers]
    loud = np.array([float(sum(map(str.isupper, text)) >= asking.options.loud * len(text) > 0) for text in texts])
    items = [{"id": row.id, "prompt": row.prompt, "completion": text} for row, text in zip(rows, texts, strict=True)]
    return Measured({"shouting": ItemMean((loud,), bounds=(0.0, 1.0))}, {}, items)


SHOUTING = Suite(
    name="shouting",
    about="Whether a model shouts.",
    rows="prompts",
    needs=(("prompt",),),
    options=ShoutingOptions,
    load="shouting:load",
    measure="shouting:measure",
    headline=("shouting",),
    meanings={"shouting": ("Shouting", "responses that are mostly capitals", "lower")},
)
