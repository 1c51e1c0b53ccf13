"""What looks wrong in runs that sample completions and reward them: answers, calls, noise, audits."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from align.evaluation.statistics.item_means import shares_of, total_variation
from align.evaluation.statistics.metrics import Estimate, Values, told
from align.evaluation.statistics.trends import parted
from align.recipe.alarms import Alarm, alarm_of, limits_with
from align.report.charts.panel import Metrics
from align.report.run.completions import UNKNOWN, Row, Weights, completion_words, reward_weights, total_reward
from align.report.run.finding import Sign, above, ends, last, percent, recent
from align.report.run.folder import RunFolder, Series

_HALF = 0.5
_FEWEST_STEPS = 10  # fewer may be chance where a policy is seldom right
_LETTER_GAP = 0.15  # total variation, beyond what logs vary
_PARTS = 20  # in which shares of known answers are tried
_DOMINANT = 0.7

_REMEDIES = {
    "all right": "Where all are right, the questions are too easy: use harder ones.",
    "all wrong": "Where all are wrong, they are too hard: use easier ones, or warm-start the policy.",
    "right in their first answer only": "Where only first answers are right, they do not follow from their traces: "
    "warm-start the policy until they do, or take away what else gives them away.",
    "the same text": "Where the text is the same, raise `temperature`, or stop, since the policy has settled; or see "
    "whether the model's own generation settings make it greedy.",
}
_REMEDIES |= {"all at the best reward": _REMEDIES["all right"], "all at the lowest reward": _REMEDIES["all wrong"]}


def _unread(run: RunFolder) -> Iterator[Mapping[str, Any]]:
    if share := above(run.metrics, "acre/no_answer", _HALF):
        yield {"share": percent(share), "unpaid": ", and the reward never paid" * _is_constant(run.metrics)}


def _constant(run: RunFolder) -> Iterator[Mapping[str, Any]]:
    if _is_constant(run.metrics) and not above(run.metrics, "acre/no_answer", _HALF):
        yield {"reward": run.metrics["reward"].values[0]}


def _no_spread(run: RunFolder) -> Iterator[Mapping[str, Any]]:
    for seen in ends("frac_reward_zero_std", above=_HALF)(run):
        weights = reward_weights(run.recipe, run.metrics)
        yield seen | {"reasons": " ".join(_counted_reasons(run.completions, weights) or _reasons(run.metrics))}


def _is_constant(metrics: Metrics) -> bool:
    """Tells whether no two completions of a run earned different rewards."""
    if not {"reward", "reward_std"} <= metrics.keys():
        return False
    reward, spread = (metrics[key].values for key in ("reward", "reward_std"))
    return len(reward) >= _FEWEST_STEPS and bool((reward == reward[0]).all() and (spread == 0).all())


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


def _letters(run: RunFolder) -> Iterator[Mapping[str, Any]]:
    metrics = run.metrics
    answered, gold = (_shares(metrics, f"acre/{side}_share_") for side in ("answer", "gold"))
    names = [name for name in gold if len(gold[name]) == len(next(iter(answered.values()), ()))]
    if not names or not answered.keys() & gold.keys():
        return
    given = np.stack([answered.get(name, np.zeros(len(gold[name]))) for name in names], axis=1)
    asked = shares_of(np.stack([gold[name] for name in names], axis=1))
    # So answers a policy that knows some and has no place that it likes.
    mixed = [share * asked + (1 - share) / len(names) for share in np.linspace(0, 1, _PARTS + 1)]
    gap, expected = min(((total_variation(given, each), each) for each in mixed), key=lambda found: found[0])
    if not gap.low > _LETTER_GAP:
        return
    shares = shares_of(given.sum(axis=0))
    place = int(np.argmax(shares - shares_of(expected.sum(axis=0))))
    told = {"name": names[place], "share": percent(float(shares[place]))}
    told |= {"gold": percent(float(asked.mean(axis=0)[place])), "gap": percent(gap._replace(unit="logs"))}
    yield told


def _shares(metrics: Metrics, prefix: str) -> dict[str, Values]:
    """Returns the last shares by letter, nan as 0: no answer counts for no letter in the log."""
    keys = [key for key in sorted(metrics) if key.startswith(prefix)]
    return {key.removeprefix(prefix): np.nan_to_num(metrics[key].last()) for key in keys}


Group = list[Row]


def spread_reasons(rows: Sequence[Row], weights: Weights = UNKNOWN) -> dict[str, float]:
    """Says for what share of the later groups without spread each reason holds; the most frequent first."""
    groups = [group for group in group_rows(rows[len(rows) // 2 :]) if len(group) > 1]
    earned = [[total_reward(row, weights) or 0.0 for row in group] for group in groups]  # no opinion counts as 0
    best, worst = (end((end(totals) for totals in earned), default=0.0) for end in (max, min))
    pairs = zip(groups, earned, strict=True)
    flat = [(group, totals[0]) for group, totals in pairs if max(totals) - min(totals) < 1e-9]
    reasons = Counter(_reason(group, total, best, worst) for group, total in flat)
    return {reason: count / reasons.total() for reason, count in reasons.most_common()}


def group_rows(rows: Sequence[Row]) -> list[Group]:
    """Groups the completions of one prompt in one step, over which GRPO compares rewards."""
    groups: dict[tuple[Any, str], Group] = defaultdict(list)
    for row in rows:
        groups[row.get("step"), str(row.get("prompt"))].append(row)
    return list(groups.values())


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


def _alarms(run: RunFolder) -> list[Mapping[str, Any]]:
    """Lists the alarms whose signal is above its limit in the last quarter of the steps."""
    limits = limits_with(run.recipe.get("alarms") or {})
    looks = [(limit, *alarm_of(name)) for name, limit in limits.items() if limit is not None]
    return [
        {"sentence": alarm.sentence(key, told(found), limit).rstrip("."), "remedy": alarm.remedy}
        for limit, alarm, reward in looks
        for key in alarm.keys(reward, run.metrics)
        if (found := _parted(alarm, key, run.metrics) if alarm.moves else last(run.metrics, key)).low > limit
    ]


def _parted(alarm: Alarm, key: str, metrics: Metrics) -> Estimate:
    """Estimates how far the total reward and a metric parted; an audit's fall has a finding of its own."""
    found = None
    if alarm.of_run and "reward" in metrics:
        _, rewards, values = _shared(metrics["reward"], metrics[key])
        found = parted(rewards, values, alarm.moves, is_share=alarm.chart.share)
    return found[1] if found else Estimate(np.nan, np.nan, np.nan, 0)


