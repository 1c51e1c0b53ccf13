"""Prompts that a model's training was not about: 60 of our own in six categories, and others."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from align.data.rules import check_label
from align.errors import DataError
from align.evaluation.suite import Loaded, Reading
from align.evaluation.suites.drift.behaviours import load_behaviours, load_triggers
from align.evaluation.suites.rows import check_text, joined, load_suite_rows

OWN = Path(__file__).with_name("prompts.jsonl")


@dataclass(frozen=True)
class DriftPrompt:
    """A prompt."""

    id: str
    prompt: str
    group: str | None
    row: int


def load(reading: Reading, options: Any) -> Loaded:
    """Loads prompts (`--data`'s, else our own, and those of `--drift_prompts`), behaviours and triggers."""
    parts = [_load(reading if reading.path is not None else reading._replace(path=str(OWN), split=None))]
    if options.drift_prompts is not None:
        parts.append(_load(Reading(options.drift_prompts, on_bad_rows=reading.on_bad_rows)))
    loaded = joined(parts)
    (name, count), *_ = Counter(row.id for row in loaded.rows).most_common(1)
    if count > 1:
        raise DataError(
            f"{options.drift_prompts}: the id {name!r} is that of another prompt too. Rename or remove it."
        )
    behaviours = load_behaviours(options.behaviours, options.judge)
    triggers = load_triggers(options.triggers, behaviours)
    content = [*loaded.content, *map(list, behaviours), *map(list, triggers)]
    return loaded._replace(content=content, options={"behaviours": behaviours, "triggers": triggers})


def _load(reading: Reading) -> Loaded:
    return load_suite_rows(reading, ("prompt",), _check)


def _check(row: Mapping[str, Any], name: str, number: int) -> DriftPrompt:
    category = check_label("category", row.get("category"))
    return DriftPrompt(name, check_text(row, "prompt", what="prompt"), category, number)
