"""What looks wrong in runs that sample completions and reward them: answers, calls, noise, audits; and the canary."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from align.recipe.reward_settings import DEFAULT_ALARMS, alarm_keys, alarm_sentence
from align.report.charts.axis import format_number
from align.report.charts.panel import Metrics
from align.report.run.completions import UNKNOWN, Row, Weights, completion_words, total_reward, trained_on
from align.report.run.finding import Finding, percent, recent
from align.report.run.folder import Series

_HALF = 0.5
_FEWEST_STEPS = 10  # fewer may be chance where a policy is seldom right
_LETTER_GAP = 0.15  # total variation; a batch of 128 answers over 4 letters is off by about 0.06 by chance
_PARTS = 20  # in which shares of known answers are tried
_DOMINANT = 0.7
_LOGP_GAP = 0.1  # nats per token; bf16 against fp32 is about 0.03

_REMEDIES = {
    "all right": "Where all are right, the questions are too easy: use harder ones.",
    "all wrong": "Where all are wrong, they are too hard: use easier ones, or warm-start the policy.",
    "right in their first answer only": "Where only first answers are right, they do not follow from their traces: "
    "warm-start the policy until they do, or take away what else gives them away.",
    "the same text": "Where the text is the same, raise `temperature`, or stop, since the policy has settled; or see "
    "whether the model's own generation settings make it greedy.",
}
_REMEDIES |= {"all at the best reward": _REMEDIES["all right"], "all at the lowest reward": _REMEDIES["all wrong"]}


def find_rollout_problems(metrics: Metrics, rows: Sequence[Row] = (), weights: Weights = UNKNOWN) -> list[Finding]:
    """Lists what looks wrong in completions, rewards and answers."""
    found = (
        _unread(metrics),
        _cut_off(metrics),
        _no_spread(metrics, rows, weights),
        _letters(metrics),
        _leak(metrics),
        _two_log_probs(metrics),
    )
    return [finding for finding in found if finding]


def _unread(metrics: Metrics) -> Finding | None:
    share, never_paid = recent(metrics, "acre/no_answer"), _is_constant(metrics)
    if share > _HALF:
        return Finding(
            f"{percent(share)} of responses have no readable answer" + (", and the reward never paid" * never_paid),
            "Read some below: what is looked for is the last text between answer tags, within "
            "`max_completion_length`. Show the form in the prompt, warm-start with `method: sft`, or name the tags "
            "that the model writes with `think_tag` and `answer_tag`.",
        )
    if never_paid:
        return Finding(
            f"Every completion of the run earned {metrics['reward'].values[0]:.3g}",
            "A reward that does not vary teaches nothing. Read some completions below: either none has the form that "
            "the reward reads, or the task is too hard or too easy for this policy. `align rewards check` tries the "
            "reward on right and wrong answers.",
        )
    return None


def _is_constant(metrics: Metrics) -> bool:
    """Tells whether no two completions of a run earned different rewards."""
    if not {"reward", "reward_std"} <= metrics.keys():
        return False
    reward, spread = (metrics[key].values for key in ("reward", "reward_std"))
    return len(reward) >= _FEWEST_STEPS and bool((reward == reward[0]).all() and (spread == 0).all())


def _cut_off(metrics: Metrics) -> Finding | None:
    share = recent(metrics, "completions/clipped_ratio")
    if not share > _HALF:
        return None
    return Finding(
        f"{percent(share)} of completions are cut off at the token limit",
        "They end before an answer and teach the policy nothing but to be short. Raise `max_completion_length`, or "
        "add the `length` reward.",
    )


def _no_spread(metrics: Metrics, rows: Sequence[Row], weights: Weights) -> Finding | None:
    share = recent(metrics, "frac_reward_zero_std")
    if not share > _HALF:
        return None
    return Finding(
        f"{percent(share)} of prompt groups have no spread in reward",
        "All completions of such a group earn the same, so their advantage is zero and the group costs time without "
        f"a gradient. {' '.join(_counted_reasons(rows, weights) or _reasons(metrics))}",
    )


def _counted_reasons(rows: Sequence[Row], weights: Weights) -> list[str]:
    """Counts the reasons among the saved completions, and says what to do about each that is there."""
    shares = spread_reasons(rows, weights)
    if not shares:
        return []
    listed = ", ".join(f"{percent(share)} {reason}" for reason, share in shares.items())
    remedies = dict.fromkeys(_REMEDIES[reason] for reason in shares if reason in _REMEDIES)
    return [f"Of those saved: {listed}.", *remedies]


def _reasons(metrics: Metrics) -> Iterator[str]:
    both, neither = recent(metrics, "acre/outcome_both"), recent(metrics, "acre/outcome_neither")
    if both > _DOMINANT:
        yield f"{percent(both)} of completions are right in both orders: the questions are too easy. Use harder ones."
    elif neither > _DOMINANT:
        yield (
            f"{percent(neither)} of completions are wrong in both orders: the questions are too hard for this "
            "policy. Use easier ones, or warm-start it."
        )
    else:
        yield (
            "The completions of a group are too much alike: raise `temperature` or `num_generations`, or stop, since "
            "the policy has settled."
        )


def _letters(metrics: Metrics) -> Finding | None:
    answered = _shares(metrics, "acre/answer_share_")
    gold = _shares(metrics, "acre/gold_share_")
    if not answered.keys() & gold.keys():
        return None
    gap, expected = min(
        ((_apart(answered, mixed), mixed) for mixed in _right_or_guessed(gold)), key=lambda found: found[0]
    )
    if not gap > _LETTER_GAP:
        return None
    letter = max(expected, key=lambda name: answered.get(name, 0) - expected[name])
    return Finding(
        f"Answers favour {letter}: {percent(answered.get(letter, 0))} of answers, {percent(gold[letter])} of the gold",
        f"{percent(gap)} of answers would have to move before they could be right answers and even guesses. The "
        "policy answers by position; `shuffle_options: true` in the `dataset` block takes the position's meaning "
        "away.",
    )


def _right_or_guessed(gold: dict[str, float]) -> Iterator[dict[str, float]]:
    """Mixes the letters of the gold with even ones: so answers a policy that knows some and has no place it likes."""
    for known in range(_PARTS + 1):
        share = known / _PARTS
        yield {letter: share * of_gold + (1 - share) / len(gold) for letter, of_gold in gold.items()}


def _apart(one: dict[str, float], other: dict[str, float]) -> float:
    """Returns the total variation between shares."""
    return sum(abs(one.get(letter, 0) - share) for letter, share in other.items()) / 2


def _shares(metrics: Metrics, prefix: str) -> dict[str, float]:
    """Returns the recent shares by letter, made to add up to one: no answer counts for no letter in the log."""
    shares = {key.removeprefix(prefix): metrics[key].recent() for key in sorted(metrics) if key.startswith(prefix)}
    total = sum(shares.values())
    return {letter: share / total for letter, share in shares.items()} if total > 0 else {}


def _leak(metrics: Metrics) -> Finding | None:
    share = recent(metrics, "acre/trace_names_letter")
    if not share > _HALF:
        return None
    return Finding(
        f"{percent(share)} of traces name a letter",
        'A trace that ends in "so B" points at another option once the options are shuffled, so the second answer '
        "follows the letter and not the reasoning, and the reward mostly teaches the policy not to name letters. "
        "Compare with `scrub_letters: true`.",
    )


def _two_log_probs(metrics: Metrics) -> Finding | None:
    gap = recent(metrics, "sampling/sampling_logp_difference/mean")
    if not gap > _LOGP_GAP:
        return None
    return Finding(
        f"The sampler's log-probs differ from the trainer's by {gap:.2g} nats per token",
        "The policy that writes is not the one that learns: weights that were not transferred, other precision, or "
        "`top_p`, `top_k` or a repetition penalty that the trainer does not know. Keep `top_p: 1.0`, use one dtype "
        "for both, and look at `sampling/importance_sampling_ratio/mean`, which should be near 1.",
    )


_FEWEST_ROWS = 64  # completions, below which a rank correlation of one half happens by chance
_STRONG = 0.5
Group = list[Row]


def find_completion_problems(rows: Sequence[Row], weights: Weights = UNKNOWN) -> list[Finding]:
    """Says whether rewards follow length or form within groups, in the later half of the saved completions."""
    groups = _late_groups(rows)
    if sum(map(len, groups)) < _FEWEST_ROWS:
        return []
    rewards = [_totals(group, weights) for group in groups]
    lengths = [[float(len(completion_words(row))) for row in group] for group in groups]
    found = [_length(within_correlation(rewards, lengths))]
    names = dict.fromkeys(name for group in groups for row in group for name in trained_on(row, weights))
    for name in (name for name in names if "format" in name):
        form = [[trained_on(row, weights).get(name, 0.0) for row in group] for group in groups]
        found.append(_form(within_correlation(rewards, form), name))
    return [finding for finding in found if finding]


def spread_reasons(rows: Sequence[Row], weights: Weights = UNKNOWN) -> dict[str, float]:
    """Says for what share of the later groups without spread each reason holds; the most frequent first."""
    groups = _late_groups(rows)
    earned = [_totals(group, weights) for group in groups]
    best, worst = (end((end(totals) for totals in earned), default=0.0) for end in (max, min))
    pairs = zip(groups, earned, strict=True)
    flat = [(group, totals[0]) for group, totals in pairs if max(totals) - min(totals) < 1e-9]
    reasons = Counter(_reason(group, total, best, worst) for group, total in flat)
    return {reason: count / reasons.total() for reason, count in reasons.most_common()}


def _late_groups(rows: Sequence[Row]) -> list[Group]:
    return [group for group in group_rows(rows[len(rows) // 2 :]) if len(group) > 1]


def group_rows(rows: Sequence[Row]) -> list[Group]:
    """Groups the completions of one prompt in one step, over which GRPO compares rewards."""
    groups: dict[tuple[Any, str], Group] = defaultdict(list)
    for row in rows:
        groups[row.get("step"), str(row.get("prompt"))].append(row)
    return list(groups.values())


def _totals(group: Group, weights: Weights) -> list[float]:
    """Returns what each completion earned; no opinion counts as 0."""
    return [total_reward(row, weights) or 0.0 for row in group]


def _reason(group: Group, total: float, best: float, worst: float) -> str:
    if len({completion_words(row) for row in group}) == 1:
        return "the same text"
    outcomes = {row.get("outcome") for row in group} - {None}
    if outcomes == {"first_only"} and total < best:
        return "right in their first answer only"
    if outcomes:
        right = {outcome in ("both", "first_only") for outcome in outcomes}
        return "all right" if right == {True} else "all wrong" if right == {False} else "mixed"
    return "all at the best reward" if total >= best else "all at the lowest reward" if total <= worst else "mixed"


def within_correlation(first: Sequence[Sequence[float]], second: Sequence[Sequence[float]]) -> float:
    """Returns the rank correlation of two quantities after the mean of each group is taken off, or NaN.

    Example:
        >>> within_correlation([[0, 1, 2], [5, 6, 7]], [[9, 10, 11], [0, 1, 2]])
        1.0
    """
    from scipy.stats import spearmanr

    columns = [
        np.concatenate([np.asarray(group, dtype=float) - np.mean(group) for group in side]) for side in (first, second)
    ]
    if any(np.ptp(column) == 0 for column in columns):
        return float("nan")
    return round(float(spearmanr(*columns).statistic), 9)


def _length(rho: float) -> Finding | None:
    if not abs(rho) > _STRONG:
        return None
    way = "longer" if rho > 0 else "shorter"
    return Finding(
        f"Within a prompt, {way} completions earn more (rank correlation {rho:.2f})",
        "What is learnt is length. If that is not meant, take it out of the reward, or look whether right answers "
        "happen to be so: `method: deconfound` measures and removes the effect of length on a reward model.",
    )


def _form(rho: float, name: str) -> Finding | None:
    if not rho > _STRONG:
        return None
    return Finding(
        f"Within a prompt, the reward mostly follows {name} (rank correlation {rho:.2f})",
        f"The form of the answer decides more than its content. Lower the weight of `{name}` once it is learnt.",
    )


_ALARM_REMEDIES = {
    "invalid_share": "The table of reward calls shows rows that failed. A row without a reward teaches nothing, and "
    "one that fails when it is wrong, or right, bends what is learnt.",
    "length": "If length is not what the rewards are about, compare short and long completions of one prompt below, "
    "and consider the `length` reward or `reward_clip`.",
    "format": "Compare completions with and without the marks below. A format reward with a small weight, or as a "
    "gate (`reward_gates`), leaves less to be learnt from marks alone.",
    "repetition": "Read some of the completions with the highest reward below. A `repetition` reward counts against "
    "it.",
    "phrase": "The console names the words. If they are not what the rewards are about, count them in what is sampled "
    "(`audit_funcs: [phrases]`), and try the reward on answers with and without them before going on.",
    "format_share": "A policy can earn this part without a better answer. Make format a gate (`reward_gates`) instead "
    "of a summand.",
    "canary": "The completions were another policy's. Near 0 at first and higher since: weights are not transferred. "
    "As high from the start: another dtype, a quantised model, or, with a `temperature` other than 1, a server that "
    "runs without `--logprobs-mode processed_logprobs`. `stop_on: [canary]` ends a run at the first one.",
}


def find_reward_signals(metrics: Metrics, recipe: Mapping[str, Any]) -> list[Finding]:
    """Lists the alarms whose signal was above its limit in the last quarter of the steps; noise has its own words."""
    thresholds = DEFAULT_ALARMS | (recipe.get("alarms") or {})
    findings = []
    for alarm, limit in thresholds.items():
        detail = _ALARM_REMEDIES.get(alarm.rpartition("/")[2])
        for key in alarm_keys(alarm, metrics):
            value = recent(metrics, key)
            if detail is not None and limit is not None and value > limit:
                findings.append(Finding(f"Audit: {alarm_sentence(key, value, limit).rstrip('.')}", detail))
    return findings


SIGNALS = ("noise_share", "flaky_share")
_REMEDY = (
    "The policy is pushed towards completions that were lucky. Fix what varies (temperature and seed of a judge, "
    "order and time limits of tests), average several calls, or raise `num_generations`. What a reward keeps from "
    "call to call, or reads of the rest of its batch, counts as noise here."
)


def find_noise(metrics: Metrics, recipe: Mapping[str, Any]) -> list[Finding]:
    """Lists the rewards whose values differed too much when they were scored again, in the last quarter of steps."""
    return [_finding(metrics, reward) for reward in dict.fromkeys(_too_noisy(metrics, recipe))]


def _too_noisy(metrics: Metrics, recipe: Mapping[str, Any]) -> Iterator[str]:
    for alarm, limit in (DEFAULT_ALARMS | (recipe.get("alarms") or {})).items():
        signal = alarm.rpartition("/")[2]
        for key in alarm_keys(alarm, metrics) if signal in SIGNALS and limit is not None else ():
            reward = key.split("/")[1]
            value = _noise_share(metrics, reward) if signal == "noise_share" else recent(metrics, key)
            if value > limit:
                yield reward


def _noise_share(metrics: Metrics, reward: str) -> float:
    """Divides the mean variances: a mean of the shares of single steps would lean on steps with little variance."""
    noise, inside = (recent(metrics, f"rewards/{reward}/{name}") for name in ("noise_variance", "group_variance"))
    return min(1.0, noise / inside) if inside > 0 else float("nan")


def _finding(metrics: Metrics, reward: str) -> Finding:
    share = _noise_share(metrics, reward)
    flaky, gap, icc = (
        recent(metrics, f"rewards/{reward}/{name}") for name in ("flaky_share", "repeat_difference", "repeat_icc")
    )
    title = f"Reward `{reward}` gives {percent(flaky)} of its values otherwise when it is asked again"
    if share > 0:
        title = f"Noise of the reward `{reward}` explains {percent(share)} of its variance inside groups"
    numbers = f", by {format_number(gap)} on average" if gap > 0 else ""
    numbers += f" (ICC {icc:.2f} over all prompts)" if math.isfinite(icc) else ""
    return Finding(title, f"Scored again, {percent(flaky)} of its values differ{numbers}. {_REMEDY}")


FEWEST = 5  # logged steps, below which no course can be told
NOISES = 4.0  # standard errors that a rise or a fall has to have; the step is picked where the fall looks largest
_EIGHTHS = 8  # a mean over an eighth of the run stands for a step


def find_audit_falls(metrics: Metrics) -> list[Finding]:
    """Finds audits that fell while the reward rose; evaluation rows say so before training rows do."""
    names = dict.fromkeys(name for prefix in ("eval_audit/", "audit/") for name in _audited(metrics, prefix))
    found = []
    for name in names:
        for prefix in ("eval_", ""):
            reward, audit = metrics.get(f"{prefix}reward"), metrics.get(f"{prefix}audit/{name}/mean")
            finding = None if reward is None or audit is None else _fall(name, reward, audit)
            if finding is not None:
                found.append(finding)
                break
    return found


def _audited(metrics: Metrics, prefix: str) -> Iterator[str]:
    for key in metrics:
        if key.startswith(prefix) and key.endswith("/mean"):
            yield key.removeprefix(prefix).removesuffix("/mean")


def _fall(name: str, reward: Series, audit: Series) -> Finding | None:
    """Compares the end of a run with where the audit stood highest.

    Beside a reward that rises by ten standard deviations, an audit that is noise is found in 1 to 2 of 100 runs with 5
    to 8 logged steps, and in fewer with more.
    """
    steps, rewards, audits = _shared(reward, audit)
    if len(steps) < FEWEST:
        return None
    width = max(1, len(steps) // _EIGHTHS)
    smooth_reward, smooth_audit = _smooth(rewards, width), _smooth(audits, width)
    peak = int(np.argmax(smooth_audit[:-1])) if len(smooth_audit) > 1 else 0
    fall, rise = smooth_audit[peak] - smooth_audit[-1], smooth_reward[-1] - smooth_reward[peak]
    if fall <= NOISES * _error(audits, width) or rise <= NOISES * _error(rewards, width):
        return None
    step = int(steps[peak + width - 1])
    return Finding(
        f"The reward rose by {rise:.2g} while the audit {name} fell by {fall:.2g} from step {step}",
        "What the rewards pay for parts from what the audit measures. Read completions from before and after that "
        f"step, and keep the checkpoint that the audit likes best: `eval_strategy: steps`, `metric_for_best_model: "
        f"eval_audit/{name}/mean` and `load_best_model_at_end: true`.",
    )


def _shared(first: Series, second: Series) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Takes the steps at which both were measured."""
    steps, ours, theirs = np.intersect1d(first.steps, second.steps, return_indices=True)
    a, b = first.values[ours], second.values[theirs]
    known = np.isfinite(a) & np.isfinite(b)
    return steps[known], a[known], b[known]


def _smooth(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Averages each `width` values in a row."""
    return np.convolve(values, np.full(width, 1 / width), mode="valid")


def _error(values: NDArray[np.float64], width: int) -> float:
    """Estimates the standard error of the difference of two such means, from what is left without a straight line."""
    bends = np.diff(values, n=2)  # of independent values, the mean square of these is 6 variances
    return float(np.sqrt(np.mean(bends**2) / 6 * 2 / width))