FEWEST = 5  # logged steps, below which no course can be told
NOISES = 4.0  # standard errors that a rise or a fall has to have; the step is picked where the fall looks largest
_EIGHTHS = 8  # a mean over an eighth of the run stands for a step


def _falls(run: RunFolder) -> Iterator[Mapping[str, Any]]:
    """Finds audits that fell while the reward rose; evaluation rows say so before training rows do."""
    metrics = run.metrics
    audited = (re.fullmatch(rf"{prefix}(.+)/mean", key) for prefix in ("eval_audit/", "audit/") for key in metrics)
    names = dict.fromkeys(found[1] for found in audited if found)
    for name in names:
        for prefix in ("eval_", ""):
            reward, audit = metrics.get(f"{prefix}reward"), metrics.get(f"{prefix}audit/{name}/mean")
            if reward and audit and (fall := _fall(reward, audit)):
                yield {"name": name} | fall
                break


def _fall(reward: Series, audit: Series) -> dict[str, Any] | None:
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
    return {"rise": rise, "fall": fall, "step": int(steps[peak + width - 1])}


def _shared(first: Series, second: Series) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    steps, ours, theirs = np.intersect1d(first.steps, second.steps, return_indices=True)
    a, b = first.values[ours], second.values[theirs]
    known = np.isfinite(a) & np.isfinite(b)
    return steps[known], a[known], b[known]


def _smooth(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    return np.convolve(values, np.full(width, 1 / width), mode="valid")


def _error(values: NDArray[np.float64], width: int) -> float:
    """Estimates the standard error of the difference of two such means, from what is left without a straight line."""
    bends = np.diff(values, n=2)  # of independent values, the mean square of these is 6 variances
    return float(np.sqrt(np.mean(bends**2) / 6 * 2 / width))


SIGNS = (
    Sign("{share} of responses have no readable answer{unpaid}",
         "Read some below: what is looked for is the last text between answer tags, within `max_completion_length`. "
         "Show the form in the prompt, warm-start with `method: sft`, or name the tags that the model writes with "
         "`think_tag` and `answer_tag`.", _unread),
    Sign("Every completion of the run earned {reward:.3g}",
         "A reward that does not vary teaches nothing. Read some completions below: either none has the form that the "
         "reward reads, or the task is too hard or too easy for this policy. `align rewards check` tries the reward "
         "on right and wrong answers.", _constant),
    Sign("{share} of completions are cut off at the token limit",
         "They end before an answer and teach the policy nothing but to be short. Raise `max_completion_length`, or "
         "add the `length` reward.", ends("completions/clipped_ratio", above=_HALF)),
    Sign("{share} of prompt groups have no spread in reward",
         "All completions of such a group earn the same, so their advantage is zero and the group costs time without "
         "a gradient. {reasons}", _no_spread),
    Sign("Answers favour {name}: {share} of answers, {gold} of the gold",
         "{gap} of answers would have to move before they could be right answers and even guesses. The policy answers "
         "by position; `shuffle_options: true` in the `dataset` block takes the position's meaning away.", _letters),
    Sign("{share} of traces name a letter",
         'A trace that ends in "so B" points at another option once the options are shuffled, so the second answer '
         "follows the letter and not the reasoning, and the reward mostly teaches the policy not to name letters. "
         "Compare with `scrub_letters: true`.", ends("acre/trace_names_letter", above=_HALF)),
    Sign("Audit: {sentence}", "{remedy}", _alarms),
    Sign("The reward rose by {rise:.2g} while the audit {name} fell by {fall:.2g} from step {step}",
         "What the rewards pay for parts from what the audit measures. Read completions from before and after that "
         "step, and keep the checkpoint that the audit likes best: `eval_strategy: steps`, `metric_for_best_model: "
         "eval_audit/{name}/mean` and `load_best_model_at_end: true`.", _falls),
)  # fmt: skip
