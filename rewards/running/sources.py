"""The files that the code of a reward stands in, and which rewards a file has: read, and never run."""

import ast
import hashlib
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
    return Code(hashlib.sha256(repr(found).encode()).hexdigest(), found)


def hash_source(file: Path) -> Code:
    """Hashes a file with the modules of its folder that it imports, and those that these do."""
    found: list[Path] = []
    left = [file]
    while left:
        each = left.pop()
        if each not in found:
            found.append(each)
            for name in _imported(each):
                module, inner = file.parent / f"{name}.py", file.parent / name
                left += [module] if module.is_file() else inner.rglob("*.py")
    return hash_files(found, file.parent)


def _imported(file: Path) -> set[str]:
    """Lists all parts of the names that a file imports, one of which is that of a module beside it."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):  # loading it says what is wrong, if it is loaded
        return set()
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = [name for node in nodes for name in (getattr(node, "module", None), *(each.name for each in node.names))]
    return {part for name in names if name for part in name.split(".")}


def public_rewards(file: Path) -> list[str]:
    """Lists the public functions of a file that take `completions`, as they come."""
    try:
        body = ast.parse(file.read_bytes()).body
    except SyntaxError as error:
        raise ValueError(f"{file} is no Python: {error}.") from error
    functions = [each for each in body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
    taken = {each.name: (*each.args.posonlyargs, *each.args.args, *each.args.kwonlyargs) for each in functions}
    return [name for name, own in taken.items() if name[0] != "_" and "completions" in (each.arg for each in own)]
