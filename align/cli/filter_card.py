"""The card beside rows that were filtered from samples: what decided them, and how far the verifier can be trusted."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from align.evaluation.prompts.rejection import Slips
from align.evaluation.statistics.metrics import Estimate
from align.secrets import mask
from align.whole_files import write_whole

_AUDITED = {
    "false_positive_rate": "Wrong samples that the verifier accepts",
    "true_positive_rate": "Right samples that it accepts",
    "wrong_among_kept": "Samples let through that are wrong",
    "right": "Samples that are right",
}


def describe_slips(slips: Slips, gold: str) -> dict[str, Any]:
    """Writes a verifier's audit for JSON, with the gold that it was held against."""
    return {"gold": gold} | {name: cell(each) for name, each in slips._asdict().items()}


def write_card(out: Path, card: Mapping[str, Any]) -> tuple[Path, Path]:
    """Writes `OUT.filter.json` and `OUT.card.md` beside the rows.

    Raises:
        OSError: If they cannot be written.
    """
    masked: Any = mask(dict(card))
    summary, page = out.with_suffix(".filter.json"), out.with_suffix(".card.md")
    write_whole(summary, json.dumps(masked, indent=2, ensure_ascii=False) + "\n", errors="backslashreplace")
    write_whole(page, "\n".join(_lines(out.name, masked)) + "\n", errors="backslashreplace")
    return summary, page


def _lines(name: str, card: Mapping[str, Any]) -> list[str]:
    counts, verifier, decoding = card["counts"], card["verifier"], card["decoding"]
    sampled = f"{decoding['num_samples']} samples of each prompt at temperature {decoding['temperature']:g}"
    if card["pass_rate"] is None:
        what = f"{counts['rows']:,} responses to {counts['prompts_kept']:,} of {counts['prompts']:,} prompts."
        rule = f"Kept is each that `{verifier['spec']}` gives more than {verifier['threshold']:g}, once."
    else:
        low, high = card["pass_rate"]
        what = f"{counts['rows']:,} of {counts['prompts']:,} prompts."
        rule = f"Kept is each of whose samples `{verifier['spec']}` accepts {low:g} to {high:g} (values above "
        rule += f"{verifier['threshold']:g}); the rate is of few samples and not exact."
    lines = [f"# {name}", "", what, rule, ""]
    lines += [
        f"- Prompts: `{card['data']}`",
        f"- Model: `{card['model']['path']}`, {card['model']['fingerprint'][:12]}",
    ]
    lines += [f"- Sampling: {sampled}, at most {decoding['max_new_tokens']} tokens, seed {decoding['seed']}"]
    lines += [f"- Samples {fate}: {number:,}" for fate, number in counts["samples"].items()]
    audit = card["audit"]
    lines += ["", "## Audit of the verifier", ""]
    if audit is None:
        return [*lines, "Not audited: how many of the accepted samples are wrong is not known. `--audit` measures it."]
    lines += [f"Against `{audit['gold']}` on the same samples, with 95 % intervals over prompts:", ""]
    return [*lines, *(f"- {words}: {_words(audit[key])}" for key, words in _AUDITED.items())]


def cell(estimate: Estimate) -> dict[str, float | int | None]:
    """Writes an estimate over prompts for JSON, which knows no nan."""
    ends = (estimate.value, estimate.low, estimate.high)
    value, low, high = (None if math.isnan(end) else end for end in ends)
    return {"value": value, "low": low, "high": high, "prompts": estimate.n}


def _words(found: Mapping[str, Any]) -> str:
    value, low, high = (math.nan if found[key] is None else float(found[key]) for key in ("value", "low", "high"))
    return str(Estimate(value, low, high, found["prompts"], "prompts"))
