"""Keeps samples of a policy that a verifier accepts, or prompts that it sometimes solves, and writes their card."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from align.console import say
from align.data.conversations import write_response
from align.data.prompt_rows import PromptRow
from align.data.texts import is_blank
from align.errors import UserError
from align.evaluation.asking import KeptAnswers
from align.evaluation.engine import Beside
from align.evaluation.statistics.item_means import clustered_share
from align.evaluation.statistics.metrics import Estimate, Values, mean_of_known, share
from align.evaluation.suites.prompts import PROMPTS, PromptOptions
from align.evaluation.suites.prompts.evaluation import PromptEvaluation
from align.evaluation.suites.prompts.suite import read_scale
from align.evaluation.with_tools import NamedTools
from align.markdown import code, escape
from align.models.answer_cache import AnswerCache
from align.models.checkpoint import Checkpoint
from align.secrets import mask
from align.whole_files import write_whole

_AUDITED = {
    "false_positive_rate": "Wrong samples that the verifier accepts",
    "true_positive_rate": "Right samples that it accepts",
    "wrong_among_kept": "Samples let through that are wrong",
    "right": "Samples that are right",
}

KEPT, REJECTED, UNKNOWN, CUT_OFF, EMPTY, REPEATED = "kept", "rejected", "no value", "cut off", "empty", "repeated"
FATES = (KEPT, REJECTED, UNKNOWN, CUT_OFF, EMPTY, REPEATED)


def accepts(values: Values, threshold: float) -> Values:
    """Returns 1 for each value above the threshold, 0 for others, and nan where there is no value."""
    return np.where(np.isnan(values), np.nan, values > threshold)


def sort_out(completions: Sequence[Sequence[Any]], accepted: Values, longest: int) -> list[list[str]]:
    """Says what becomes of each of `(N, S)` samples, one of `FATES`.

    An accepted one is still left out if it is as long as responses may be (`longest`, in tokens), so that its end is
    missing, if there is nothing in it, or if an earlier kept sample of the same prompt has the same text.
    """
    fates: list[list[str]] = []
    for group, row in zip(completions, accepted, strict=True):
        seen: set[str] = set()
        fates.append([])
        for sample, value in zip(group, row, strict=True):
            if np.isnan(value):
                fate = UNKNOWN
            elif not value:
                fate = REJECTED
            elif sample.ids is not None and len(sample.ids) >= longest:
                fate = CUT_OFF
            elif is_blank(sample.text):
                fate = EMPTY
            else:
                fate = REPEATED if sample.text in seen else KEPT
                seen.add(sample.text)
            fates[-1].append(fate)
    return fates


def measure_slips(accepted: Values, gold: Values, kept: Values) -> dict[str, Estimate]:
    """Measures a verifier on `(N, S)` samples: what it accepts, gold (nan is left out), and what gets into data.

    Keys are those of `_AUDITED`; intervals are over prompts.
    """
    known, taken = ~np.isnan(gold), np.nan_to_num(accepted)
    right, wrong, data = known & (gold > 0), known & (gold <= 0), known & (kept > 0)
    return {
        "false_positive_rate": _share(wrong & (taken > 0), wrong),
        "true_positive_rate": _share(right & (taken > 0), right),
        "wrong_among_kept": _share(data & wrong, data),
        "right": share(mean_of_known(gold)),
    }


def _share(part: NDArray[np.bool_], whole: NDArray[np.bool_]) -> Estimate:
    return clustered_share(part.sum(axis=1).astype(float), whole.sum(axis=1).astype(float))


class Kept(NamedTuple):
    """What is kept."""

    rows: list[dict[str, Any]]  # as they are written
    card: dict[str, Any]  # what decided them, what was counted, and the verifier's audit
    slips: Mapping[str, Estimate]  # the audit; empty without one


class SampleFilter(PromptEvaluation):
    """Samples a policy as an evaluation on prompts does, and keeps what the first of its rewards accepts.

    A second reward is the gold that the first one, the verifier, is held against. `given` options win over a recipe;
    values above `threshold` are accepted; with a `pass_rate`, prompts of whose samples such a share is accepted are
    kept, and no samples; `folder` has the samples, found again after a stop.
    """

    def __init__(
        self,
        options: PromptOptions,
        given: frozenset[str],
        *,
        threshold: float,
        pass_rate: tuple[float, float] | None,
        folder: Path,
    ) -> None:
        super().__init__(PROMPTS, options, given)
        self.threshold, self.pass_rate, self.folder = threshold, pass_rate, folder

    def load(self) -> None:
        """Finds rewards and tools, and reads the prompts."""
        self.named = NamedTools.of_recipe(self.recipe)
        if self.named and self.pass_rate is None:
            raise UserError(
                f"{self.recipe_path} names tools, and samples with calls are no rows to train on. Keep prompts by "
                "`--pass_rate LOW:HIGH`, or give a `--recipe` without tools."
            )
        super().load()

    def check_models(self, checkpoints: Mapping[str, Checkpoint], helpers: Mapping[str, Checkpoint]) -> None:
        """Refuses images, which nothing that is kept would hold."""
        if with_images := next((row.id for row in self.prompts if row.images), None):
            raise UserError(
                f"Prompt {with_images!r} has images, and `align filter` samples texts only. Leave such rows out."
            )

    def cache(self, models: Mapping[str, Checkpoint]) -> AnswerCache:
        """Opens the cache, which filters of other verifiers may share."""
        return AnswerCache(self.folder, option="--cache")

    def measure(self, name: str, checkpoint: Checkpoint, kept: KeptAnswers, beside: Beside) -> None:
        """Samples, and says how many prompts were sampled before."""
        super().measure(name, checkpoint, kept, beside)
        if kept.num_cached:
            say(f"{kept.num_cached:,} of {len(self.prompts):,} prompts were sampled before.")

    def filter(self) -> Kept:
        """Samples, judges, and chooses the rows."""
        run, _ = self.ask()
        ((name, completions),) = self.completions.items()
        rewarded = self.rewarded[name]
        verifier, *golds = (rewarded[each.name].values for each in self.rewards)
        accepted = accepts(verifier, self.threshold)
        if self.pass_rate is None:
            fates = sort_out(completions, accepted, self.decoded.max_new_tokens)
            kept = np.array([[fate == KEPT for fate in row] for row in fates])
            samples = Counter(fate for row in fates for fate in row)
            rows = _sample_rows(self.prompts, completions, verifier, kept)
            counts = {"prompts_kept": sum(KEPT in row for row in fates), "samples": {f: samples[f] for f in FATES}}
        else:
            kept, rates = np.nan_to_num(accepted), mean_of_known(accepted)
            rows, counts = _prompt_rows(self.prompts, rates, self.pass_rate), _count_prompts(accepted, self.pass_rate)
        counts |= {"prompts": len(self.prompts), "rows": len(rows)}
        counts["mean_pass_rate"] = cell(share(mean_of_known(accepted)))
        slips = measure_slips(accepted, self._gold(golds[0]), kept) if golds else {}
        return Kept(rows, self._card(run, counts, slips), slips)

    def _gold(self, values: Values) -> Values:
        right_from = read_scale([values], self.options.right_from).right_from
        if right_from is None:
            raise UserError(
                f"`--audit` {self.rewards[1].spec} gives values other than 0 and 1. Say with `--right_from` from "
                "where a response is right."
            )
        return np.where(np.isnan(values), np.nan, values >= right_from)

    def _card(self, run: Mapping[str, Any], counts: dict[str, Any], slips: Mapping[str, Estimate]) -> dict[str, Any]:
        (model,) = run["models"]
        verifier, *golds = self.rewards
        audit = {"gold": golds[0].spec} | {name: cell(each) for name, each in slips.items()} if golds else None
        return {
            "kind": "samples" if self.pass_rate is None else "prompts",
            "data": self.path,
            "model": {"path": model.path, "fingerprint": model.fingerprint},
            "decoding": asdict(self.decoded),
            "verifier": {"spec": verifier.spec, "threshold": self.threshold},
            "pass_rate": None if self.pass_rate is None else list(self.pass_rate),
            "counts": counts,
            "audit": audit,
            "versions": run["versions"],
            "invalid": {name: each.failures for name, each in self.rewarded[model.name].items()},
            "bad_rows": self.report.reasons,
        }


def _sample_rows(
    prompts: Sequence[PromptRow], completions: Sequence[Sequence[Any]], values: Values, kept: Values
) -> list[dict[str, Any]]:
    return [
        {
            "id": f"{row.id}-sample-{j}",
            "prompt": row.prompt,
            "completion": write_response(completions[i][j].text, row.prompt),
            "prompt_id": row.id,
            "verifier": float(values[i, j]),
        }
        for i, row in enumerate(prompts)
        for j in np.flatnonzero(kept[i])
    ]


def _prompt_rows(prompts: Sequence[PromptRow], rates: Values, within: tuple[float, float]) -> list[dict[str, Any]]:
    low, high = within
    return [
        {"id": row.id, "prompt": row.prompt} | dict(row.columns) | {"pass_rate": round(float(rate), 6)}
        for row, rate in zip(prompts, rates, strict=True)
        if low <= rate <= high
    ]


def _count_prompts(accepted: Values, within: tuple[float, float]) -> dict[str, Any]:
    (low, high), rates = within, mean_of_known(accepted)
    unknown, taken = int(np.isnan(accepted).sum()), int(np.nansum(accepted))
    return {
        "below": int((rates < low).sum()),
        "above": int((rates > high).sum()),
        "without_value": int(np.isnan(rates).sum()),
        "samples": {"accepted": taken, REJECTED: accepted.size - taken - unknown, UNKNOWN: unknown},
    }


def write_card(out: Path, card: Mapping[str, Any]) -> tuple[Path, Path]:
    """Writes `OUT.filter.json` and `OUT.card.md` beside the rows."""
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
        rule = f"Kept is each that {code(verifier['spec'])} gives more than {verifier['threshold']:g}, once."
    else:
        low, high = card["pass_rate"]
        what = f"{counts['rows']:,} of {counts['prompts']:,} prompts."
        rule = f"Kept is each of whose samples {code(verifier['spec'])} accepts {low:g} to {high:g} (values above "
        rule += f"{verifier['threshold']:g}); the rate is of few samples and not exact."
    lines = [f"# {escape(name)}", "", what, rule, ""]
    lines += [
        f"- Prompts: {code(card['data'])}",
        f"- Model: {code(card['model']['path'])}, {card['model']['fingerprint'][:12]}",
    ]
    lines += [f"- Sampling: {sampled}, at most {decoding['max_new_tokens']} tokens, seed {decoding['seed']}"]
    lines += [f"- Samples {fate}: {number:,}" for fate, number in counts["samples"].items()]
    audit = card["audit"]
    lines += ["", "## Audit of the verifier", ""]
    if audit is None:
        return [*lines, "Not audited: how many of the accepted samples are wrong is not known. `--audit` measures it."]
    lines += [f"Against {code(audit['gold'])} on the same samples, with 95 % intervals over prompts:", ""]
    for key, words in _AUDITED.items():
        found = audit[key]
        known = [math.nan if found[name] is None else float(found[name]) for name in ("value", "low", "high")]
        lines.append(f"- {words}: {Estimate(known[0], known[1], known[2], found['prompts'], 'prompts')}")
    return lines


def cell(estimate: Estimate) -> dict[str, float | int | None]:
    """Writes an estimate over prompts for JSON, which knows no nan."""
    ends = (estimate.value, estimate.low, estimate.high)
    value, low, high = (None if math.isnan(end) else end for end in ends)
    return {"value": value, "low": low, "high": high, "prompts": estimate.n}
