"""Policies whose answers to prompts were measured by rewards, on the page."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from align.evaluation.record import Record
from align.evaluation.record.record import MeasuredReward, PairedAnswers
from align.report.charts.axis import format_number
from align.report.evaluation.items import Row, cut, note_items, pick, read_items
from align.report.evaluation.measured import Numbers, verdicts
from align.report.evaluation.view import EvaluationView, Item, Side
from align.report.run.completions import conversation
from rewards.running.protocol import HIGHER, NEITHER

_MOST_EACH, _MOST_VALUES = 10, 8
_OF_USE = ("success", "turns", "calls", "failed_calls", "tokens", "call_seconds", "lost")  # of tools


def of_prompts(path: Path, record: Record, numbers: Numbers) -> EvaluationView:
    """Arranges what the page has of its own."""
    about = record.about
    side = next(iter(record.sides.values()), HIGHER)
    picked = _pick(path, record, numbers.names, side)
    return EvaluationView(
        noun="prompts",
        main=[name for suite in about.suites for name in _whole(record, suite)],
        shares=record.shares,
        verdict=verdicts(
            numbers,
            {f"reward/{each.name}": each.name for each in about.rewards},
            record.shares,
            record.paired,
            partial(_counts, sides=record.sides),
        ),
        facts={"Rewards": "; ".join(map(_reward, about.rewards))},
        by_suite=bool(about.data.groups) or len(about.suites) > len(about.rewards),
        items=picked,
        items_note=note_items(
            picked,
            "prompt",
            record.paired,
            "those with the lowest and the highest first reward",
            " The text is that of the first sample.",
            differ=" and ".join(differ_words(side)),
        ),
    )


def _whole(record: Record, suite: str) -> list[str]:
    measured = dict.fromkeys(metric for cells in record.suites.get(suite, {}).values() for metric in cells)
    return [name for name in measured if name.endswith(f"/{suite}") or name in (f"{suite}/{each}" for each in _OF_USE)]


def _counts(pair: PairedAnswers, sides: Mapping[str, str]) -> str:
    first, second = differ_words(sides[pair.metric.partition("/")[2]])
    return f"; prompts {first}: {len(pair.wins):,}, {second}: {len(pair.losses):,}"


def _reward(reward: MeasuredReward) -> str:
    parts = [part for part in (reward.spec if reward.spec != reward.name else "", reward.role) if part]
    right = "" if reward.right_from is None else f", right from {reward.right_from:g}"
    return f"{reward.name} ({', '.join(parts)}{right})"


def _pick(path: Path, record: Record, models: Sequence[str], side: str) -> list[Item]:
    """Picks prompts: more, less of the first reward than the first baseline, then the lowest and the highest ones."""
    rewards = record.about.rewards
    if not rewards:
        return []
    first = f"reward/{rewards[0].name}"
    rows = [row for row in read_items(path, ("id", "model", first)) if row["model"] == models[0]]
    show = partial(_item, rewards=rewards, better=side)
    return pick(path, models, _reasons(rows, record, first, differ_words(side)), show, most_each=_MOST_EACH)


def differ_words(side: str) -> tuple[str, str]:
    """Says what it is to have more of a reward than a baseline, and less; `side` says which values are better."""
    return ("won", "lost") if side == HIGHER else ("with more", "with less")


def _reasons(
    rows: Sequence[Row], record: Record, first: str, reasons: tuple[str, str]
) -> Iterator[tuple[str, list[str]]]:
    for pair in [pair for pair in record.paired if pair.metric == first][:1]:
        yield reasons[0], pair.wins
        yield reasons[1], pair.losses
    values: dict[str, list[float]] = {}
    for row in rows:
        if row.get(first) is not None:
            values.setdefault(str(row["id"]), []).append(row[first])
    means = {name: sum(each) / len(each) for name, each in values.items()}
    ordered = sorted(means, key=lambda name: means[name])
    yield "lowest", ordered[:_MOST_EACH]
    yield "highest", ordered[::-1][:_MOST_EACH]


def _item(by_model: Mapping[str, Sequence[Row]], rewards: Sequence[MeasuredReward], better: str) -> Item:
    row = next(iter(by_model.values()))[0]
    means = [_mean(rows, rewards[0].name) for rows in by_model.values()]
    known = [mean for mean in means if mean is not None]
    best = None if better == NEITHER or not known else max(known) if better == HIGHER else min(known)
    sides = [_side(model, rows, rewards, best) for model, rows in by_model.items()]
    return Item(f"{cut(row['prompt'])}\n\n{cut(row['columns'])}", sides)


def _side(model: str, rows: Sequence[Row], rewards: Sequence[MeasuredReward], best: float | None) -> Side:
    facts = {reward.name: _written(rows, reward.name) for reward in rewards}
    answers = [row["answer"] for row in rows if row.get("answer") is not None]
    if answers:
        facts["answers"] = ", ".join(map(str, answers[:_MOST_VALUES]))
    mean = _mean(rows, rewards[0].name)
    shown = "no reward" if mean is None else f"{rewards[0].name} {format_number(mean)}"
    return Side(
        model=model,
        is_right=mean is not None and mean == best,
        facts=facts,
        trace="",
        completion=cut(rows[0].get("completion")),
        is_split=len(set(answers)) > 1,
        verdict=shown,
        turns=conversation(rows[0].get("transcript")),
    )


def _mean(rows: Sequence[Row], reward: str) -> float | None:
    values = [row[f"reward/{reward}"] for row in rows if row.get(f"reward/{reward}") is not None]
    return sum(values) / len(values) if values else None


def _written(rows: Sequence[Row], reward: str) -> str:
    values = [row.get(f"reward/{reward}") for row in rows[:_MOST_VALUES]]
    shown = ", ".join("none" if value is None else format_number(value) for value in values)
    return shown + (f" and {len(rows) - _MOST_VALUES} more" if len(rows) > _MOST_VALUES else "")
