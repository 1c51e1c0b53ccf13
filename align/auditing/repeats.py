"""Rows that repeat, contradict or leak: named after their content, so that millions are compared as numbers."""

from array import array
from collections.abc import Iterable
from hashlib import blake2b
from typing import NamedTuple

import numpy as np

from align.auditing.entry import Entry
from align.auditing.letters import letter_of
from align.auditing.significance import Flags, Numbers
from align.data.texts import as_seen, fold
from rewards.reading.options import LETTERS, can_shuffle

MOST_CLASSES = 20  # different completions of an SFT file that are classes, and not texts
ROWS_PER_CLASS = 10


class Content(NamedTuple):
    """Digests of a row's parts, of 64 bits: two of a million different texts share one with a chance of 3e-8."""

    key: int  # everything but the gold: images, prompt and sides, whatever order the sides stand in
    gold: int  # the content of what is right, so that letters and places do not count
    prompt: int  # images and prompt
    folded: int = 0  # the key, where case does not count
    meant: int = 0  # the gold, likewise


def content_of(entry: Entry, kind: str) -> Content:
    """Computes the digests of a row, as it stands and where case does not count."""
    label = None if entry.label is None else fold(entry.label)
    folded = entry._replace(prompt=fold(entry.prompt), sides=tuple(map(fold, entry.sides)), label=label)
    found, without_case = _content(entry, kind), _content(folded, kind)
    return found._replace(folded=without_case.key, meant=without_case.gold)


def _content(entry: Entry, kind: str) -> Content:
    """Computes the digests of a row; whitespace, and how accents are written, do not count."""
    asked = [*entry.images, _plain(entry.prompt)]
    sides = [_plain(side) for side in entry.sides]
    prompt = digest("prompt", *asked)
    if kind in ("pairs", "questions"):
        gold = "tie" if entry.gold is None else f"side {sides[entry.gold]}"
        return Content(digest("row", *asked, *sorted(sides)), digest(gold), prompt)
    if kind == "outcomes":
        return Content(digest("row", *asked, *sides), digest(repr((entry.outcome, *entry.confounders))), prompt)
    if kind == "sft":
        if entry.label is None and entry.prompt:  # a text alone contradicts none
            return Content(prompt, digest(*sides), prompt)
        of_row = digest(*sides) if entry.label is None else digest(_plain(entry.label))
        return Content(digest("row", *asked, *sides), of_row, prompt)
    return Content(prompt, digest("none" if entry.label is None else f"is {_plain(entry.label)}"), prompt)


