"""What is looked for by comparing rows: one entry each, which the audit counts and the page and `--fail_on` show."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from align.auditing.letters import letters_p_value
from align.auditing.near import SHARE
from align.auditing.repeats import Compared, Flags, Seen, shared_keys
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


class Rows(NamedTuple):
    """The rows of an audit, and what they are to each other; None of what was not looked at."""

    train: Seen
    held_out: Seen | None
    found: Compared
    near: Sequence[Any] | None = None  # rows that are nearly an earlier one
    leaked: Sequence[Any] | None = None  # rows for evaluation that are nearly rows for training


class RowCheck(NamedTuple):
    """Everything there is of what is looked for among rows."""

    name: str  # for `--fail_on`
    text: str  # what is counted
    todo: str  # what to do about it
    look: Callable[["RowCheck", Rows], RowFinding | None]  # None where it is not for such rows
    needs_eval: bool = False  # whether there have to be rows for evaluation
    has_share: bool = True  # whether the count is one of rows
    in_line: str = ""  # what `align check` says of a count, in one line with the others

    def found(self, count: int, of: int, examples: list[str], numbers: dict[str, Any], **words: Any) -> RowFinding:
        """Words what was counted."""
        return RowFinding(
            self.name, count, of, self.text.format(**words), self.todo.format(**words), examples, numbers
        )

    def flagged(self, rows: Seen, flags: Flags, **words: Any) -> RowFinding:
        """Counts the rows that have a flag."""
        places = _indices(flags)
        return self.found(len(places), len(rows), [rows.name(place) for place in places[:SHOWN]], {}, **words)


CONFLICTS = {
    "pairs": "pairs of answers that stand in both orders",
    "questions": "questions with the same options and another right one, as contents",
    "prompts": "prompts with another answer to be compared with",
    "sft": "rows with another label",
    "outcomes": "",
}
SEEN_TWICE = {
    "pairs": "whose prompt is trained on with other answers",
    "questions": "whose question is trained on with other options",
    "sft": "whose prompt is trained on with another completion",
    "outcomes": "whose prompt is trained on with another text",
}
SHUFFLE = "`dataset.shuffle_options: true` draws the order of the options, at no cost."


def describe_rows(train: Seen, held_out: Seen | None, found: Compared, **near: Any) -> list[RowFinding]:
    """Counts what was found, in the order in which it matters; what was looked for and not found has a count of 0."""
    rows = Rows(train, held_out, found, **near)
    return [told for check in ROW_CHECKS.values() if (told := check.look(check, rows)) is not None]


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


def _duplicates(check: RowCheck, rows: Rows) -> RowFinding:
    train, again = rows.train, _indices(rows.found.repeats)
    examples = [f"{train.name(i)} repeats {train.name(int(rows.found.first[i]))}" for i in again[:SHOWN]]
    return check.found(len(again), len(train), examples, {})


def _contradictions(check: RowCheck, rows: Rows) -> RowFinding | None:
    train, found = rows.train, rows.found
    if not found.has_classes:
        return None
    key, gold = train.part("folded"), train.part("meant")
    once = ~found.repeats
    keys, pairs, remove = shared_keys(key[once & found.conflict], gold[once & found.conflict])
    contents, num = len(np.unique(key)), int(once.sum())
    places = _indices(found.conflict & once)
    examples = []
    for index in places:
        other = next(j for j in places if key[j] == key[index] and gold[j] != gold[index])
        if index < other:
            examples.append(f"{train.name(index)} against {train.name(other)}")
        if len(examples) == SHOWN:
            break
    shares = {"g1": pairs / max(1, num * num), "g3": remove / max(1, num)}
    numbers = {"rows": int(found.conflict.sum()), "to_remove": remove} | shares
    words = {"conflicts": CONFLICTS[train.kind], "num": num, "remove": remove}
    return check.found(keys, contents, examples, numbers, **words, **shares)


def _shared_prompts(check: RowCheck, rows: Rows) -> RowFinding | None:
    prompts, twice = rows.train.part("prompt"), SEEN_TWICE.get(rows.train.kind)
    if rows.held_out is None or twice is None or not (prompts != prompts[0]).any():  # outcomes may have none
        return None
    return check.flagged(rows.held_out, rows.found.eval_prompts, twice=twice)


def _images(check: RowCheck, rows: Rows) -> RowFinding | None:
    has_images = rows.train.kind == "questions" and (rows.train.part("images") > 0).any()
    return check.flagged(rows.train, rows.found.images) if has_images else None


_SELDOM = 0.001  # by chance: one data set in a thousand


def letters(train: Seen, *, fixed: bool = False) -> RowFinding | None:
    """Says whether the right answers favour a letter more than chance does, with how many and an interval."""
    counts = train.letters(fixed=fixed)
    if not counts:
        return None
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
    numbers = {"counts": counts, "said": said, "p_value": p_value}
    words = f": {'; '.join(said)}" * bool(said)
    return ROW_CHECKS["letters"].found(round(too_many), len(train), [], numbers, said=words)


def _near(check: RowCheck, found: Iterable[Any] | None, rows: Seen | None, others: Seen) -> RowFinding | None:
    if found is None or rows is None:
        return None
    near = [f"{rows.name(each.row)} has {each.share:.2f} of {others.name(each.other)}" for each in found]
    return check.found(len(near), len(rows), near[:SHOWN], {})


def _indices(flags: Flags) -> list[int]:
    return [int(index) for index in np.flatnonzero(flags)]


_NEARLY = f": the longer one has {SHARE:.0%} of the word 3-grams of the shorter one, templates left out"
_LOOKED_FOR = (
    RowCheck("duplicates", "rows that repeat an earlier one, gold included",
             "Leave them out (`--write`): a row that stands there twice counts twice.", _duplicates,
             in_line="{count:,} of {of:,} rows repeat an earlier one"),
    RowCheck("contradictions", "{conflicts}",
             "Nothing in the data says which side is right: decide, or leave all of them out (`--write`). Of {num:,} "
             "different rows {remove:,} ({g3:.2%}, g3) have to go until none is contradicted; g1, the share of pairs "
             "of rows that contradict each other, is {g1:.1e}.", _contradictions, in_line="{count:,} {text}"),
    RowCheck("leaks", "evaluation rows that are rows for training, in any order of their sides",
             "Leave these rows out of training, or measure on others: the score would count what was learnt by heart.",
             lambda my, x: None if x.held_out is None else my.flagged(x.held_out, x.found.eval_leaked),
             needs_eval=True, in_line="{count:,} of {of:,} rows for evaluation are rows for training"),
    RowCheck("shared_prompts", "evaluation rows {twice}",
             "Split by prompt if the score should be about prompts that were never seen.", _shared_prompts,
             needs_eval=True),
    RowCheck("groups", "rows whose prompt stands in two groups",
             "Means by group, and splits between groups, then share rows: give each prompt one group.",
             lambda my, x: my.flagged(x.train, x.found.grouped) if (x.train.part("group") >= 0).any() else None,
             in_line="{count:,} rows have a prompt that stands in two groups"),
    RowCheck("prefixes", "pairs whose chosen answer is the beginning of the rejected one",
             "A cut-off answer may have been preferred for its length alone: look at these, or leave them out.",
             lambda my, x: my.flagged(x.train, x.found.prefix) if x.train.kind == "pairs" else None,
             in_line="in {count:,} pairs the chosen answer is the beginning of the rejected one"),
    RowCheck("images", "rows whose images are equal by content under another right answer, with other options",
             "See which of the answers is right; the name of a file says nothing about what it shows.", _images,
             in_line="{count:,} rows have images that are equal by content under another right answer"),
    RowCheck("letters", "rows would need another right letter until each is right as often{said}", SHUFFLE,
             lambda _, x: letters(x.train), has_share=False),
    RowCheck("near_duplicates", f"rows that are nearly an earlier one{_NEARLY}",
             "Look at some of them: the same said again teaches little and weighs more. Nothing is left out for it.",
             lambda my, x: _near(my, x.near, x.train, x.train)),
    RowCheck("near_leaks", f"evaluation rows that are nearly rows for training{_NEARLY}",
             "Look at these: `--write` leaves the training rows out that an evaluation row is near.",
             lambda my, x: _near(my, x.leaked, x.held_out, x.train), needs_eval=True),
)  # fmt: skip
ROW_CHECKS = {each.name: each for each in _LOOKED_FOR}
