"""The rows in which sequences that begin alike are cheapest to read: one rule for runs and checks, without torch."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, pairwise
from typing import Any, NamedTuple

from align.data.texts import count_shared

# A layer of a transformer has about 12 H^2 weights, and a token that looks at another takes 4 H operations of it: what
# a layer does to one token it could spend on looking at so many times H others.
_LOOKS_PER_WIDTH = 6
_FEW_LOOKS = 2**20  # that need no memory to speak of
MOST_TOKENS = 1_024  # of rows of a model that looks no further, or further than what it is tried with
_LOOKS = ("window", "local", "attention_chunk", "attn_chunk", "block_size")  # in names of settings


def longest_window(config: Mapping[str, Any]) -> int:
    """Finds how far back layers look that do not see everything, as far as a configuration says it."""
    most = config.get("max_position_embeddings") or MOST_TOKENS**2
    named = [value for name, value in config.items() if any(look in name for look in _LOOKS)]
    numbers = [each for value in named for each in (value if isinstance(value, list) else [value])]
    looks = [each for each in numbers if type(each) is int and each < most]  # no row reaches beyond the others
    return max(looks, default=0)


def apart_by_settings(settings: Any) -> dict[str, bool]:
    """Says which settings of a trainer forbid that sequences stand in one row."""
    return {
        "`neftune_noise_alpha` draws noise for each": settings.neftune_noise_alpha is not None,
        "`torch_compile` is on, and rows would have ever new shapes": settings.torch_compile,
    }


def cheapest(
    sequences: list[list[int]],
    lengths: list[int],
    alike: list[list[int]],
    width: int,
    *,
    multiple: int = 1,
    most: float = math.inf,
) -> "Rows | None":
    """Puts sequences, padded to one length, into rows; None where reading each for itself costs no more.

    `alike` says how many tokens each begins with as each other does; the rest is as in `fold`.
    """  # fmt: skip
    number, length, per_token = len(sequences), len(sequences[0]), _LOOKS_PER_WIDTH * width
    # Some attention holds a number for each two tokens of a row: at most twice as many as before.
    looks = max(2 * number * length**2, _FEW_LOOKS)
    options = _put_into_rows(sequences, lengths, alike, multiple, most)
    fitting = (each for each in options if each.size <= most and each.number * each.size**2 <= looks)
    rows = min(fitting, key=lambda each: each.cost(per_token), default=None)
    return rows if rows and rows.cost(per_token) < _apart(number, length, per_token) else None


def pack_groups(groups: Sequence[list[int]], fits: Callable[[list[int]], bool], most: int) -> list[list[int]]:
    """Puts rows into batches that fit, a group by itself; with others where that would make more than `most`."""
    batches = list(fill(groups, fits))
    return batches if len(batches) <= most else list(fill(([row] for row in chain(*groups)), fits))


def distinct_tokens(sequences: Iterable[tuple[int, ...]]) -> int:
    """Counts the tokens of sequences, what several begin with once: the least that can be read of them.

    Example:
        >>> distinct_tokens([(7, 8, 5), (7, 9), (7, 8, 5)])
        4
    """
    order = sorted(sequences)
    return sum(map(len, order)) - sum(count_shared(*both) for both in pairwise(order))


def fill(parts: Iterable[list[int]], fits: Callable[[list[int]], bool]) -> Iterator[list[int]]:
    """Yields batches of as many rows as fit; parts that fit are kept."""
    batch: list[int] = []
    for part in parts:
        if batch and not fits([*batch, *part]):
            yield batch
            batch = []
        for row in part:
            if batch and not fits([*batch, row]):
                yield batch
                batch = []
            batch.append(row)
    if batch:
        yield batch


def saves(shared: int, rest: int, number: int, width: int) -> bool:
    """Tells whether some of so many sequences, that begin alike and have a rest each, are cheaper in one row."""
    per_token = _LOOKS_PER_WIDTH * width
    sizes = ((each, shared + each * rest) for each in range(2, number + 1))
    return any(size * (per_token + size) < _apart(each, shared + rest, per_token) for each, size in sizes)


def _apart(number: int, length: int, per_token: int) -> int:
    """Counts as `Rows.cost` what sequences of so many tokens cost each for itself.

    Kernels that know that tokens look back only compare half of the pairs of tokens, and need no mask of ours.
    """
    return number * length * (2 * per_token + length) // 2


class Rows(NamedTuple):
    """`number` rows of `size` tokens, and row by row which sequences they hold."""

    number: int
    size: int
    row: list[int]  # of each sequence in that order
    order: list[int]

    def cost(self, per_token: int) -> int:
        """Counts what reading them costs, in looks of one token at another; a token alone costs so many."""
        return self.number * self.size * (per_token + self.size)


def _put_into_rows(
    sequences: list[list[int]], lengths: list[int], alike: list[list[int]], multiple: int, most: float
) -> list[Rows]:
    """Tries rows of several lengths: long ones have little padding, and in short ones tokens look at fewer others."""
    order = sorted(range(len(sequences)), key=lambda i: sequences[i][: lengths[i]])
    head = min(map(min, alike))  # what all begin with
    limit = max(lengths)
    options: list[Rows] = []
    while limit <= most and (not options or options[-1].number > 1):
        options.append(_first_fit(order, lengths, alike, head, limit, multiple))
        limit = -(-limit * 9 // 8)
    return options


def _first_fit(
    order: list[int], lengths: list[int], alike: list[list[int]], head: int, limit: int, multiple: int
) -> Rows:
    """Puts sequences that begin alike, as many as fit, into the first row that has so many tokens left."""
    units: list[list[int]] = []
    sizes: list[int] = []  # without the head
    for place, each in enumerate(order):
        begun = alike[order[place - 1]][each] if place else head
        if begun > head and sizes[-1] + lengths[each] - begun <= limit - head:
            units[-1].append(each)
            sizes[-1] += lengths[each] - begun
        else:
            units.append([each])
            sizes.append(lengths[each] - head)
    filled: list[int] = []
    members: list[list[int]] = []
    for unit in sorted(range(len(units)), key=lambda unit: -sizes[unit]):
        row = next((row for row, used in enumerate(filled) if used + sizes[unit] <= limit), len(filled))
        if row == len(filled):
            filled.append(head)
            members.append([])
        filled[row] += sizes[unit]
        members[row] += units[unit]
    size = -(-max(filled) // multiple) * multiple
    placed = [(row, each) for row, inside in enumerate(members) for each in inside]
    return Rows(len(filled), size, *map(list, zip(*placed, strict=True)))
