"""Rows of a trainer that are made of stored items when they are read."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar, overload

T = TypeVar("T")


class MadeRows(Sequence[dict[str, Any]]):
    """Rows that are made of items when they are read; no row has images.

    Args:
        items: What they are made of.
        make: Makes one.
        sizes: Tells about how long the prompts of items are, without making them.
    """

    def __init__(
        self,
        items: Sequence[T],
        make: Callable[[T], dict[str, Any]],
        sizes: Callable[[Sequence[T]], list[int]] | None = None,
    ) -> None:
        self.items, self.make, self._sizes = items, make, sizes

    def prompt_sizes(self) -> list[int]:
        """Returns about how many characters each prompt has, so that the longest can be found."""
        if self._sizes is not None:
            return self._sizes(self.items)
        return [len(str(row["prompt"])) for row in self]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return map(self.make, self.items)

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        if isinstance(index, slice):
            return [self.make(item) for item in self.items[index]]
        return self.make(self.items[index])
