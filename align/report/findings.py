from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from align.report.charts import format_number
from align.report.run_folder import RunFolder, Series

_HALF = 0.5
_LETTER_GAP = 0.15  # total variation; a batch of 128 answers over 4 letters is off by about 0.06 by chance
_DOMINANT = 0.7


class Finding(NamedTuple):
    """Something in a run that its reader should know, and what to do about it."""

    title: str
    detail: str


def find_problems(run: RunFolder) -> list[Finding]:
    """Lists what looks wrong in a run, judged on the last quarter of its logged steps."""
    found = (_broken_lines(run), _not_finite(run.metrics), _cut_off(run.metrics), _no_spread(run.metrics))
    return [finding for finding in (*found, _letters(run.metrics), _leak(run.metrics)) if finding]


def _broken_lines(run: RunFolder) -> Finding | None:
    if not run.broken_lines:
        return None
    lines = ", ".join(map(str, run.broken_lines[:5])) + (", ..." if len(run.broken_lines) > 5 else "")
    return Finding(
        "A part of the log cannot be read",
        f"metrics.jsonl, line {lines}: not JSON. A process killed while it writes leaves such a line; its steps are "
        "missing from the curves. If the run did not finish, `--resume auto` continues it.",
    )


def _not_finite(metrics: dict[str, Series]) -> Finding | None:
    for key in ("loss", "grad_norm"):
        if key in metrics and not np.isfinite(metrics[key].values).all():
            step = metrics[key].steps[~np.isfinite(metrics[key].values)][0]
            return Finding(
                f"{key} is not a number from step {step} on",
                "The checkpoints after that step are damaged. Lower `learning_rate` or `max_grad_norm`, or train in "
                "bf16 or fp32 if this was fp16.",
            )
    return None


def _cut_off(metrics: dict[str, Series]) -> Finding | None:
    share = _recent(metrics, "completions/clipped_ratio")
    if not share > _HALF:
        return None
    return Finding(
        f"{_percent(share)} of completions are cut off at the token limit",
        "They end before an answer and teach the policy nothing but to be short. Raise `max_completion_length`, or "
        "add the `length` reward.",
    )


def _no_spread(metrics: dict[str, Series]) -> Finding | None:
    share = _recent(metrics, "frac_reward_zero_std")
    if not share > _HALF:
        return None
    return Finding(
        f"{_percent(share)} of prompt groups have no spread in reward",
        "All completions of such a group earn the same, so their advantage is zero and the group costs time without "
        f"a gradient. {' '.join(_reasons(metrics))}",
    )


def _reasons(metrics: dict[str, Series]) -> Iterator[str]:
    both, neither = _recent(metrics, "acre/outcome_both"), _recent(metrics, "acre/outcome_neither")
    if both > _DOMINANT:
        yield f"{_percent(both)} of completions are right in both orders: the questions are too easy. Use harder ones."
    elif neither > _DOMINANT:
        yield (
            f"{_percent(neither)} of completions are wrong in both orders: the questions are too hard for this "
            "policy. Use easier ones, or warm-start it."
        )
    else:
        yield (
            "The completions of a group are too much alike: raise `temperature` or `num_generations`, or stop, since "
            "the policy has settled."
        )


def _letters(metrics: dict[str, Series]) -> Finding | None:
    answered = _shares(metrics, "acre/answer_share_")
    gold = _shares(metrics, "acre/gold_share_")
    gaps = {letter: answered[letter] - gold[letter] for letter in answered if letter in gold}
    gap = sum(abs(value) for value in gaps.values()) / 2
    if not gap > _LETTER_GAP:
        return None
    letter = max(gaps, key=lambda name: gaps[name])
    return Finding(
        f"Answers favour {letter}: {_percent(answered[letter])} of answers, {_percent(gold[letter])} of the gold",
        f"{_percent(gap)} of answers would have to move for the letters to match the gold's. The policy answers by "
        "position; `shuffle_options: true` in the `dataset` block takes the position's meaning away.",
    )


def _shares(metrics: dict[str, Series], prefix: str) -> dict[str, float]:
    """Returns the recent shares by letter, made to add up to one: no answer counts for no letter in the log."""
    shares = {key.removeprefix(prefix): metrics[key].recent() for key in sorted(metrics) if key.startswith(prefix)}
    total = sum(shares.values())
    return {letter: share / total for letter, share in shares.items()} if total > 0 else {}


def _leak(metrics: dict[str, Series]) -> Finding | None:
    share = _recent(metrics, "acre/trace_names_letter")
    if not share > _HALF:
        return None
    return Finding(
        f"{_percent(share)} of traces name a letter",
        'A trace that ends in "so B" points at another option once the options are shuffled, so the second answer '
        "follows the letter and not the reasoning, and the reward mostly teaches the policy not to name letters. "
        "Compare with `scrub_letters: true`.",
    )


def _recent(metrics: dict[str, Series], key: str) -> float:
    return metrics[key].recent() if key in metrics else float("nan")


def _percent(share: float) -> str:
    return format_number(share, share=True)
