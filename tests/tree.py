"""The tree of the project, parsed once: each module with what it imports."""

import ast
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


class Module:
    """A file and what it imports, read when it is asked for; `top` at its top level, `all` also inside functions."""

    def __init__(self, path: Path) -> None:
        self.name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        self.path = path

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.path.read_text(encoding="utf-8"))

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """Returns all of the tree, walked once."""
        return tuple(ast.walk(self.tree))

    @cached_property
    def top(self) -> frozenset[str]:
        return frozenset(imports(self.tree.body))

    @cached_property
    def all(self) -> frozenset[str]:
        return frozenset(imports(self.nodes))

    @property
    def roots(self) -> set[str]:
        return {name.partition(".")[0] for name in self.all}


def imports(nodes) -> set[str]:
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {"." * node.level + f"{node.module}.{alias.name}" for alias in node.names}
    return found


FOLDERS = ("rewards", "align", "scripts")
MODULES = [Module(path) for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
NAMES = {module.name for module in MODULES}
ALIGN = [module for module in MODULES if module.name.partition(".")[0] == "align"]
REWARDS = [module for module in MODULES if module.name.partition(".")[0] == "rewards"]
