"""The tree of the project, parsed once: each module with what it imports."""

import ast
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]


class Module(NamedTuple):
    """A file and what it imports; `top` at its top level, `all` also inside functions."""

    name: str
    path: Path
    tree: ast.Module
    top: frozenset[str]
    all: frozenset[str]

    @property
    def roots(self) -> set[str]:
        return {name.partition(".")[0] for name in self.all}


def read(path: Path) -> Module:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    return Module(name, path, tree, frozenset(imports(tree.body)), frozenset(imports(ast.walk(tree))))


def imports(nodes) -> set[str]:
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {"." * node.level + f"{node.module}.{alias.name}" for alias in node.names}
    return found


MODULES = [read(path) for folder in ("rewards", "align", "scripts") for path in sorted((ROOT / folder).rglob("*.py"))]
NAMES = {module.name for module in MODULES}
ALIGN = [module for module in MODULES if module.name.partition(".")[0] == "align"]
REWARDS = [module for module in MODULES if module.name.partition(".")[0] == "rewards"]
