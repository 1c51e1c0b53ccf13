"""Scores that are no numbers, and rows that are not there, make no verdict of `align compare` stronger."""

import math

import numpy as np
import pytest
from spoiled_scores import KINDS, WRITERS, draw_scores, spoil, take_out

from align.errors import DataError
from align.logs.comparison import compare_logs
from align.logs.log import How, Item, Log, collect
from align.logs.missing import Missing
from align.logs.reading import read_log

LEAST = 1e-9
TABLES = ("table", "csv")


def side(difference):
    return difference.difference.verdict() if difference.is_sure else None


def demand_no_stronger(before, after):
    """Demands that what was not told still is not, and that no told effect got larger at its near end."""
    was, now = side(before), side(after)
    assert now in (was, None), (before, after)
    if now is not None and not math.isnan(before.difference.low):
        nearer = {"above": after.difference.low - before.difference.low,
                  "below": before.difference.high - after.difference.high}  # fmt: skip
        assert nearer[now] <= LEAST, (before, after)


def found(logs, missing=None):
    record = compare_logs(logs, missing=missing or Missing())
    return next(each for each in record.differences if each.metric == "acc")


def refused_whole(error):
    """A log is refused only if no score of it is left."""
    if "none has one" not in str(error):
        raise error


def of_memory(scores):
    items = (Item("task", f"{n}?", {"acc": score}) for n, answers in enumerate(scores) for score in answers)
    return Log("log", "drawn", collect(items, "log", How()), [])


def drawn_case(seed):
    """Draws two whole logs and the same with scores that are spoiled or taken out, in one of them or both."""
    rng = np.random.default_rng(seed)
    kind, n = KINDS[seed % len(KINDS)], int(rng.integers(2, 60))
    whole = draw_scores(rng, kind, n)
    shares = rng.choice([0.0, 0.03, 0.2, 0.6], 2, p=[0.25, 0.25, 0.25, 0.25])
    spoiled = [spoil(rng, scores, share) for scores, share in zip(whole, shares, strict=True)]
    return whole, take_out(rng, whole, spoiled) if seed // len(KINDS) % 2 else spoiled


def check_in_memory(seed):
    whole, spoiled = drawn_case(seed)
    before = found({"a": of_memory(whole[0].tolist()), "b": of_memory(whole[1].tolist())})
    try:
        after = found({"a": of_memory(spoiled[0]), "b": of_memory(spoiled[1])})
    except DataError as error:
        refused_whole(error)
        return
    demand_no_stronger(before, after)


@pytest.mark.parametrize("start", range(0, 60, 12))
def test_no_verdict_gets_stronger(start):
    for seed in range(start, start + 12):
        check_in_memory(seed)


@pytest.mark.slow
@pytest.mark.parametrize("start", range(1000, 3000, 250))
def test_no_verdict_gets_stronger_of_many(start):
    for seed in range(start, start + 250):
        check_in_memory(seed)


@pytest.mark.parametrize("tool", WRITERS)
def test_no_log_of_a_tool_makes_a_verdict_stronger(tool, tmp_path):
    for seed in range(3):
        whole, spoiled = drawn_case(seed + 40 * sorted(WRITERS).index(tool))
        logs, how = {}, How(scores=("acc",), average=True) if tool in TABLES else How()
        for name, scores in (("a", whole[0].tolist()), ("b", whole[1].tolist()), ("c", spoiled[0]), ("d", spoiled[1])):
            logs[name] = WRITERS[tool](tmp_path / str(seed) / name, scores)
        read = {name: read_log(str(logs[name]), how) for name in "ab"}
        try:
            spoiled_logs = {name: read_log(str(logs[other]), how) for name, other in zip("ab", "cd", strict=True)}
        except DataError as error:
            refused_whole(error)
            continue
        demand_no_stronger(found(read), found(spoiled_logs))
