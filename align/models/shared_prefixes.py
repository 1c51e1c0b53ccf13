"""Pairs of sequences that begin alike: what both begin with is read once, in one row with what follows it."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from align.models.rope_lengths import length_free
from align.models.second_pass.shared_prompts import inference, pad_rows
from align.models.second_pass.trial import CANNOT, MOST_TOKENS, longest_window, precision, same, tried_rows

# A layer of a transformer has about 12 H^2 weights, and a token that looks at another takes 4 H operations of it: what
# a layer does to one token it could spend on looking at so many times H others.
_LOOKS_PER_WIDTH = 6
_FEW_LOOKS = 2**20  # that need no memory to speak of
_BOTH, _FIRST, _SECOND = 0, 1, 2  # parts of a pair: what both begin with, and the rest of either


class Folded(NamedTuple):
    """Pairs of sequences of up to T tokens in R rows of S, in which every token that they share stands once.

    A row begins with what all sequences begin with. Behind it stand pairs, one after the other: what both sequences
    have in common, the rest of the first, the rest of the second.
    """

    ids: Tensor  # (R, S); what is behind the end of a row is no padding token, and nothing looks at it
    positions: Tensor  # (R, S), of each token in its sequence
    sees: Tensor  # (R, S, S), whether a token has another before it in its sequence or is it
    places: Tensor  # (2B, T), which of the R * S tokens each token of the sequences is

    def mask(self, body: PreTrainedModel) -> Tensor:
        """Writes `sees` as the attention of a model takes it, `(R, 1, S, S)`."""
        sees = self.sees[:, None]
        if body.config._attn_implementation == "sdpa":  # in whatever type it computes
            return sees
        least = torch.finfo(body.dtype).min
        return torch.zeros(sees.shape, dtype=body.dtype, device=sees.device).masked_fill(~sees, least)

    def unfold(self, hidden: Tensor) -> Tensor:
        """Turns `(R, S, H)` hidden states of the rows into those of the sequences, `(2B, T, H)`."""
        return hidden.flatten(0, 1)[self.places]


def begin_alike(ids: Tensor, mask: Tensor) -> Tensor:
    """Marks, `(B, T)`, the tokens that both sequences of a pair begin with.

    Sequence `i` and sequence `B + i` of the `(2B, T)` tokens are a pair; padding is on the right.

    Example:
        >>> ids = torch.tensor([[7, 8, 5], [7, 9, 5]])
        >>> begin_alike(ids, torch.ones_like(ids))
        tensor([[ True, False, False]])
    """
    (first, second), (is_first, is_second) = ids.chunk(2), mask.bool().chunk(2)
    return ((first == second) & is_first & is_second).cumprod(1).bool()


def fold(ids: Tensor, mask: Tensor, width: int, *, multiple: int = 1, most: float = math.inf) -> Folded | None:
    """Puts pairs into rows; None where reading those would cost more than reading each sequence for itself.

    All tokens of a row are compared with all others, also those of one response with those of the other: long
    responses behind short prompts are cheaper apart. `ids` and `mask` are those of `begin_alike`, `width` is that of
    the hidden states, H; rows have a `multiple` of tokens, at `most` so many.
    """
    num_pairs, length = len(ids) // 2, ids.shape[1]
    of_all = ((ids == ids[:1]) & mask.bool()).all(0).cumprod(0)  # what all sequences begin with
    shared, (first, second) = begin_alike(ids, mask).sum(1), mask.sum(1).chunk(2)
    moved = first - shared  # how far behind its place in its sequence a token of the rest of the second stands
    *sizes, head = torch.cat([second + moved, of_all.sum()[None]]).tolist()
    per_token = _LOOKS_PER_WIDTH * width
    # Some attention holds a number for each two tokens of a row: at most twice as many as before, as one pair has.
    looks = max(4 * num_pairs * length**2, _FEW_LOOKS)
    options = _put_into_rows([size - head for size in sizes], head, multiple, most)
    fitting = (each for each in options if each.size <= most and each.number * each.size**2 <= looks)
    rows = min(fitting, key=lambda each: each.cost(per_token), default=None)
    if rows is None or rows.cost(per_token) >= _apart(num_pairs, length, per_token):
        return None

    def spread(values: Tensor, fill: int) -> Tensor:
        whole = torch.full((rows.number * rows.size,), fill, device=ids.device)
        return whole.index_copy(0, to, values).view(rows.number, rows.size)

    begins = torch.tensor(rows.of_pairs, device=ids.device) * rows.size  # of rows, among all tokens
    starts = (
        torch.tensor(rows.starts, device=ids.device) + begins - head
    )  # of pairs, as if they had a head of their own
    # Every token behind the head: whose it is, where among those of its pair, and where in its sequence.
    lengths = second + moved - head
    pair = torch.arange(num_pairs, device=ids.device).repeat_interleave(lengths)
    token = torch.arange(len(pair), device=ids.device) - (lengths.cumsum(0) - lengths)[pair] + head
    to = starts[pair] + token
    is_second = token >= first[pair]
    position = torch.where(is_second, token - moved[pair], token)
    part = torch.where(is_second, _SECOND, torch.where(token >= shared[pair], _FIRST, _BOTH))
    row_ids, positions = spread(ids[pair + num_pairs * is_second, position], 0), spread(position, 0)
    owners, parts = spread(pair, -1), spread(part, _BOTH)
    column = torch.arange(rows.size, device=ids.device)
    row_ids[:, :head], positions[:, :head] = ids[0, :head], column[:head]
    is_own = owners[:, :, None] == owners[:, None]
    is_other = (parts[:, :, None] == _SECOND) & (parts[:, None] == _FIRST)
    sees = (column[:, None] >= column) & ((column < head) | (is_own & ~is_other))
    place = torch.arange(length, device=ids.device).expand(num_pairs, -1)
    of_second = torch.where(place >= shared[:, None], place + moved[:, None], place)
    in_row = [torch.where(place < head, 0, starts[:, None] - begins[:, None]) + each for each in (place, of_second)]
    places = (torch.cat(in_row) + begins.repeat(2)[:, None]).clamp(max=row_ids.numel() - 1)  # of padding anywhere
    return Folded(row_ids, positions, sees, places)


def fold_neighbours(ids: Tensor, mask: Tensor, width: int, **limits: Any) -> Folded | None:
    """Puts sequences, `(B, T)`, into rows as `fold` does, two neighbours as a pair; padding may be on both sides."""
    if len(ids) < 2:
        return None
    left, column = mask.int().argmax(1, keepdim=True), torch.arange(ids.shape[1], device=ids.device)
    row = torch.arange(len(ids), device=ids.device)
    of_pairs = torch.cat([row[::2], row[1::2], row[-1:][: len(row) % 2]])  # the last is a pair with itself
    begun = (column + left) % len(column)  # with all padding on the right
    folded = fold(ids.gather(1, begun)[of_pairs], mask.gather(1, begun)[of_pairs], width, **limits)
    if folded is None:
        return None
    places = folded.places[of_pairs[: len(row)].argsort()].gather(1, (column - left).clamp(min=0))
    return folded._replace(places=places)


def neighbours_save(shared: int, rest: int, width: int) -> bool:
    """Tells whether two sequences with so many tokens in common, and so many more each, are cheaper in one row."""
    in_one = _Rows(1, shared + 2 * rest, [], []).cost(_LOOKS_PER_WIDTH * width)
    return in_one < _apart(1, shared + rest, _LOOKS_PER_WIDTH * width)


def _apart(num_pairs: int, length: int, per_token: int) -> int:
    """Counts as `_Rows.cost` what sequences of so many tokens cost each for itself.

    Kernels that know that tokens look back only compare half of the pairs of tokens, and need no mask of ours.
    """
    return num_pairs * length * (2 * per_token + length)


class _Rows(NamedTuple):
    """`number` rows of `size` tokens, the row of each pair, and where in it the pair starts."""

    number: int
    size: int
    of_pairs: list[int]
    starts: list[int]

    def cost(self, per_token: int) -> int:
        """Counts what reading them costs, in looks of one token at another; a token alone costs so many."""
        return self.number * self.size * (per_token + self.size)


def _put_into_rows(rests: list[int], head: int, multiple: int, most: float) -> list[_Rows]:
    """Tries rows of several lengths: long ones have little padding, and in short ones tokens look at fewer others."""
    limit = head + max(rests)
    options: list[_Rows] = []
    while limit <= most and (not options or options[-1].number > 1):
        options.append(_first_fit(rests, head, limit, multiple))
        limit *= 2
    return options


def _first_fit(rests: list[int], head: int, limit: int, multiple: int) -> _Rows:
    """Puts each pair, the longest first, into the first row that has so many tokens left."""
    filled: list[int] = []
    of_pairs, starts = [0] * len(rests), [0] * len(rests)
    for pair in sorted(range(len(rests)), key=lambda pair: -rests[pair]):
        row = next((row for row, used in enumerate(filled) if used + rests[pair] <= limit), len(filled))
        if row == len(filled):
            filled.append(head)
        of_pairs[pair], starts[pair] = row, filled[row]
        filled[row] += rests[pair]
    return _Rows(len(filled), -(-max(filled) // multiple) * multiple, of_pairs, starts)


@contextmanager
def prefixes_read_once(body: PreTrainedModel, folded: Callable[[Tensor, Tensor], Folded | None]) -> Iterator[None]:
    """Has the body of a model read folded sequences inside the block; what is around it notices nothing.

    The body is the model without its head, called with `input_ids` and `attention_mask`, `(B, T)` each. `folded` puts
    them into rows, as `fold` does; None leaves them as they are.
    """
    read: list[Folded | None] = []

    def before(_: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        ids = args[0] if args else kwargs["input_ids"]
        read.append(rows := folded(ids, kwargs["attention_mask"]))
        if rows is None:
            return None
        own = {"input_ids": rows.ids, "attention_mask": rows.mask(body), "position_ids": rows.positions}
        return (), kwargs | own

    def after(_: Any, __: Any, output: Any) -> None:
        rows = read.pop()
        if rows is not None:
            output.last_hidden_state = rows.unfold(output.last_hidden_state)

    hooks = (body.register_forward_pre_hook(before, with_kwargs=True), body.register_forward_hook(after))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def tokens_read_alike(model: Any, body: PreTrainedModel, read: Callable[[Tensor, Tensor], object]) -> float:
    """Finds how long rows may be in which a model reads pairs as it reads each sequence alone; 0 if it never does.

    It is tried on two pairs that are longer than what any layer looks over, as far as 1,024 tokens. Ranks that hold a
    part of the weights each have to ask together; they read the same tokens and find the same.
    """
    if not length_free(body):
        return 0
    window = longest_window(body)
    try:
        ids, mask = _tried_pairs(body, min(window, MOST_TOKENS))
        with inference(model), precision() as near:
            apart = _hidden(body, lambda: read(ids, mask), None)
            in_one = _hidden(body, lambda: read(ids, mask), fold(ids, mask, MOST_TOKENS))  # so wide: it is
    except CANNOT:
        return 0
    there = mask.bool()
    return (math.inf if window <= MOST_TOKENS else MOST_TOKENS) if same(apart[there], in_one[there], near) else 0


def _tried_pairs(body: PreTrainedModel, reach: int) -> tuple[Tensor, Tensor]:
    """Makes two pairs of unlike lengths; returns tokens and mask, `(4, T)` each."""
    first, second, other = tried_rows(body, reach)
    pairs = (first, other, second, other._replace(prefix_ids=second.prefix_ids))
    return pad_rows([row.prompt_ids + row.prefix_ids for row in pairs], 0, "right", body.device)


def _hidden(body: PreTrainedModel, read: Callable[[], object], folded: Folded | None) -> Tensor:
    """Returns the hidden states that a body makes in a call."""
    made: list[Tensor] = []

    def keep(_: Any, __: Any, output: Any) -> None:
        made.append(output.last_hidden_state)

    with prefixes_read_once(body, lambda *_: folded):
        hook = body.register_forward_hook(keep)
        try:
            read()
        finally:
            hook.remove()
    (hidden,) = made
    return hidden
