"""What rewards gave in one step: calls on every rank, values that differ when asked again, and what they go with."""

import asyncio
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from align.recipe.reward_settings import FEWEST_REPEATS
from align.secrets import mask
from rewards.reading.responses import completion_text
from rewards.running.contract.trial import first_difference
from rewards.running.guard import GuardedReward
from rewards.running.protocol import is_async, result_of
from rewards.running.scores import LEFT_OUT, Score

NUM_ROWS = 3  # shown of each kind
LONGEST_TEXT = 300  # characters of a prompt or completion in a record
STEPS_IN_WINDOW = 10
FEWEST_SILENT = 3  # steps without any reward, after which a run that learns nothing ends
SLOW = 0.01  # seconds below which a call is not worth a line

REWARDS_FILE = "rewards.jsonl"
GOES_ON_AFTER = "goes_on_after"  # a line of the file with the step of the checkpoint that a process went on from


class CallRecord(NamedTuple):
    """The calls of one reward on one rank."""

    reward: str
    failures: Counter[str]  # failure to count
    num_none: int  # rows it had nothing to say about
    seconds: list[float]  # of each row
    failed: list[dict[str, Any]]  # at most three as objects for JSON, one of each failure first
    slowest: list[dict[str, Any]]  # at most three, the slowest first
    spent: Mapping[str, float] = {}  # what it asked of a model that has to be paid or waited for, by name


def record_calls(
    reward: str, scores: Sequence[Score], prompts: Sequence[Any], completions: Sequence[Any]
) -> CallRecord:
    """Counts the scores of one reward on this rank's rows, without those it was not asked about."""
    asked = [row for row in zip(scores, prompts, completions, strict=True) if row[0].failure != LEFT_OUT]
    scores = [score for score, _, _ in asked]
    rows: list[dict[str, Any]] = [
        {
            "seconds": round(score.seconds, 4),
            "prompt": _last_part(prompt if isinstance(prompt, str) else shown_text(prompt)),
            "completion": _first_part(shown_text(completion)),
        }
        | ({"failure": score.failure, "message": score.message} if score.failure else {})
        for score, prompt, completion in asked
        if score.failure or score.seconds >= SLOW
    ]
    failed = [row for row in rows if "failure" in row]
    firsts = list({row["failure"]: row for row in reversed(failed)}.values())
    return CallRecord(
        reward,
        Counter(score.failure for score in scores if score.failure),
        sum(score.value is None and score.failure is None for score in scores),
        [score.seconds for score in scores],
        (firsts + [row for row in failed if row not in firsts])[:NUM_ROWS],
        sorted(rows, key=lambda row: -row["seconds"])[:NUM_ROWS],
    )


def join_records(records: Sequence[CallRecord]) -> CallRecord:
    """Joins the records of one reward from all ranks."""
    return CallRecord(
        records[0].reward,
        sum((record.failures for record in records), Counter()),
        sum(record.num_none for record in records),
        [seconds for record in records for seconds in record.seconds],
        [row for record in records for row in record.failed][:NUM_ROWS],
        sorted((row for record in records for row in record.slowest), key=lambda row: -row["seconds"])[:NUM_ROWS],
        add_spending(record.spent for record in records),
    )


def take_spending(reward: Callable[..., Any]) -> Mapping[str, float]:
    """Returns what a reward asked since this was called last; nothing of one that does not say so."""
    take = getattr(reward, "take_spending", None)
    return {} if take is None else take()


