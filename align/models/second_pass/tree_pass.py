"""The second pass over rows that begin alike: every token is read once, whatever several rows have in common."""

import copy
from collections.abc import Iterator, Sequence
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
from align.models.shared_prefixes import Folded, prefixes_read_once

SMALLEST = 1_024  # tokens that a tree may have in any case; a token looks over all of its tree


class Tree(NamedTuple):
    """Sequences behind a common head, every token that several have in common once."""

    ids: list[int]  # N tokens
    depths: list[int]  # how many tokens of the tree are before each, in its sequences
    sees: NDArray[np.bool_]  # (N, N), whether a token has another before it or is it
    ends: dict[int, int]  # which token is the last of each sequence, by the number of that


def grow(sequences: Sequence[tuple[int, list[int]]]) -> Tree:
    """Makes the tree of sequences of one token at least, given with their numbers.

    Example:
        >>> tree = grow([(0, [7, 8, 5]), (1, [7, 9]), (2, [7, 8, 5])])
        >>> tree.ids, tree.depths, tree.ends
        ([7, 8, 5, 9], [0, 1, 2, 1], {0: 2, 2: 2, 1: 3})
    """
    total = sum(len(ids) for _, ids in sequences)
    sees = np.zeros((total, total), dtype=bool)
    triangle = np.tri(max(len(ids) for _, ids in sequences), dtype=bool)
    ids: list[int] = []
    depths: list[int] = []
    ends: dict[int, int] = {}
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
        ends[number] = path[-1]
    return Tree(ids, depths, sees[: len(ids), : len(ids)].copy(), ends)  # the whole is much larger


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


def put_together(trees: Sequence[Tree], *, most_rows: int, most_tokens: int, pass_tokens: int) -> Iterator[list[Tree]]:
    """Puts trees of similar size into batches: one joins the larger ones if it is cheaper there than in another pass.

    Batches have up to `most_rows` sequences and `most_tokens`, padding included, or one larger tree; one more pass
    costs as much as `pass_tokens`. The largest is first, so that memory that is too small shows at once.
    """
    part: list[Tree] = []
    rows = padding = 0
    for tree in sorted(trees, key=lambda each: -len(each.ids)):
        size = len((part or [tree])[0].ids)
        rows, padding = rows + len(tree.ends), padding + size - len(tree.ids)
        if part and (rows > most_rows or size * (len(part) + 1) > most_tokens or padding > pass_tokens):
            yield part
            part, rows, padding = [], len(tree.ends), 0
        part.append(tree)
    if part:
        yield part


def lay_out(trees: Sequence[Tree]) -> Folded:
    """Makes a row of each tree, padded on the right; its places, `(B, 1)`, are those of the last tokens."""
    width = max(len(tree.ids) for tree in trees)
    ids = np.zeros((len(trees), width), dtype=np.int64)
    depths, places = np.zeros_like(ids), []
    sees = np.repeat(np.eye(width, dtype=bool)[None], len(trees), axis=0)
    for row, tree in enumerate(trees):
        size = len(tree.ids)
        ids[row, :size], depths[row, :size], sees[row, :size, :size] = tree.ids, tree.depths, tree.sees
        places += [[row * width + place] for place in tree.ends.values()]
    return Folded(*map(torch.from_numpy, (ids, depths, sees, np.array(places))))


def common_head(sequences: Sequence[list[int]]) -> int:
    """Counts the tokens that all sequences begin with, such that each has one more."""
    return min(count_shared(*sequences), min(map(len, sequences)) - 1)


MOST_TOKENS = 8_192  # of a forward pass, padding included


def score_letter_trees(
    model: PreTrainedModel, rows: Sequence[SecondPassRow], owners: Sequence[str], *, batch_size: int
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
        for part in put_together(trees, **price):
            numbers = [number for tree in part for number in tree.ends]
            found = letter_log_probs(_read(model, part, cache, head), [rows[number].letter_ids for number in numbers])
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
        trees = grow_all(sequences, ["one", "one", "other"], head)
        logits = _read(model, trees, _read_head(model, sequences[0][:head]), head)
        return logits[np.argsort([number for tree in trees for number in tree.ends])]

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


def _read(model: Any, trees: Sequence[Tree], cache: DynamicCache, head: int) -> Tensor:
    """Reads trees behind a head that was read; returns the logits of what follows their sequences, `(B, V)`."""
    rows = lay_out(trees)
    sees = torch.nn.functional.pad(rows.sees, (head, 0), value=True)
    moved = (rows.ids, rows.positions + head, sees, rows.places)
    folded, more = Folded(*(each.to(model.device) for each in moved)), {"use_cache": False}
    if head:
        cache = copy.deepcopy(cache)
        cache.batch_repeat_interleave(len(trees))
        more = given_cache(model, cache)
    body = (model.get_base_model() if hasattr(model, "get_base_model") else model).base_model
    with prefixes_read_once(body, lambda *_: folded):
        return last_logits(model, folded.ids, torch.ones_like(folded.ids), None, **more)
