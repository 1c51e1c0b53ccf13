"""Sequences that begin alike: what several begin with is read once, in one row with all that follows it."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from align.models.rope_lengths import length_free
from align.models.rows_of_trees import MOST_TOKENS, cheapest
from align.models.second_pass.image_memo import distinct_images, exact_sums
from align.models.second_pass.shared_prompts import inference, pad_rows
from align.models.second_pass.trial import CANNOT, precision, same, tried_rows, window_of


class Folded(NamedTuple):
    """B sequences of up to T tokens in R rows of S, in each of which what several begin with stands once.

    The sequences of a row are a tree: a token stands behind the one before it in its sequences, next to others that
    follow there.
    """

    ids: Tensor  # (R, S); what is behind the end of a row is no padding token, and nothing looks at it
    positions: Tensor  # (R, S), of each token in its sequences
    sees: Tensor  # (R, S, S), whether a token has another before it in its sequences or is it
    places: Tensor  # (B, T), which of the R * S tokens each token of the sequences is
    source: Tensor | None = (
        None  # (R, S), which of the B * T tokens of the sequences each token is; None for its place
    )
    inside: Tensor | None = None  # (R, S, S), whether a token is in the sequence of another, before it or behind it

    def gather(self, values: Tensor, first: int = 0) -> Tensor:
        """Takes values of tokens, `(..., B, T, ...)` with `first` axes before those, for the tokens of the rows."""
        if self.source is None:
            return values
        flat = values.flatten(first, first + 1)
        return flat.index_select(first, self.source.flatten()).unflatten(first, self.source.shape)

    def mask(self, body: PreTrainedModel, given: Any = None) -> Any:
        """Writes `sees` as the attention of a model takes it, `(R, 1, S, S)`, one for each of its kinds of layers.

        `given` is the mask of the sequences, which may be one for each kind of layer: what it says of two tokens of a
        sequence, `(B, 1, T, T)`, holds.
        """
        if isinstance(given, dict):
            return {name: self._as_told(body, each) for name, each in given.items()}
        kinds, window = (getattr(body.config, name, None) for name in ("layer_types", "sliding_window"))
        is_told = isinstance(given, Tensor) and given.ndim == 4
        if is_told or not window or (kinds and "sliding_attention" not in kinds):
            return self._as_told(body, given if is_told else None)
        near = _written(self.sees & (self.positions[:, :, None] - self.positions[:, None] < window), body)
        return {"full_attention": _written(self.sees, body), "sliding_attention": near} if kinds else near

    def _as_told(self, body: PreTrainedModel, given: Tensor | None) -> Tensor:
        sees = self.sees
        if self.source is not None and self.inside is not None and given is not None:
            told = (given if given.dtype is torch.bool else given == 0)[:, 0]
            rows = self.gather(told.expand(len(self.places), -1, -1))  # (R, S, T)
            begins = self.source % self.places.shape[1] - self.positions
            columns = begins[:, :, None] + self.positions[:, None]
            sees = rows.gather(-1, columns.clamp(max=rows.shape[-1] - 1)) & self.inside
            sees |= torch.eye(sees.shape[-1], dtype=torch.bool, device=sees.device)
        return _written(sees, body)


def _written(sees: Tensor, body: PreTrainedModel) -> Tensor:
    sees = sees[:, None]
    if body.config._attn_implementation == "sdpa":  # in whatever type it computes
        return sees
    least = torch.finfo(body.dtype).min
    return torch.zeros(sees.shape, dtype=body.dtype, device=sees.device).masked_fill(~sees, least)


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
    """Puts sequences, `(B, T)`, into rows; None where reading those would cost more than reading each for itself.

    All tokens of a row are compared with all others, also those of one sequence with those of another: long endings
    behind short beginnings are cheaper apart. `mask` has padding on either side, `width` is that of the hidden states,
    H; rows have a `multiple` of tokens, at `most` so many.
    """
    number, length = ids.shape
    if number < 2:
        return None
    column = torch.arange(length, device=ids.device)
    left, lengths = mask.int().argmax(1, keepdim=True), mask.sum(1)
    begun = ids.gather(1, (column + left) % length)  # with all padding on the right
    there = column < lengths[:, None]
    # Whether two sequences have the same first tokens, as far as each.
    same = ((begun[:, None] == begun) & there).cumprod(-1, dtype=torch.uint8)  # (B, B, T)
    alike = same.sum(-1).tolist()
    rows = cheapest(begun.tolist(), lengths.tolist(), alike, width, multiple=multiple, most=most)
    if rows is None:
        return None
    row, order = (torch.tensor(each, device=ids.device) for each in (rows.row, rows.order))
    begun, there = begun[order], there[order]
    # The first sequence of its row that has a token, in which the token is read.
    owner = (same[order][:, order] * (row[:, None] == row)[..., None]).argmax(1)  # (B, T)
    is_read = (owner == torch.arange(number, device=ids.device)[:, None]) & there
    sequence, position = is_read.nonzero(as_tuple=True)  # row by row
    before = is_read.sum(1).new_zeros(rows.number).index_add_(0, row, is_read.sum(1)).cumsum(0).roll(1)
    before[0] = 0  # tokens of other rows
    to = row[sequence] * rows.size + torch.arange(len(sequence), device=ids.device) - before[row[sequence]]

    def spread(values: Tensor, fill: int) -> Tensor:
        whole = values.new_full((rows.number * rows.size,), fill)
        return whole.index_copy(0, to, values).view(rows.number, rows.size)

    sequences, positions = spread(sequence, -1), spread(position, 0)
    of_token = owner.to(torch.int16)[sequences[:, :, None], positions[:, None]]  # (R, S, S), the owner there
    inside = of_token == sequences[:, None].to(torch.int16)
    sees = inside & (positions[:, None].int() <= positions[:, :, None].int())
    sees |= torch.eye(rows.size, dtype=torch.bool, device=ids.device)  # a row of a mask without any gives NaN
    stands = torch.zeros_like(begun).masked_scatter(is_read, to).gather(0, owner)
    places = stands[order.argsort()].gather(1, (column - left).clamp(min=0))
    starts = left[order][:, 0][sequences]  # (R, S), of the sequence of each token
    source = order[sequences] * length + starts + positions
    return Folded(spread(begun[is_read], 0), positions, sees, places, source, inside)


@contextmanager
def prefixes_read_once(body: PreTrainedModel, folded: Callable[[Tensor, Tensor], Folded | None]) -> Iterator[None]:
    """Has the body of a model read folded sequences inside the block; what is around it notices nothing.

    The body is the model without its head, called with `input_ids` and `attention_mask`, `(B, T)` each. `folded` puts
    them into rows, as `fold` does; None leaves them as they are. Where a body reads images, what reads text behind
    that is given rows: its tokens are told apart by what the images made of them, and keep positions and masks.
    """
    text: Any = body.get_decoder()
    begun: list[tuple[Tensor, Tensor]] = []
    read: list[Folded | None] = []

    def before(_: Any, args: Any, kwargs: dict[str, Any]) -> None:
        begun.append((args[0] if args else kwargs["input_ids"], kwargs["attention_mask"]))

    def fold_text(_: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        ids, mask = begun.pop()
        vectors, positions = kwargs.get("inputs_embeds"), kwargs.get("position_ids")
        read.append(rows := folded(ids if vectors is None else _told_apart(ids, vectors, positions), mask))
        if rows is None:
            return None
        own = {"attention_mask": rows.mask(text, kwargs.get("attention_mask")), "position_ids": rows.positions}
        if vectors is None:
            return (), kwargs | own | {"input_ids": rows.ids}
        of_tokens = {
            name for name, value in kwargs.items() if isinstance(value, Tensor) and value.shape[:2] == ids.shape
        }
        own |= {name: rows.gather(kwargs[name]) for name in of_tokens - {"attention_mask", "position_ids"}}
        if (seen := kwargs.get("visual_pos_masks")) is not None:  # Qwen3-VL adds to these tokens in several layers
            rank = rows.gather(seen.flatten().cumsum(0).view_as(seen) - 1)[own["visual_pos_masks"]]
            own["deepstack_visual_embeds"] = [each[rank] for each in kwargs["deepstack_visual_embeds"]]
        if positions is not None:
            own["position_ids"] = rows.gather(positions.expand(*positions.shape[:-2], *ids.shape), positions.ndim - 2)
        return (), kwargs | own

    def after(_: Any, __: Any, output: Any) -> None:
        rows = read.pop()
        if rows is not None:
            output.last_hidden_state = output.last_hidden_state.flatten(0, 1)[rows.places]  # (B, T, H) again

    hooks = [body.register_forward_pre_hook(before, with_kwargs=True)]
    hooks += text.register_forward_pre_hook(fold_text, with_kwargs=True), text.register_forward_hook(after)
    try:
        with distinct_images(body):
            yield
    finally:
        for hook in hooks:
            hook.remove()


def _told_apart(ids: Tensor, vectors: Tensor, positions: Tensor | None) -> Tensor:
    """Numbers tokens, `(B, T)`, such that those with one number have one id, one vector and one position."""
    told = [ids, exact_sums(vectors.detach()[..., :64].flatten(0, 1)).view_as(ids)]
    if positions is not None:
        told += positions.expand(*positions.shape[:-2], *ids.shape).reshape(-1, *ids.shape).unbind()
    _, numbers = torch.stack(told, -1).flatten(0, 1).unique(dim=0, return_inverse=True)
    return numbers.view_as(ids)


def body_of(model: Any) -> PreTrainedModel:
    """Returns a model, which may have an adapter, without its head."""
    body: PreTrainedModel = (model.get_base_model() if hasattr(model, "get_base_model") else model).base_model
    return body


def tokens_read_alike(model: Any, body: PreTrainedModel, read: Callable[[Tensor, Tensor], object]) -> float:
    """Finds how long rows may be in which a model reads pairs as it reads each sequence alone; 0 if it never does.

    It is tried on two pairs that are longer than what any layer looks over, as far as 1,024 tokens. Ranks that hold a
    part of the weights each have to ask together; they read the same tokens and find the same.
    """
    if not length_free(body):
        return 0
    window = window_of(body)
    try:
        first, second, other = tried_rows(body, min(window, MOST_TOKENS))
        pairs = (first, other, second, other._replace(prefix_ids=second.prefix_ids))
        ids, mask = pad_rows([row.prompt_ids + row.prefix_ids for row in pairs], 0, "right", body.device)
        with inference(model), precision() as near:
            apart = _hidden(body, lambda: read(ids, mask), None)
            in_one = _hidden(body, lambda: read(ids, mask), fold(ids, mask, MOST_TOKENS))  # so wide: it is
    except CANNOT:
        return 0
    there = mask.bool()
    return (math.inf if window <= MOST_TOKENS else MOST_TOKENS) if same(apart[there], in_one[there], near) else 0


def images_read_alike(body: PreTrainedModel, args: Any, kwargs: Any) -> bool | None:
    """Tells whether a body reads the images of a batch once as it reads each row; None of rows that are all unlike."""
    found: list[Folded | None] = []

    def in_one(ids: Tensor, mask: Tensor) -> Folded | None:
        found.append(fold(ids, mask, MOST_TOKENS))
        return found[-1]

    covered = vars(body).pop("get_image_features", None)  # which reads each image once in an outer block
    try:
        with torch.no_grad(), precision() as near:
            apart = body(*args, **kwargs).last_hidden_state
            with prefixes_read_once(body, in_one):
                once = body(*args, **kwargs).last_hidden_state
    except CANNOT:
        return False
    finally:
        vars(body).update({"get_image_features": covered} if covered else {})
    there = kwargs["attention_mask"].bool()
    return same(apart[there], once[there], near) if found != [None] else None


def _hidden(body: PreTrainedModel, read: Callable[[], object], folded: Folded | None) -> Tensor:
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
