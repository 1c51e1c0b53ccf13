"""Traces in a student's tokens, scored by it once: what it finds likely, by source, by correctness, and by step."""

import json
import math
from array import array
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from align.auditing.entry import Entry
from align.auditing.features import FEWEST
from align.data.questions.templates import PromptTemplate
from align.errors import UserError
from align.evaluation.statistics.item_means import by_cluster, cluster_codes, mean_over_clusters
from align.models.reading import render
from align.whole_files import whole_file
from rewards.reading.traces import step_spans

TEMPLATE = "{question}\n\n{options}"  # without instructions: which ones the student gets is not the data's
TRACES_FILE = "traces.jsonl"
QUANTILES = (5, 25, 50, 75, 95)  # in percent
_MOST_STEPS = 12
_MOST_SOURCES = 50
_DIGITS = 6


class ScoredTrace(NamedTuple):
    """One trace under the student."""

    id: str
    file: str
    row: int
    prompt: int  # number of its prompt
    source: str | None  # who wrote it; None where no column says so
    correct: bool | None  # None where nothing says so
    num_tokens: int  # of the trace
    nll: float  # mean negative log-likelihood of its tokens, in nats
    steps: list[float]  # the same of each of its steps; those without a token of their own are left out


class _Row(NamedTuple):
    trace: ScoredTrace  # not scored yet
    start: int
    text: int
    end: int


class TraceData:
    """Takes traces up, in tokens of the student, whose tokenizer has a padding token.

    `window` are the tokens it can read; None if any number. `num_long` counts traces that are longer with their
    prompt, `num_with_images` those of rows with images, which a text alone does not ask for, `num_empty` those without
    a token.
    """

    def __init__(self, tokenizer: Any, window: int | None) -> None:
        if not tokenizer.is_fast:
            raise UserError(
                f"{tokenizer.name_or_path}: the tokenizer does not say at which character a token stands, and steps "
                "are found by it. Save it as a fast one, with `tokenizer.json`."
            )
        self._tokenizer, self.window = tokenizer, window
        self._template = PromptTemplate(TEMPLATE, conversational=False)
        self._rows: list[_Row] = []
        self._prompts: dict[tuple[int, ...], int] = {}
        self._ids = array("i")
        self._step = array("i")
        self.num_long = self.num_with_images = self.num_empty = 0

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, entry: Entry) -> None:
        """Takes a row up; each text is tokenised once."""
        trace = entry.trace
        assert trace is not None
        if entry.images:
            self.num_with_images += 1
            return
        prompt = self._prompt(entry)
        encoded = self._tokenizer(trace, add_special_tokens=False, return_offsets_mapping=True)
        ids = list(encoded["input_ids"])
        if not ids or not prompt:
            self.num_empty += 1
            return
        if self.window is not None and len(prompt) + len(ids) > self.window:
            self.num_long += 1
            return
        starts = [start for start, _ in step_spans(trace)]
        steps = [max(0, bisect_right(starts, start) - 1) for start, _ in encoded["offset_mapping"]]
        begin = len(self._ids)
        self._ids.extend([*prompt, *ids])
        self._step.extend([*[-1] * len(prompt), *steps])
        number = self._prompts.setdefault(tuple(prompt), len(self._prompts))
        text = begin + len(prompt)
        found = ScoredTrace(entry.id, entry.file, entry.row, number, entry.source, entry.correct, len(ids), 0.0, [])
        self._rows.append(_Row(found, begin, text, len(self._ids)))

    def score(self, model: Any, advance: Callable[[int], None] = lambda num: None) -> list[ScoredTrace]:
        """Scores every trace with a model, in the order of the rows."""
        from align.models.likelihood import Tokens, token_nll

        tokens = [Tokens(self._ids[row.start : row.text], self._ids[row.text : row.end]) for row in self._rows]
        pad = self._tokenizer.pad_token_id or 0  # masked
        return list(map(self._scored, self._rows, token_nll(model, tokens, pad_token_id=pad, advance=advance)))

    def _scored(self, row: _Row, nll: list[float]) -> ScoredTrace:
        steps: dict[int, list[float]] = {}
        for step, each in zip(self._step[row.text : row.end], nll, strict=True):
            steps.setdefault(step, []).append(each)
        means = [_mean(each) for _, each in sorted(steps.items())]
        return row.trace._replace(nll=_mean(nll), steps=means)

    def _prompt(self, entry: Entry) -> list[int]:
        asked = entry.prompt if entry.asked is None else entry.asked
        if len(entry.sides) > 1:
            asked = self._template.render(entry.prompt, entry.sides)
        messages = [{"role": "user", "content": asked}] if isinstance(asked, str) else asked
        if self._tokenizer.chat_template is not None:
            ids = render(self._tokenizer, messages, add_generation_prompt=True, tokenize=True, return_dict=False)
            return list(ids)
        text = asked if isinstance(asked, str) else entry.prompt
        return list(self._tokenizer(f"{text}\n")["input_ids"])


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


