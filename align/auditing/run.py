"""Reads the rows once, hands each to every part of the audit, and puts what they find together."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from align.auditing.attributes import AttributeData
from align.auditing.cue_data import CueData
from align.auditing.entry import Entry
from align.auditing.features import Vocabulary
from align.auditing.masks import WITH_GOLD, MaskData
from align.auditing.reading import Reader, Source
from align.auditing.record import AuditRecord, FileCount
from align.auditing.repeats import Seen, compare
from align.auditing.row_findings import JACCARD, describe_rows, leave_out, surplus
from align.errors import DataError
from rewards.extras import missing

SHINGLE = 5  # words
NUM_PERM = 128
BANDS = (21, 6)  # a pair of rows at 0.8 becomes a candidate with a chance of 0.998
SEED = 1
ENOUGH = 10  # evaluation rows that a row is found near, of those that are found near others too

Shingles = NDArray[np.uint64]


class Near(NamedTuple):
    """A row and the one that it is nearly the same as."""

    row: int
    other: int
    jaccard: float


def why_not() -> str:
    """Returns the sentence for a machine where near rows cannot be looked for; empty where they can."""
    return missing("audit", "Looking for rows that are nearly the same", "datasketch")


class NearRows:
    """Finds rows whose word 5-grams are those of another row, but for a few.

    A row that is near an earlier one stands for no others, so that a thousand copies cost a thousand comparisons. Of
    rows for evaluation all stand for themselves, since a row that is near one need not be near a copy of it; what
    copies of both cost grows with their sum.
    """

    def __init__(self) -> None:
        from datasketch import MinHash, MinHashLSH

        self._empty = MinHash(num_perm=NUM_PERM, seed=SEED, hashfunc=int)
        self._index, self._held_out = (
            MinHashLSH(threshold=JACCARD, num_perm=NUM_PERM, params=BANDS) for _ in range(2)
        )
        self._kept: dict[int, Shingles] = {}
        self._measured: dict[int, Shingles] = {}
        self._vocabulary = Vocabulary()
        self._seen: dict[bytes, int] = {}
        self.leaks: dict[int, Near] = {}  # by row for training, the evaluation row that it is nearest to
        self.leaked: dict[int, Near] = {}  # by evaluation row, the row for training that is nearest to it

    def hold_out(self, number: int, entry: Entry) -> None:
        """Takes a row for evaluation up, before those for training."""
        self._measured[number] = shingles = self._shingles(entry)
        self._held_out.insert(number, self._sketch(shingles), check_duplication=False)

    def add(self, number: int, entry: Entry) -> Near | None:
        """Takes a row up, unless it is near one that was; equal rows are not near ones."""
        shingles = self._shingles(entry)
        if (first := self._seen.setdefault(shingles.tobytes(), number)) != number:
            if first in self.leaks:
                self.leaks[number] = self.leaks[first]._replace(row=number)
            return None
        sketch = self._sketch(shingles)
        if self._measured:
            self._compare(number, shingles, sketch)
        if (found := self._find(number, shingles, sketch)) is not None:
            return found
        self._kept[number] = shingles
        self._index.insert(number, sketch, check_duplication=False)
        return None

    def _find(self, number: int, shingles: Shingles, sketch: Any) -> Near | None:
        best = None
        for other in sorted(self._index.query(sketch)):
            index = jaccard(shingles, self._kept[other])
            if index >= JACCARD and (best is None or index > best.jaccard):
                best = Near(number, other, index)
        return best

    def _compare(self, number: int, shingles: Shingles, sketch: Any) -> None:
        """Compares a row with those for evaluation: all that are near no row yet, and others until enough are near."""
        num_near = 0
        for other in sorted(self._held_out.query(sketch), key=lambda each: (each in self.leaked, each)):
            if num_near >= ENOUGH and other in self.leaked:
                break
            if (index := jaccard(shingles, self._measured[other])) < JACCARD:
                continue
            num_near += 1
            if number not in self.leaks or index > self.leaks[number].jaccard:
                self.leaks[number] = Near(number, other, index)
            if other not in self.leaked or index > self.leaked[other].jaccard:
                self.leaked[other] = Near(other, number, index)

    def _sketch(self, shingles: Shingles) -> Any:
        sketch = self._empty.copy()
        sketch.update_batch((shingles >> np.uint64(32)).tolist())
        return sketch

    def _shingles(self, entry: Entry) -> Shingles:
        texts = [*entry.images, entry.prompt, *sorted(entry.sides)]
        return shingle([number for text in texts for number in self._vocabulary.numbers(text)])


def shingle(words: Sequence[int]) -> Shingles:
    """Hashes the runs of five words of a text, each once, in order of their hash; a shorter text is one run.

    Example:
        >>> len(shingle([1, 2, 3, 4, 5, 6])), len(shingle([1, 2])), len(shingle([1] * 9))
        (2, 1, 1)
    """
    numbers = np.asarray(words, dtype=np.uint64) + np.uint64(1)
    width = min(SHINGLE, len(numbers))
    hashed = np.full(max(1, len(numbers) - width + 1), width, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for place in range(width):
            hashed = _scramble(hashed ^ numbers[place : len(numbers) - width + place + 1])
    return np.unique(hashed)


def jaccard(first: Shingles, second: Shingles) -> float:
    """Computes the share of the runs of two texts that both have."""
    both = len(np.intersect1d(first, second, assume_unique=True))
    return both / (len(first) + len(second) - both)


def _scramble(values: Shingles) -> Shingles:
    """Mixes the bits of numbers, as SplitMix64 does."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


