"""What a mixture of data sets is made of."""

from typing import Any

from align.checks.finding import Finding
from align.data.mixing import Share
from align.data.training_data import TrainingData

# Four passes over the same rows teach about as much as new ones would, and later ones less (arXiv 2305.16264).
_PASSES = 4
_UNUSED = 0.01  # share of a set's rows that are not drawn


def check_mixture(data: TrainingData[Any]) -> list[Finding]:
    """Says how many rows each set has in the mixture, how often they are repeated, and what is not used."""
    if not data.shares:
        return []
    total = len(data.rows)
    numbers = {share.name: {**share._asdict(), "repeats": share.repeats} for share in data.shares}
    text = f"A mixture of {total:,} rows: {'; '.join(_word(share, total) for share in data.shares)}."
    findings = [Finding("ok", "mixture", text, numbers)]
    often = [share for share in data.shares if share.repeats > _PASSES]
    if often:
        named = ", ".join(f"{share.name} ({share.rows:,} rows, {share.repeats:.1f} times each)" for share in often)
        text = (
            f"Smaller than their share: {named}. Rows that are repeated more than {_PASSES} times in one pass teach "
            "less than others. Lower the weight, add rows, or set `dataset.stopping_strategy: first_exhausted`."
        )
        findings.append(Finding("warning", "mixture", text))
    return findings


def _word(share: Share, total: int) -> str:
    weight = "" if share.weight is None else f", weight {share.weight:.0%}"
    if share.repeats > 1:
        used = f", each {share.repeats:.1f} times on average"
    else:
        used = f" of its {share.rows:,}" if share.repeats < 1 - _UNUSED else ""
    return f"{share.drawn:,} ({share.drawn / total:.0%}{weight}) from {share.name}{used}"
