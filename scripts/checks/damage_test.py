"""Damages every file of the newest checkpoint, one after the other, and looks what `--resume auto` makes of it.

    python -m scripts.checks.damage_test

For every method a run with two checkpoints is made. Then each file of the newer one is removed, emptied, cut in half,
and changed by one bit; the run must go on from the older checkpoint and say which file is wrong, or refuse with the
file's name. A plan that takes the damaged checkpoint, and a traceback, count as failures (exit code 1).
"""

import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from align.assets import find_recipe
from align.errors import UserError
from align.recipe.recipe import load_recipe
from align.runs.stages import plan_stage
from scripts.checks import kill_test
from scripts.harness import Options


def flip(content: bytes) -> bytes:
    """Changes one bit in the middle."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes] | None] = {
    "missing": None,
    "empty": lambda content: b"",
    "cut in half": lambda content: content[: len(content) // 2],
    "one bit": flip,
}


def outcome(words: list[str], checkpoint: Path, name: str) -> str:
    """Plans how to go on, and returns what that comes to: `falls back`, `refuses`, or what is wrong."""
    try:
        stage = plan_stage(load_recipe(find_recipe(words[0]), words[1:]), "auto")
    except UserError as error:
        return "refuses" if name in str(error) else f"does not name it: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if stage.checkpoint == checkpoint:
        return "goes on from it"
    return "falls back" if any(name in wrong for _, wrong in stage.passed_over) else "says nothing"


def main() -> None:
    """Tries every file of every method."""
    parser = Options(__doc__)
    parser.add_argument("--methods", nargs="+", default=list(kill_test.METHODS), choices=list(kill_test.METHODS))
    arguments = parser.parse_args()
    table = Table(box=None, pad_edge=False)
    for column in ("method", "files", "cases", "falls back", "refuses", "fails"):
        table.add_column(column, justify="left" if column == "method" else "right")
    failures = []
    with tempfile.TemporaryDirectory(prefix="damage-test-") as place:
        for method in arguments.methods:
            folder = Path(place) / method
            folder.mkdir()
            kill_test.write_recipe(folder)
            kill_test.measure(method, folder)
            run = folder / "whole"
            (run / "finished.json").unlink()
            newest = run / "checkpoint-8"
            names = sorted(path.relative_to(newest).as_posix() for path in newest.rglob("*") if path.is_file())
            words = kill_test.command(method, folder, run)
            found = []
            for name in names:
                whole = (newest / name).read_bytes()
                for damage, change in DAMAGES.items():
                    if change is None:
                        (newest / name).unlink()
                    else:
                        (newest / name).write_bytes(change(whole))
                    found.append(outcome(words, newest, name))
                    if found[-1] not in ("falls back", "refuses"):
                        failures.append(f"{method}, {name}, {damage}: {found[-1]}")
                    (newest / name).write_bytes(whole)
            fell, refused = found.count("falls back"), found.count("refuses")
            table.add_row(method, *map(str, (len(names), len(found), fell, refused, len(found) - fell - refused)))
            shutil.rmtree(folder)
    Console(width=110).print(table)
    print("\n".join(failures) or "No damage went unnoticed.")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
