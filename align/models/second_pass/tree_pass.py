"""The second pass over rows that begin alike: every token is read once, whatever several rows have in common."""

import copy
from collections.abc import Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from align.data.texts import count_shared
from align.models.second_pass.forward import SecondPassRow, letter_log_probs
from align.models.second_pass.image_memo import is_sharded
from align.models.second_pass.shared_prompts import given_cache, inference, last_logits
from align.models.second_pass.trial import Way, agrees, way_of

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


def grow(sequences: Sequence[tuple[int, list[int]]]) -> Tree:
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
    before: list[int] = []
    for number, sequence in sorted(sequences, key=itemgetter(1)):
        shared = count_shared(before, sequence)
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
        rest = sorted(((i, sequences[i][head:]) for i in mine), key=itemgetter(1))
        most = max(SMALLEST, 2 * max(len(ids) for _, ids in rest))
        part: list[tuple[int, list[int]]] = []
        size = 0
        for row in rest:
            size += len(row[1]) - (count_shared(part[-1][1], row[1]) if part else 0)
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
    return min(count_shared(*sequences), min(map(len, sequences)) - 1)


MOST_TOKENS = 8_192  # of a forward pass, padding included


def score_letter_trees(
    model: PreTrainedModel, rows: Sequence[SecondPassRow], owners: Sequence[str], *, pad_token_id: int, batch_size: int
) -> list[list[float]]:
    """Scores the live letters of each row as its next token, as `score_letters` does, on a model that `reads_trees`.

    What all rows begin with is read first. Behind it the rows of an owner are a tree, and trees are read side by side:
    each token sees those before it in its own rows, at the positions it has there. Rows have no images.
    """
    if not rows:
        return []
    sequences = [row.prompt_ids + row.prefix_ids for row in rows]
    head = common_head(sequences)
    trees = grow_all(sequences, owners, head)
    scores: list[list[float]] = [[] for _ in rows]
    price = {"most_rows": batch_size, "most_tokens": MOST_TOKENS, "pass_tokens": _pass_tokens(model)}
    with inference(model):
        cache = _read_head(model, sequences[0][:head])
        batches = put_together(trees, **price)
        for part in batches:
            batch = lay_out([trees[i] for i in part], pad_token_id)
            numbers = [number for number, _, _ in batch.rows]
            logits = _read(model, batch, cache, head)
            found = letter_log_probs(logits, [rows[number].letter_ids for number in numbers])
            for number, log_probs in zip(numbers, found, strict=True):
                scores[number] = log_probs
    return scores


def reads_trees(model: PreTrainedModel, pad_token_id: int) -> bool:
    """Tells by trying whether a model takes a mask and positions of our own, and can share prompts at all.

    Not all do: some kernels know causal masks only, and some models count positions by themselves. A model whose ranks
    hold a part of the weights each is ruled out.
    """
    if is_sharded(model) or way_of(model, pad_token_id) is not Way.SHARED:
        return False

    def read(rows: Sequence[SecondPassRow]) -> Tensor:
        sequences = [row.prompt_ids + row.prefix_ids for row in rows]
        head = common_head(sequences)
        batch = lay_out(grow_all(sequences, ["one", "one", "other"], head), pad_token_id)
        logits = _read(model, batch, _read_head(model, sequences[0][:head]), head)
        order = [number for number, _, _ in batch.rows]
        return logits[[order.index(i) for i in range(len(rows))]]

    return agrees(model, read)


def _pass_tokens(model: PreTrainedModel) -> int:
    """Says how many tokens could be read in the time that one more pass takes, about.

    A CPU reads the weights once more, and calls the kernels of a layer in the time of some 10 million multiplications;
    anything faster waits for work.
    """
    if model.device.type != "cpu":
        return 1_024
    layers = model.config.get_text_config().num_hidden_layers
    return 16 + 10_000_000 * layers // sum(weight.numel() for weight in model.parameters())


def _read_head(model: PreTrainedModel, ids: Sequence[int]) -> DynamicCache:
    cache = DynamicCache(config=model.config)
    if ids:
        head = torch.tensor([list(ids)], device=model.device)
        last_logits(model, head, torch.ones_like(head), None, **given_cache(model, cache))
    return cache


def _read(model: PreTrainedModel, batch: Batch, cache: DynamicCache, head: int) -> Tensor:
    """Reads trees behind a head that was read; returns the logits of what follows each row, `(R, V)`."""
    num_trees, width = batch.ids.shape
    sees = torch.cat([torch.ones(num_trees, width, head, dtype=torch.bool), batch.sees], dim=-1)[:, None]
    mask = torch.zeros(sees.shape, dtype=model.dtype).masked_fill(~sees, torch.finfo(model.dtype).min)
    fields: dict[str, Any] = {"input_ids": batch.ids, "attention_mask": mask, "position_ids": head + batch.depths}
    if head:
        cache = copy.deepcopy(cache)
        if num_trees > 1:
            cache.batch_repeat_interleave(num_trees)
        fields |= given_cache(model, cache)
    given = {name: value.to(model.device) if isinstance(value, Tensor) else value for name, value in fields.items()}
    logits: Tensor = model(**{"use_cache": False} | given, logits_to_keep=batch.num_ends).logits
    return logits[[tree for _, tree, _ in batch.rows], [column for _, _, column in batch.rows]]