@dataclass(frozen=True)
class GroupScore:
    """The traces of a group, in nats a token."""

    group: str
    n: int  # traces
    mean: float  # of their mean negative log-likelihoods
    low: (
        float | None
    )  # end of its 95 % interval; traces of one prompt depend on each other. None for one prompt, and equal ones
    high: float | None
    quantiles: list[float]  # of the traces, at 5, 25, 50, 75 and 95 %
    worst_step: list[float]  # the same of each trace's least likely step


@dataclass(frozen=True)
class StepScore:
    """The steps in one place."""

    step: int  # its number, from 1
    n: int  # traces that have it
    mean: float  # of its mean negative log-likelihood


@dataclass(frozen=True)
class TraceFinding:
    """How likely a student finds the traces."""

    model: str  # the student
    n: int  # traces
    num_tokens: int  # of all traces
    groups: list[GroupScore]  # all traces, then by source, then by correctness
    steps: list[StepScore]  # by place


def find_scores(data: TraceData, scored: Sequence[ScoredTrace], model: str) -> tuple[TraceFinding | None, list[str]]:
    """Puts scores together; returns sentences on what cannot be said."""
    sentences = [
        f"{count:,} traces {why}, and were not scored by {model}."
        for count, why in (
            (data.num_long, f"are longer than the {data.window:,} tokens that the model reads, with their prompt"
             if data.window else ""),
            (data.num_with_images, "belong to rows with images, which a text alone does not ask about"),
            (data.num_empty, "have no token in them"),
        )
        if count
    ]  # fmt: skip
    if len(scored) < FEWEST:
        return None, [*sentences, f"There are {len(scored)} traces that can be scored, and quantiles need {FEWEST}."]
    groups = [_group("all", scored)]
    for part, key in (
        ("source", lambda each: each.source),
        ("", lambda each: {True: "right", False: "wrong"}.get(each.correct)),
    ):
        found, few = _by(scored, key)
        groups += [_group(f"{part} {name}".strip(), members) for name, members in found]
        if few:
            listed = ", ".join(f"{part} {name} ({count})".strip() for name, count in few)
            sentences.append(f"Fewer than {FEWEST} traces are of {listed}: their quantiles would say little.")
    if all(each.correct is None for each in scored):
        sentences.append("Nothing says which traces are right: name a column with `--correct_column`.")
    num_tokens = sum(each.num_tokens for each in scored)
    return TraceFinding(model, len(scored), num_tokens, groups, _steps(scored)), sentences


def write_traces(scored: Sequence[ScoredTrace], folder: Path) -> Path:
    """Writes the score of each trace, with the share of traces that are at most as unlikely, to select by."""
    values = np.array([each.nll for each in scored])
    shares = np.searchsorted(np.sort(values), values, side="right") / max(1, len(values))
    with (
        whole_file(folder / TRACES_FILE) as path,
        path.open("w", encoding="utf-8", errors="backslashreplace") as opened,  # of half a surrogate pair in an id
    ):
        for each, share in zip(scored, shares.tolist(), strict=True):
            row = {
                "file": each.file, "row": each.row, "id": each.id, "source": each.source, "correct": each.correct,
                "tokens": each.num_tokens, "nll": round(each.nll, _DIGITS), "quantile": round(share, _DIGITS),
                "steps": [round(step, _DIGITS) for step in each.steps],
            }  # fmt: skip
            opened.write(json.dumps(row, ensure_ascii=False) + "\n")
    return folder / TRACES_FILE


def _by(
    scored: Sequence[ScoredTrace], key: Callable[[ScoredTrace], str | None]
) -> tuple[list[tuple[str, list[ScoredTrace]]], list[tuple[str, int]]]:
    """Parts traces by a key: groups that are large enough, the largest first, and names and sizes of the others."""
    parts: dict[str, list[ScoredTrace]] = {}
    for each in scored:
        if (name := key(each)) is not None:
            parts.setdefault(name, []).append(each)
    ordered = sorted(parts.items(), key=lambda part: (-len(part[1]), part[0]))
    large = [part for part in ordered if len(part[1]) >= FEWEST][:_MOST_SOURCES]
    few = [(name, len(members)) for name, members in ordered if len(members) < FEWEST]
    return large, few[:_MOST_STEPS]


def _group(name: str, members: Sequence[ScoredTrace]) -> GroupScore:
    values = np.array([each.nll for each in members])
    found = mean_over_clusters(*by_cluster(values, cluster_codes([each.prompt for each in members])))
    low, high = (_rounded(each) if math.isfinite(each) else None for each in (found.low, found.high))
    worst = np.array([max(each.steps) for each in members])
    return GroupScore(
        name, len(members), _rounded(values.mean()), low, high,
        [_rounded(each) for each in np.percentile(values, QUANTILES)],
        [_rounded(each) for each in np.percentile(worst, QUANTILES)],
    )  # fmt: skip


def _steps(scored: Sequence[ScoredTrace]) -> list[StepScore]:
    found = []
    for place in range(_MOST_STEPS):
        values = [each.steps[place] for each in scored if len(each.steps) > place]
        if len(values) < FEWEST:
            break
        found.append(StepScore(place + 1, len(values), _rounded(np.mean(values))))
    return found


def _rounded(value: float | np.floating) -> float:
    return round(float(value), _DIGITS)