SHOWN_PROBLEMS = 20
Advance = Callable[[], None]


class Audited(NamedTuple):
    """What an audit found.

    Of each row that can be used, there are the reason to leave it out and the row that is about, empty where it should
    stay; and its group, if it goes to `counterfactual.jsonl`.
    """

    record: AuditRecord
    reasons: list[tuple[str, str]]
    readers: list[Reader]  # of the training rows, in their order
    groups: list[str] | None = None  # None if no attributes were named


def audit(
    sources: Sequence[Source],
    held_out: Source | None = None,
    *,
    kind: str = "",
    near: bool = True,
    even_letters: bool = False,
    advance: Advance = lambda: None,
) -> Audited:
    """Audits rows for training, all of one kind, with those for evaluation if there are some.

    By the columns of the first file the kind is told if it is empty. `near` looks for rows that are nearly the same,
    `even_letters` leaves rows out until each letter is right equally often, and `advance` is called after each row.
    """
    readers = [Reader(sources[0], kind)]
    kind = readers[0].kind
    readers += [Reader(each, kind) for each in sources[1:]]
    if held_out is not None:  # what is told is told of rows for training
        held_out = replace(held_out, named=held_out.named._replace(mask=None, attributes=()))
    eval_reader = None if held_out is None else Reader(held_out, kind)
    column = sources[0].named.mask
    if column is not None and kind not in WITH_GOLD:
        raise DataError(
            f"`mask_column` is for rows with a gold to tell ({', '.join(WITH_GOLD)}), got {kind}. Leave it out."
        )
    masks = None if column is None else MaskData(column)
    attributes = AttributeData(sources[0].named.attributes) if sources[0].named.attributes else None
    absent = why_not() if near else "It was asked not to look for rows that are nearly the same (`--no-near`)."
    search = None if absent else NearRows()
    measured = Seen(kind)
    for entry in _entries([eval_reader] if eval_reader else [], advance):
        if search is not None:
            search.hold_out(len(measured), entry)
        measured.add(entry)
    train, cues, nearest = Seen(kind), CueData(kind), list[Near]()
    for entry in _entries(readers, advance):
        if search is not None and (found := search.add(len(train), entry)) is not None:
            nearest.append(found)
        train.add(entry)
        cues.add(entry)
        if masks is not None:
            masks.add(entry)
        if attributes is not None:
            attributes.add(entry)
    if not len(train):
        first = "; ".join(str(reader.report.problems[0]) for reader in readers)
        raise DataError(f"No row can be used. The first of each file: {first}")
    if eval_reader is not None and not len(measured):
        raise DataError(f"No row for evaluation can be used. The first: {eval_reader.report.problems[0]}")
    rows = compare(train, measured if eval_reader else None)
    reasons, near_ones = leave_out(train, rows), dict[str, list[Near]]()
    if search is not None:
        nearest = [each for each in nearest if not (rows.repeats[each.row] or rows.conflict[each.row])]
        close = [search.leaked[row] for row in sorted(search.leaked) if not rows.eval_leaked[row]]
        near_ones = {"near": nearest, "leaked": close}
        for row, leak in search.leaks.items():
            if not reasons[row][0]:
                reasons[row] = ("near leak", measured.name(leak.other))
    if even_letters:
        for row in surplus(train, np.array([not reason for reason, _ in reasons])):
            reasons[row] = ("letter", "")
    told = [] if masks is None else [masks.find(train, rows)]
    found_cues, sentences = cues.find(train, rows, [each for each in told if not isinstance(each, str)])
    sentences += [each for each in told if isinstance(each, str)]
    if absent:
        sentences = [f"{absent} Only equal rows were compared.", *sentences]
    read = [*readers, *([eval_reader] if eval_reader else [])]
    sentences = [*(text for reader in read for text in reader.report.unread), *sentences]
    pairs = None
    if attributes is not None:
        pairs = attributes.find(train, rows, np.array([bool(reason) for reason, _ in reasons]))
        sentences = [*sentences, *pairs.sentences]
    findings = describe_rows(train, measured if eval_reader else None, rows, **near_ones)
    files = [_count(reader, "training") for reader in readers]
    files += [] if eval_reader is None else [_count(eval_reader, "evaluation")]
    record = AuditRecord(
        kind, files, len(train), int(rows.distinct.sum()), findings, found_cues,
        pairs.finding if pairs else None, sentences,
    )  # fmt: skip
    return Audited(record, reasons, readers, pairs.groups if pairs else None)


def _entries(readers: Sequence[Reader], advance: Advance) -> Iterator[Entry]:
    for reader in readers:
        for _, entry in reader.read():
            advance()
            if isinstance(entry, Entry):
                yield entry


def _count(reader: Reader, use: str) -> FileCount:
    report = reader.report
    problems = [str(each) for each in report.problems[:SHOWN_PROBLEMS]]
    return FileCount(reader.file, use, report.num_read, report.reasons, problems)