def add_spending(spent: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Adds what was asked, name by name."""
    total: Counter[str] = Counter()
    for each in spent:
        total.update(each)  # type: ignore[arg-type]  # a Counter adds any numbers
    return dict(total)


def call_metrics(record: CallRecord) -> dict[str, float]:
    """Returns what is logged of a reward's calls."""
    size = max(len(record.seconds), 1)
    return {
        f"rewards/{record.reward}/invalid_share": record.failures.total() / size,
        f"rewards/{record.reward}/none_share": record.num_none / size,
        f"rewards/{record.reward}/seconds_p95": float(np.percentile(record.seconds or [0.0], 95)),
    }


def call_line(record: CallRecord, step: int, mode: str) -> dict[str, Any]:
    """Makes the line of `rewards.jsonl`."""
    quantiles = np.percentile(record.seconds or [0.0], [50, 95, 100])
    return {
        "step": step,
        "mode": mode,
        "reward": record.reward,
        "rows": len(record.seconds),
        "none": record.num_none,
        "invalid": dict(record.failures),
        "seconds": dict(zip(("p50", "p95", "max"), np.round(quantiles, 6).tolist(), strict=True)),
        "failed": record.failed,
        "slowest": record.slowest,
    } | ({"spent": dict(record.spent)} if record.spent else {})


def append_calls(folder: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    """Adds lines to `rewards.jsonl`, without secrets and behind what a run that was killed left of a line."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / REWARDS_FILE).open("a+b") as file:
        file.seek(max(0, file.tell() - 1))
        torn = file.read() not in (b"", b"\n")
        file.write(("\n" * torn + "".join(json.dumps(mask(line)) + "\n" for line in lines)).encode())


def invalid_share(state: Any, what: str, invalid: int, rows: int, fewest: int = 1) -> float:
    """Returns the share of values, or of rows, that were invalid in the last steps, and counts this one.

    Before `fewest` steps it is 0.

    The counts are in the trainer's state, which a checkpoint has, so that a run that goes on ends where one that was
    never stopped would. transformers keeps what callbacks say of themselves there; a callback could not go on from a
    checkpoint that has nothing of it.
    """
    steps = state.stateful_callbacks.setdefault("invalid_shares", {}).setdefault(what, [])
    steps.append([invalid, rows])
    del steps[:-STEPS_IN_WINDOW]
    bad, whole = (sum(numbers) for numbers in zip(*steps, strict=True))
    return float(bad / max(whole, 1)) if len(steps) >= fewest else 0.0


def describe_failed(record: CallRecord) -> str:
    """Lists the failed rows of a record for an error message."""
    lines = [
        f"  {i}. {row['failure']}: {row['message']}\n     prompt: {row['prompt']!r}\n"
        f"     completion: {row['completion']!r}"
        for i, row in enumerate(record.failed, 1)
    ]
    return "\n".join(lines)


def failure_text(record: CallRecord, why: str) -> str:
    """Words why the values of a reward end a run, with its worst rows."""
    kinds = ", ".join(f"{count} x {failure}" for failure, count in record.failures.most_common())
    return (
        f"Reward `{record.reward}`: {record.failures.total()} of {len(record.seconds)} values of this step are "
        f"invalid ({kinds}), {why}. Worst rows:\n{describe_failed(record)}\n"
        f"All of them are counted in {REWARDS_FILE} of the run folder. Mend the reward, or allow more with "
        "`on_invalid`, `max_invalid_share` and `reward_timeout`."
    )


def shown_text(completion: Any) -> str:
    """Reads a completion, or says what it is where it has no text, as a call of a tool."""
    try:
        return completion_text(completion)
    except TypeError:
        return str(completion)


def _last_part(text: str) -> str:
    """Keeps the end of a prompt, where its question is."""
    return text if len(text) <= LONGEST_TEXT else f"... {text[-LONGEST_TEXT:]}"


def _first_part(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]} ..."


class Repeat(NamedTuple):
    """Two values of one completion; `failed` where the reward gave none the second time because it failed."""

    first: float | None
    again: float | None
    failed: bool = False

    @property
    def differs(self) -> bool:
        """Whether the second value is another one, by more than rounding (1e-4 of the larger, or of 1)."""
        return self.failed or first_difference([self.first], [self.again]) is not None


def rows_to_repeat(scores: Sequence[Score], share: float, ranks: int, seed: Sequence[int]) -> list[int]:
    """Draws rows of one rank that did not fail, at least `FEWEST_REPEATS` on all ranks together, in a random order."""
    count = max(int(np.ceil(share * len(scores))), -(-FEWEST_REPEATS // ranks))
    order = np.random.default_rng(seed).permutation(len(scores)).tolist()
    return [row for row in order if scores[row].failure is None][:count]


def pair_scores(first: Sequence[Score], rows: Sequence[int], again: Sequence[Score]) -> list[Repeat]:
    """Pairs the scores of rows with those they got when they were scored again."""
    return [
        Repeat(first[row].value, score.value, score.failure is not None)
        for row, score in zip(rows, again, strict=True)
    ]


def repeat_metrics(repeats: Sequence[Repeat], values: np.ndarray, num_generations: int) -> dict[str, float]:
    """Returns how much a reward differs from itself; NaN where there is nothing to tell it from.

    `values` `(N,)` are those of the whole batch, the completions of a prompt in a row. `flaky_share`: share of the
    rows whose value differs. `repeat_difference`: mean absolute difference. `noise_variance`: mean of `(a - b)^2 / 2`,
    the variance of one value around the mean of its completion. `group_variance`: variance of the values inside the
    groups, pooled. `repeat_icc`: see `icc`.
    """
    pairs = np.array([(a, b) for a, b, failed in repeats if a is not None and b is not None and not failed])
    pairs = pairs.reshape(-1, 2).astype(np.float64)
    gaps = pairs[:, 0] - pairs[:, 1]
    return {
        "flaky_share": _mean(np.array([repeat.differs for repeat in repeats], dtype=np.float64)),
        "repeat_difference": _mean(np.abs(gaps)),
        "repeat_icc": icc(pairs),
        "noise_variance": _mean(gaps**2) / 2,
        "group_variance": group_variance(values, num_generations),
    }


def icc(pairs: np.ndarray) -> float:
    """Returns the one-way random intraclass correlation ICC(1,1) of `(n, 2)` values, which is 1 without noise.

    `(MSB - MSW) / (MSB + MSW)`: the mean squares between and within the rows (Shrout and Fleiss, 1979, with k = 2).
    NaN for fewer than two rows, and where all values are the same.
    """
    if len(pairs) < 2:
        return float("nan")
    means = pairs.mean(axis=1)
    between = 2 * ((means - means.mean()) ** 2).sum() / (len(pairs) - 1)
    within = ((pairs[:, 0] - pairs[:, 1]) ** 2 / 2).mean()
    return float((between - within) / (between + within)) if between + within > 0 else float("nan")


def group_variance(values: np.ndarray, num_generations: int) -> float:
    """Returns the variance inside groups: squares around each group's mean, over values less groups; NaN without."""
    groups = [values[start : start + num_generations] for start in range(0, len(values), num_generations)]
    known = [group[np.isfinite(group)] for group in groups]
    freedom = sum(max(len(group) - 1, 0) for group in known)
    squares = sum(float(((group - group.mean()) ** 2).sum()) for group in known if len(group))
    return squares / freedom if freedom else float("nan")


def add_noise_shares(metrics: MutableMapping[str, list[float]]) -> None:
    """Adds the share of the variance inside groups that is noise, from the means of both since the last log."""
    for key in [key for key in metrics if key.startswith("rewards/") and key.endswith("/noise_variance")]:
        reward = key.rpartition("/")[0]
        variance = _mean(np.array(metrics.get(f"{reward}/group_variance", [])))
        if variance > 0:
            metrics[f"{reward}/noise_share"] = [min(1.0, _mean(np.array(metrics[key])) / variance)]


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")


def score_again(
    rows: Mapping[GuardedReward, Sequence[int]], given: Mapping[str, Any], device: torch.device
) -> dict[GuardedReward, list[Score]]:
    """Scores rows of a batch again, those that are awaited all at once, and puts all random states back."""
    with generators_kept(device):
        found = {func: func.score_again(given, own) for func, own in rows.items() if not is_async(func)}
        awaited = [func for func in rows if is_async(func)]
        if not awaited:
            return found

        async def together() -> list[list[Score]]:
            return await asyncio.gather(*(func.score_again(given, rows[func]) for func in awaited))

        return found | dict(zip(awaited, result_of(together()), strict=True))


@contextmanager
def generators_kept(device: torch.device) -> Iterator[None]:
    """Puts random states back: a reward that draws from them changes nothing for the trainer."""
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


NUM_FEATURES = 7
_MARKS = (r"\n", r"^\s*(?:[-*+]|\d+[.)])\s", r"\*\*|^#+ |```|`", r"<[^<>\n]{1,40}>|\\boxed|\[[^\[\]\n]{1,40}\]")
_PATTERNS = [re.compile(mark, re.MULTILINE) for mark in _MARKS]
_WORDS_IN_A_ROW = 4
_TAG = re.compile(r"<[^<>\n]{1,40}>")
_PLAIN_LINE = re.compile(r"(?<!>)\n(?!\s*<[^<>\n]{1,40}>)")
_FEWEST_WITH, _SHARE_WITH = 3, 0.03  # completions that have a phrase, and that do not have it
_ROUNDING = 1e-6


class Signal(NamedTuple):
    """What a reward goes along with: a correlation, whose variance by chance alone is 1 / n; NaN where n is 0."""

    value: float
    n: float = float("nan")
    phrase: str = ""


def text_features(texts: Sequence[str], num_tokens: Sequence[int]) -> np.ndarray:
    """Counts what can be seen of completions without understanding them, `(N, 7)`.

    Tokens; share of runs of four words that came before in the text; the format: lines, items of lists, marks of
    emphasis and code, tags and boxes; and the first three of these together, without lines that begin or end in a tag.
    """
    rows = []
    for text, length in zip(texts, num_tokens, strict=True):
        _, items, emphasis, _ = marks = [len(pattern.findall(text)) for pattern in _PATTERNS]
        rows.append([length, repetition(text), *marks, len(_PLAIN_LINE.findall(text)) + items + emphasis])
    return np.array(rows, dtype=np.float64).reshape(-1, NUM_FEATURES)


def repetition(text: str) -> float:
    """Returns the share of runs of four words that came before in the text; 0 for a text of fewer words.

    Example:
        >>> repetition("so it is so it is so it is so it is")
        0.667
    """
    words = text.split()
    runs = [tuple(words[i : i + _WORDS_IN_A_ROW]) for i in range(len(words) - _WORDS_IN_A_ROW + 1)]
    return round(1 - len(set(runs)) / len(runs), 3) if runs else 0.0


def audit_signals(
    rewards: np.ndarray, features: np.ndarray, num_generations: int, more: Sequence[str] = ()
) -> dict[str, Signal]:
    """Tells how much a reward `(N,)` goes along with features of the text among the completions of a prompt.

    Only differences within a group count, since nothing else of a reward moves the policy. NaN is no reward; the
    completions of a prompt are in a row. Returns Spearman correlations in -1..1: `length`, `repetition`, `format`
    (number of marks beside tags, which prompts ask for) and `more`, the columns behind those of `text_features`. NaN
    where the reward or the feature does not vary.
    """
    groups = np.arange(len(rewards)) // num_generations
    kept = np.isfinite(rewards)
    rewards, features, groups = rewards[kept], features[kept], groups[kept]
    names = dict(zip(("length", "repetition", "format", *more), (0, 1, *range(6, features.shape[1])), strict=True))
    return {name: rank_correlation(rewards, features[:, column], groups) for name, column in names.items()}


def main_total(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Adds up the `(N, F)` rewards that pay at least half of what the largest pays; NaN where none has a value.

    What a recipe pays little for, such as a form, it means to pay: early in a run, where hardly any answer is right,
    that is most of what varies, and no reward that is gamed. A reward pays its weight times how far its values lie
    apart, or its weight where they are all the same.

    Example:
        >>> main_total(np.array([[1.0, 0.1], [1.0, 0.0], [np.nan, 0.1]]), np.array([1.0, 1.0]))
        array([ 1.,  1., nan])
    """
    pays = np.abs(weights) * [
        np.ptp(known) or 1.0 if len(known := each[~np.isnan(each)]) else 0.0 for each in values.T
    ]
    main = pays >= 0.5 * pays.max()
    known = ~np.isnan(values[:, main]).all(axis=1)
    return np.where(known, np.nansum(values[:, main] * weights[main], axis=1), np.nan)


class SharedPhrases(NamedTuple):
    """The words, and pairs of neighbouring words, that some completions have and others have not."""

    names: list[str]
    present: np.ndarray  # `(groups, completions, P)`, 1 where a completion has one, less the mean of its group


def shared_phrases(texts: Sequence[str], num_generations: int) -> SharedPhrases:
    """Finds the phrases of `(N,)` texts, without tags, which a recipe asks for."""
    split = [_TAG.sub(" ", text).split() for text in texts]
    said = [{*words, *map(" ".join, pairwise(words))} for words in split]
    counts = Counter(phrase for each in said for phrase in each)
    fewest = max(_FEWEST_WITH, _SHARE_WITH * len(texts))
    names = sorted(each for each, count in counts.items() if fewest <= count <= len(texts) - fewest)
    number = {phrase: place for place, phrase in enumerate(names)}
    table = np.zeros((len(texts), len(names)), dtype=np.float32)
    for row, each in enumerate(said):
        table[row, [number[phrase] for phrase in each if phrase in number]] = 1
    present = table.reshape(len(texts) // num_generations, num_generations, len(names))
    return SharedPhrases(names, present - present.mean(axis=1, keepdims=True))


def phrase_signal(rewards: np.ndarray, phrases: SharedPhrases) -> Signal:
    """Tells how much a reward `(N,)` goes along with a phrase that completions of several prompts share, and which.

    For each prompt, that phrase is taken whose presence goes most steadily with the reward among the completions of
    the other prompts; the value is the mean correlation that it has in this one. So it is about 0 where there is no
    such phrase, however many words there are, and an answer does not count, which is right for one prompt and wrong
    for the next. A prompt whose completions all have the phrase, or all the same reward, counts 0. NaN with fewer than
    two prompts, or without phrases.
    """
    present = phrases.present
    if len(present) < 2 or not phrases.names:
        return Signal(float("nan"))
    values = np.asarray(rewards, dtype=np.float32).reshape(present.shape[:2])
    known = np.isfinite(values)
    means = np.where(known, values, 0).sum(axis=1, keepdims=True) / np.maximum(known.sum(axis=1, keepdims=True), 1)
    values = np.where(known, values - means, 0)
    scale = np.sqrt((present**2).sum(axis=1) * (values**2).sum(axis=1)[:, None])
    sums = np.einsum("gnk,gn->gk", present, values)
    correlations = np.divide(sums, scale, out=np.zeros_like(sums), where=scale > _ROUNDING)  # `(groups, P)`
    others = correlations.sum(axis=0) - correlations
    spread = np.sqrt((correlations**2).sum(axis=0) - correlations**2 + 0.5)  # 0.5: two prompts are not yet steady
    best = (others / spread).argmax(axis=1)
    own = correlations[np.arange(len(best)), best]
    n = (present.shape[1] - 1) * len(best) ** 2 / max(1, np.count_nonzero(own))
    return Signal(float(own.mean()), n, phrases.names[np.bincount(best).argmax()])


def rank_correlation(rewards: np.ndarray, column: np.ndarray, groups: np.ndarray) -> Signal:
    """Correlates ranks within groups, so that a prompt with long answers and high rewards is no evidence.

    The variance by chance is that of ranks permuted within groups, which is exact.
    """
    sizes, ranks = np.bincount(groups), (ranks_within(values, groups) for values in (rewards, column))
    first, second = (each - (np.bincount(groups, each) / np.maximum(sizes, 1))[groups] for each in ranks)
    ours, theirs = (np.bincount(groups, each**2) for each in (first, second))
    scale, freedom = ours.sum() * theirs.sum(), np.maximum(sizes - 1, 1)
    if not scale > 0:
        return Signal(float("nan"), 0.0)
    by_chance = (ours * theirs / freedom).sum() / scale
    return Signal(float((first * second).sum() / np.sqrt(scale)), 1 / by_chance if by_chance > 0 else 0.0)


def ranks_within(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Returns places in the order of each group, ties at their mean; each group counts on from the one before."""
    both = np.stack((groups, values))
    _, ties, counts = np.unique(both, axis=1, return_inverse=True, return_counts=True)
    return np.asarray(np.cumsum(counts) - (counts + 1) / 2)[ties.ravel()]
