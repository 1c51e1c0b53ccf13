"""How large and how deep a YAML document may be: a few lines of aliases can stand for billions of values."""

import yaml

from align.errors import RecipeError

MAX_BYTES = 1_000_000
MAX_DEPTH = 30
MAX_VALUES = 20_000


class BoundedLoader(yaml.SafeLoader):
    """PyYAML's safe loader that counts while it reads: values with every alias written out, and nesting."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._count = 0  # values read so far
        self._open: list[str | None] = []  # anchors of the values that are being read, outermost first
        self._sizes: dict[str, int] = {}  # values under an anchor

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Reads one value with all that is in it.

        Raises:
            RecipeError: If there are too many, too deep, or one that holds itself.
        """
        event = self.peek_event()
        line, anchor = event.start_mark.line + 1, event.anchor
        if isinstance(event, yaml.AliasEvent) and anchor in self._open:
            raise RecipeError(f"Line {line}: `*{anchor}` stands inside `&{anchor}`, so it holds itself. Write it out.")
        if len(self._open) >= MAX_DEPTH:
            raise RecipeError(f"Line {line}: values are nested more than {MAX_DEPTH} deep. Is a bracket not closed?")
        self._count += self._sizes.get(anchor, 1) if isinstance(event, yaml.AliasEvent) else 1
        if self._count > MAX_VALUES:
            raise RecipeError(
                f"Line {line}: there are more than {MAX_VALUES:,} values, counting what aliases such as `*a` repeat. "
                f"Name data by its path."
            )
        self._open.append(None if isinstance(event, yaml.AliasEvent) else anchor)
        before = self._count
        node = super().compose_node(parent, index)
        self._open.pop()
        if anchor is not None and not isinstance(event, yaml.AliasEvent):
            self._sizes[anchor] = self._count - before + 1
        return node
