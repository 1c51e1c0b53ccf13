"""What comparing the rows found, counted and worded."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from align.auditing.letters import letters_p_value
from align.auditing.rows import Compared, Flags, Seen, shared_keys
from align.evaluation.statistics.metrics import wilson
from rewards.reading.options import LETTERS

SHOWN = 3  # examples of a finding


@dataclass(frozen=True)
class RowFinding:
    """One count."""

    name: str  # for `--fail_on`
    count: int  # rows, or contents that contradict themselves
    of: int  # how many there are
    text: str  # what is counted
    todo: str  # what to do about it
    examples: list[str]  # rows, each with the one it belongs to where there is one
    numbers: dict[str, Any] = field(default_factory=dict)  # more of it, by name


CONFLICTS = {
    "pairs": "pairs of answers that stand in both orders",
    "questions": "questions with the same options and another right one, as contents",
    "prompts": "prompts with another answer to be compared with",
    "sft": "rows with another label",
    "outcomes": "",
}
SEEN_TWICE = {
    "pairs": "evaluation rows whose prompt is trained on with other answers",
    "questions": "evaluation rows whose question is trained on with other options",
    "prompts": "",
    "sft": "evaluation rows whose prompt is trained on with another completion",
    "outcomes": "evaluation rows whose prompt is trained on with another text",
}
SHUFFLE = "`dataset.shuffle_options: true` draws the order of the options, at no cost."
NOTHING = "Nothing is to be done."


def describe_rows(train: Seen, held_out: Seen | None, found: Compared) -> list[RowFinding]:
    """Counts what was found, in the order in which it matters; what was looked for and not found has a count of 0."""
    kind = train.kind
    findings = [_duplicates(train, found)]
    if found.has_classes:
        findings.append(_contradictions(train, found))
    if held_out is not None:
        text = "evaluation rows that are rows for training, in any order of their sides"
        todo = (
            "Leave these rows out of training, or measure on others: the score would count what was learnt by heart."
        )
        findings.append(_count("leaks", held_out, found.eval_leaked, text, todo))
        prompts = train.part("prompt")
        if SEEN_TWICE[kind] and (prompts != prompts[0]).any():  # outcomes may have none
            todo = "Split by prompt if the score should be about prompts that were never seen."
            findings.append(_count("shared_prompts", held_out, found.eval_prompts, SEEN_TWICE[kind], todo))
    if (train.part("group") >= 0).any():
        text = "rows whose prompt stands in two groups"
        todo = "Means by group, and splits between groups, then share rows: give each prompt one group."
        findings.append(_count("groups", train, found.grouped, text, todo))
    if kind == "pairs":
        text = "pairs whose chosen answer is the beginning of the rejected one"
        todo = "A cut-off answer may have been preferred for its length alone: look at these, or leave them out."
        findings.append(_count("prefixes", train, found.prefix, text, todo))
    if kind == "questions" and (train.part("images") > 0).any():
        text = "rows whose images are equal by content under another right answer, with other options"
        todo = "See which of the answers is right; the name of a file says nothing about what it shows."
        findings.append(_count("images", train, found.images, text, todo))
    return [*findings, *letters(train)]


_SELDOM = 0.001  # by chance


def letters(train: Seen, *, fixed: bool = False) -> Iterator[RowFinding]:
    """Says whether the right answers favour a letter more than chance does, with how many and an interval."""
    counts = train.letters(fixed=fixed)
    if not counts:
        return
    said, too_many, p_value = [], 0.0, 1.0
    for options, of in sorted(counts.items()):
        num, most, found = sum(of), max(of), letters_p_value(of)
        if found >= _SELDOM:
            continue
        share = wilson(most, num)
        said.append(
            f"{LETTERS[of.index(most)]} in {most:,} of {num:,} rows of {options} options "
            f"({share.value:.0%} [{share.low:.0%}, {share.high:.0%}], by chance {1 / options:.0%})"
        )
        too_many += sum(max(0.0, count - num / options) for count in of)
        p_value = min(p_value, found)
    text = "rows would need another right letter until each is right as often" + (f": {'; '.join(said)}" * bool(said))
    numbers = {"counts": counts, "said": said, "p_value": p_value}
    yield RowFinding("letters", round(too_many), len(train), text, SHUFFLE, [], numbers)


def surplus(train: Seen, kept: Flags) -> Iterator[int]:
    """Draws rows to leave out of those kept, until each letter that is right at all is so equally often.

    Rows with other numbers of options, and those that no shuffle moves, are evened by themselves.
    """
    letter = train.part("letter")
    lots, order = letter // len(LETTERS) * 2 + train.part("fixed"), np.random.default_rng(0).permutation(len(letter))
    for lot in np.unique(lots[kept & (letter >= 0)]):
        rows = order[(kept & (lots == lot))[order]]
        counts = np.unique(letter[rows], return_counts=True)[1]
        for each in np.unique(letter[rows]):
            yield from rows[letter[rows] == each][counts.min() :].tolist()


def leave_out(train: Seen, found: Compared) -> list[tuple[str, str]]:
    """Says of each row why it should be left out, and which row that is about; empty texts where it should not."""
    reasons = [("", "")] * len(train)
    for index in _indices(found.repeats):
        reasons[index] = ("duplicate", train.name(int(found.first[index])))
    for index in _indices(found.conflict):
        reasons[index] = ("contradiction", "")
    for index in _indices(found.leaked):
        reasons[index] = ("leak", "")
    return reasons


def _duplicates(train: Seen, found: Compared) -> RowFinding:
    again = _indices(found.repeats)
    examples = [f"{train.name(i)} repeats {train.name(int(found.first[i]))}" for i in again[:SHOWN]]
    todo = "Leave them out (`--write`): a row that stands there twice counts twice."
    text = "rows that repeat an earlier one, gold included"
    return RowFinding("duplicates", len(again), len(train), text, todo, examples)


def _contradictions(train: Seen, found: Compared) -> RowFinding:
    key, gold = train.part("key"), train.part("gold")
    once = ~found.repeats
    keys, pairs, remove = shared_keys(key[once & found.conflict], gold[once & found.conflict])
    contents, num = len(np.unique(key)), int(once.sum())
    rows = _indices(found.conflict & once)
    examples = []
    for index in rows:
        other = next(j for j in rows if key[j] == key[index] and gold[j] != gold[index])
        if index < other:
            examples.append(f"{train.name(index)} against {train.name(other)}")
        if len(examples) == SHOWN:
            break
    numbers = {
        "rows": int(found.conflict.sum()),
        "to_remove": remove,
        "g1": pairs / max(1, num * num),
        "g3": remove / max(1, num),
    }
    todo = (
        f"Nothing in the data says which side is right: decide, or leave all of them out (`--write`). Of {num:,} "
        f"different rows {remove:,} ({numbers['g3']:.2%}, g3) have to go until none is contradicted; "
        f"g1, the share of pairs of rows that contradict each other, is {numbers['g1']:.1e}."
    )
    return RowFinding("contradictions", keys, contents, CONFLICTS[train.kind], todo, examples, numbers)


def _indices(flags: Flags) -> list[int]:
    return [int(index) for index in np.flatnonzero(flags)]


def _count(name: str, rows: Seen, flags: Flags, text: str, todo: str) -> RowFinding:
    places = _indices(flags)
    return RowFinding(name, len(places), len(rows), text, todo, [rows.name(place) for place in places[:SHOWN]])
