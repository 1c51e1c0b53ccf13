"""Sequences that begin alike, laid out so that each token is read once, and put in batches with little padding."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SMALLEST = 1_024  # tokens that a tree may have in any case; a token looks over all of its tree


class Tree(NamedTuple):
    """Sequences behind a common head, every token that several have in common once."""

    ids: list[int]  # N tokens; the last tokens of the sequences stand at the end
    depths: list[int]  # how many tokens of the tree are before each, in its sequences
    sees: NDArray[np.bool_]  # (N, N), whether a token has another before it or is it
    ends: list[list[int]]  # which sequences end in each of the last tokens


class Batch(NamedTuple):
    """Trees of about the same size, padded on the left."""

    ids: Tensor  # (B, T)
    depths: Tensor  # (B, T)
    sees: Tensor  # (B, T, T); padding sees itself only
    num_ends: int  # of the last columns, which have the last token of a sequence
    rows: list[tuple[int, int, int]]  # for each sequence its number, its tree in the batch, and its column among those


def grow(sequences: Sequence[tuple[int, Sequence[int]]]) -> Tree:
    """Makes the tree of sequences of one token at least, given with their numbers.

    Example:
        >>> tree = grow([(0, [7, 8, 5]), (1, [7, 9]), (2, [7, 8, 5])])
        >>> tree.ids, tree.depths, tree.ends
        ([7, 8, 5, 9], [0, 1, 2, 1], [[0, 2], [1]])
    """
    total = sum(len(ids) for _, ids in sequences)
    sees = np.zeros((total, total), dtype=bool)
    triangle = np.tri(max(len(ids) for _, ids in sequences), dtype=bool)
    ids: list[int] = []
    depths: list[int] = []
    ends: dict[int, list[int]] = {}
    path: list[int] = []  # the places of the tokens of the sequence before
    before: Sequence[int] = ()
    for number, sequence in sorted(sequences, key=lambda pair: list(pair[1])):
        shared = _common(before, sequence)
        path, start = path[:shared], len(ids)
        new = range(start, start + len(sequence) - shared)
        sees[new.start : new.stop, path] = True
        sees[new.start : new.stop, new.start : new.stop] = triangle[: len(new), : len(new)]
        ids += sequence[shared:]
        depths += range(shared, len(sequence))
        path, before = [*path, *new], sequence
        ends.setdefault(path[-1], []).append(number)
    order = [*(i for i in range(len(ids)) if i not in ends), *ends]
    return Tree(
        [ids[i] for i in order],
        [depths[i] for i in order],
        sees[np.ix_(order, order)],
        [sorted(each) for each in ends.values()],
    )


def grow_all(sequences: Sequence[list[int]], owners: Sequence[str], head: int) -> list[Tree]:
    """Makes trees of what stands behind the first `head` tokens of sequences, one or more for each owner."""
    numbers: dict[str, list[int]] = {}
    for number, owner in enumerate(owners):
        numbers.setdefault(owner, []).append(number)
    trees = []
    for mine in numbers.values():
        rest = sorted(((i, sequences[i][head:]) for i in mine), key=lambda pair: list(pair[1]))
        most = max(SMALLEST, 2 * max(len(ids) for _, ids in rest))
        part: list[tuple[int, Sequence[int]]] = []
        size = 0
        for row in rest:
            size += len(row[1]) - (_common(part[-1][1], row[1]) if part else 0)
            if size > most:
                trees.append(grow(part))
                part, size = [], len(row[1])
            part.append(row)
        trees.append(grow(part))
    return trees


def put_together(trees: Sequence[Tree], *, most_rows: int, most_tokens: int, pass_tokens: int) -> list[list[int]]:
    """Puts trees of similar size into batches so that reading them costs least, by dynamic programming.

    Batches of places have up to `most_rows` sequences and `most_tokens`, padding included, or one larger tree; one
    more pass costs as much as `pass_tokens`. The largest is first, so that memory that is too small shows at once.
    """
    order = sorted(range(len(trees)), key=lambda i: (-len(trees[i].ids), i))
    best: list[tuple[int, int]] = [(0, 0)]  # cost of the first trees, and where their last batch begins
    for stop in range(1, len(order) + 1):
        options = []
        rows = inner = ends = 0
        for start in range(stop - 1, -1, -1):
            tree = trees[order[start]]
            rows += sum(map(len, tree.ends))
            inner, ends = max(inner, len(tree.ids) - len(tree.ends)), max(ends, len(tree.ends))
            tokens = (inner + ends) * (stop - start)
            if start < stop - 1 and (rows > most_rows or tokens > most_tokens):
                break
            options.append((best[start][0] + tokens + pass_tokens, start))
        best.append(min(options))
    batches: list[list[int]] = []
    stop = len(order)
    while stop:
        start = best[stop][1]
        batches.insert(0, order[start:stop])
        stop = start
    return batches


def lay_out(trees: Sequence[Tree], pad_token_id: int) -> Batch:
    """Pads trees: those with fewer tokens, and those with fewer last tokens, each on the left."""
    num_ends = max(len(tree.ends) for tree in trees)
    width = max(len(tree.ids) - len(tree.ends) for tree in trees) + num_ends
    ids = np.full((len(trees), width), pad_token_id)
    depths = np.zeros_like(ids)
    sees = np.repeat(np.eye(width, dtype=bool)[None], len(trees), axis=0)
    rows = []
    for row, tree in enumerate(trees):
        inner, last = len(tree.ids) - len(tree.ends), len(tree.ends)
        start, end = width - num_ends - inner, width - last
        places = np.r_[start : start + inner, end:width]
        ids[row, places], depths[row, places] = tree.ids, tree.depths
        sees[row, places[:, None], places] = tree.sees
        rows += [(each, row, num_ends - last + j) for j, numbers in enumerate(tree.ends) for each in numbers]
    return Batch(torch.from_numpy(ids), torch.from_numpy(depths), torch.from_numpy(sees), num_ends, rows)


def common_head(sequences: Sequence[list[int]]) -> int:
    """Counts the tokens that all sequences begin with, such that each has one more."""
    first, last = min(sequences), max(sequences)  # in the order of a dictionary: what these share, all share
    return min(_common(first, last), min(map(len, sequences)) - 1)


def _common(left: Sequence[int], right: Sequence[int]) -> int:
    pairs = zip(left, right, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(left), len(right)))