def digest(*texts: str) -> int:
    """Hashes texts, none of which holds a NUL, into a number of 64 bits."""
    hashed = blake2b("\0".join(texts).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(hashed, "little", signed=True)


def _plain(text: str) -> str:
    return " ".join(as_seen(text).split())


class Seen:
    """What is kept of one set of rows: eight bytes a part."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.ids: list[str] = []
        self.rows = array("q")
        self.files: list[str] = []
        self._parts: dict[str, array[int]] = {
            name: array("q") for name in (*Content._fields, "group", "images", "letter", "fixed")
        }
        self._prefix = bytearray()
        self._groups: dict[str, int] = {}
        self._starts: list[int] = []

    def add(self, entry: Entry) -> None:
        """Takes one row up."""
        found = content_of(entry, self.kind)
        for name, value in zip(Content._fields, found, strict=True):
            self._parts[name].append(value)
        group = -1 if entry.group is None else self._groups.setdefault(entry.group, len(self._groups))
        self._parts["group"].append(group)
        self._parts["images"].append(int(bool(entry.images)))
        letter = letter_of(entry, self.kind)
        self._parts["letter"].append(-1 if letter is None else len(LETTERS) * letter[0] + letter[1])
        self._parts["fixed"].append(self.kind == "questions" and not can_shuffle(entry.sides))
        if not self.files or self.files[-1] != entry.file:
            self.files.append(entry.file)
            self._starts.append(len(self.ids))
        self.ids.append(entry.id)
        self.rows.append(entry.row)
        ordered = self.kind == "pairs" and entry.gold is not None
        self._prefix.append(ordered and entry.sides[1].strip().startswith(entry.sides[0].strip()))

    def join(self, other: "Seen") -> None:
        """Takes up what another one, of the same kind, keeps of the rows behind these."""
        groups = [self._groups.setdefault(name, len(self._groups)) for name in other._groups]
        other._parts["group"] = array("q", [group if group < 0 else groups[group] for group in other._parts["group"]])
        for name, values in self._parts.items():
            values.extend(other._parts[name])
        for file, start in zip(other.files, other._starts, strict=True):
            if not self.files or self.files[-1] != file:
                self.files.append(file)
                self._starts.append(len(self.ids) + start)
        self.ids += other.ids
        self.rows.extend(other.rows)
        self._prefix += other._prefix

    def part(self, name: str) -> Numbers:
        """Returns `(N,)` numbers of a part."""
        return np.frombuffer(self._parts[name], dtype=np.int64)

    @property
    def prefix(self) -> Flags:
        """Returns `(N,)` whether chosen is the beginning of rejected."""
        return np.frombuffer(bytes(self._prefix), dtype=np.uint8).astype(bool)

    def letters(self, *, fixed: bool = False) -> dict[int, list[int]]:
        """Counts how often each letter is right, by the number of options; of rows that cannot move if `fixed`."""
        found: dict[int, list[int]] = {}
        codes, counts = np.unique(self.part("letter")[self.part("fixed") >= fixed], return_counts=True)
        for code, count in zip(codes[codes >= 0].tolist(), counts[codes >= 0].tolist(), strict=True):
            number, letter = divmod(code, len(LETTERS))
            found.setdefault(number, [0] * number)[letter] = count
        return found

    def __len__(self) -> int:
        return len(self.ids)

    def name(self, index: int) -> str:
        """Names a row by its place, where that is known, and its id."""
        if not self.rows[index]:
            return self.ids[index]
        return f"row {self.rows[index]} ({self.ids[index]})"

    def place(self, index: int) -> tuple[str, int]:
        """Returns the file and the row of a row."""
        return self.files[int(np.searchsorted(self._starts, index, side="right")) - 1], self.rows[index]


class Compared(NamedTuple):
    """What the rows are to each other, `(N,)` each, of the training rows unless said."""

    first: Numbers  # index of the first row with this content and gold: its own where it repeats none
    conflict: Flags  # whether rows of the same content, whatever its case, have another gold
    leaked: Flags  # whether it is also a row for evaluation
    eval_leaked: Flags  # `(M,)` whether a row for evaluation is also one for training
    eval_prompts: Flags  # `(M,)` whether its prompt is also in training, with other sides or another gold
    grouped: Flags  # whether its prompt stands in two groups
    prefix: Flags  # whether chosen is the beginning of rejected
    images: Flags  # whether its images have another gold under the same question, with other options
    has_classes: bool  # whether golds exclude each other

    @property
    def repeats(self) -> Flags:
        """Returns whether an earlier row has the same content and gold."""
        return self.first != np.arange(len(self.first))

    @property
    def distinct(self) -> Flags:
        """Returns which rows cues are counted over: each content once, and none that is contradicted."""
        return ~self.repeats & ~self.conflict


def see(entries: Iterable[Entry], kind: str) -> Seen:
    """Takes rows up."""
    seen = Seen(kind)
    for entry in entries:
        seen.add(entry)
    return seen


def compare(train: Seen, held_out: Seen | None = None) -> Compared:
    """Compares the rows of a data set with each other, and with those for evaluation."""
    key, gold, prompt, group = (train.part(name) for name in ("key", "gold", "prompt", "group"))
    num = len(np.unique(gold)) if train.kind == "sft" else 0
    are_labels = train.kind == "sft" and num <= MOST_CLASSES and len(gold) >= ROWS_PER_CLASS * num
    has_classes = are_labels or train.kind in ("pairs", "questions", "prompts")
    whole = mix(key, gold)
    conflict = np.zeros(len(key), dtype=bool)
    if has_classes:
        conflict = _disagree(train.part("folded"), train.part("meant"))
    images = np.zeros(len(key), dtype=bool)
    if train.kind == "questions" and (shown := train.part("images") > 0).any():
        images[shown] = _disagree(prompt[shown], gold[shown])
        images &= ~conflict
    grouped = np.zeros(len(key), dtype=bool)
    if (has_group := group >= 0).any():
        grouped[has_group] = _disagree(prompt[has_group], group[has_group])
    none = np.zeros(0, dtype=bool)
    leaked, eval_leaked, eval_prompts = np.zeros(len(key), dtype=bool), none, none
    if held_out is not None:
        # A pair in the other order, or a question with another gold, was seen in training all the same.
        ours, theirs = (
            (key, held_out.part("key")) if has_classes else (whole, mix(*map(held_out.part, ("key", "gold"))))
        )
        leaked, eval_leaked = np.isin(ours, theirs), np.isin(theirs, ours)
        eval_prompts = np.isin(held_out.part("prompt"), prompt) & ~eval_leaked
    return Compared(
        _first(whole), conflict, leaked, eval_leaked, eval_prompts, grouped, train.prefix, images, has_classes
    )


def mix(key: Numbers, other: Numbers) -> Numbers:
    """Makes one number of two, `(N,)` each."""
    with np.errstate(over="ignore"):
        mixed: Numbers = (key * np.int64(-7046029254386353131)) ^ (other + np.int64(1442695040888963407))
    return mixed


def shared_keys(values: Numbers, labels: Numbers) -> tuple[int, int, int]:
    """Counts values with several labels, pairs of rows that break the rule of one label, and rows to remove for it."""
    if not len(values):
        return 0, 0, 0
    order = np.lexsort((labels, values))
    value, label = values[order], labels[order]
    changes = np.append(True, value[1:] != value[:-1])
    # Where each value with each of its labels begins.
    starts = np.flatnonzero(changes | np.append(True, label[1:] != label[:-1]))
    counts, groups = np.diff(starts, append=len(values)), np.flatnonzero(changes[starts])
    golds = np.diff(groups, append=len(starts))
    rows, most = np.add.reduceat(counts, groups), np.maximum.reduceat(counts, groups)
    squares = np.add.reduceat(counts**2, groups)
    broken = golds > 1
    pairs = (rows[broken] ** 2 - squares[broken]) // 2
    return int(broken.sum()), int(pairs.sum()), int((rows[broken] - most[broken]).sum())


def first_of_prompt(kept: Flags, seen: Seen) -> Flags:
    """Keeps the first row of each prompt, of those that are kept."""
    rows = np.flatnonzero(kept)
    _, first = np.unique(seen.part("prompt")[rows], return_index=True)
    once = np.zeros(len(kept), dtype=bool)
    once[rows[first]] = True
    return once


def _disagree(values: Numbers, labels: Numbers) -> Flags:
    """Says of each row whether another row has its value with another label."""
    first = _first(values)
    broken = np.zeros(len(values), dtype=bool)
    broken[first[labels != labels[first]]] = True
    return broken[first]


def _first(values: Numbers) -> Numbers:
    _, index, places = np.unique(values, return_index=True, return_inverse=True)
    return index[places]
