"""The files that the code of a reward stands in, and which rewards a file has: read, and never run."""

import ast
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Code(NamedTuple):
    """What a reward is made of: a hash of all its files, and that of each."""

    sha256: str
    files: dict[str, str]


def hash_files(files: list[Path], folder: Path) -> Code:
    """Hashes files by their contents and their places in a folder."""
    found = {}
    for file in sorted(files):
        with file.open("rb") as opened:
            found[file.relative_to(folder).as_posix()] = hashlib.file_digest(opened, "sha256").hexdigest()
    whole = "".join(f"{digest}  {name}\n" for name, digest in found.items())  # as `sha256sum` writes it
    return Code(hashlib.sha256(whole.encode()).hexdigest(), found)


def source_files(file: Path, package: str = "") -> list[Path]:
    """Lists a file and the modules of its folder, which may be a package, that it imports, and those that these do."""
    found: list[Path] = []
    left = [file]
    while left:
        each = left.pop()
        if each in found:
            continue
        found.append(each)
        for name in _imported(each, package):
            module, inner = file.parent / f"{name}.py", file.parent / name
            left += [module] if module.is_file() else [*inner.rglob("*.py")] if name and inner.is_dir() else []
    return found


def _imported(file: Path, package: str) -> Iterator[str]:
    """Yields the first names of what a file imports from its folder, if it is there."""
    prefix = f"{package}." if package else ""
    for node in ast.walk(_parse(file)):
        names = []
        if isinstance(node, ast.Import):
            names = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level < 2:
            own = node.module or ""
            names = [f"{own}.{each.name}".lstrip(".") for each in node.names]
            names = [f"{prefix}{each}" for each in names] if node.level else names
        for name in names:
            if name.startswith(prefix):
                yield name.removeprefix(prefix).partition(".")[0]


def public_rewards(file: Path) -> list[str]:
    """Lists the public functions, and classes that are called, of a file that take `completions`, as they come."""
    named = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return [
        each.name for each in _parse(file).body if isinstance(each, named) and each.name[0] != "_" and _takes(each)
    ]


def _takes(node: ast.stmt) -> bool:
    if isinstance(node, ast.ClassDef):
        return any(getattr(each, "name", "") == "__call__" and _takes(each) for each in node.body)
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    return "completions" in (each.arg for each in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs))


def _parse(file: Path) -> ast.Module:
    try:
        return ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):  # loading it says what is wrong
        return ast.Module([], [])
