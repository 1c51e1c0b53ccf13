"""Finds our package `rewards` where a file of the user's has its name: a `rewards.py` beside the recipe."""

import importlib
import sys
from importlib.machinery import PathFinder
from pathlib import Path

_HOME = Path(__file__).resolve().parents[1]  # where `align` and `rewards` are installed, side by side
_OURS = _HOME / "rewards" / "__init__.py"


def place_rewards() -> None:
    """Puts our `rewards` before a module of that name that the path would give, if `align` runs as a command.

    In a script the name may be meant for the user's module, which the script would then not get.

    Raises:
        ImportError: If `align` is imported by a script, or after a module of that name.
    """
    loaded = sys.modules.get("rewards")
    spec = PathFinder.find_spec("rewards") if loaded is None else None
    file = getattr(loaded, "__file__", None) if spec is None else spec.origin
    if file is None or not _OURS.is_file() or (found := Path(file)).resolve() == _OURS:
        return
    if "rewards" in sys.modules or not _is_command():
        raise ImportError(
            f"{found} hides TrueAlign's package `rewards`, on which `align` is built. Give it another name, such as "
            "`my_rewards`. (The command `align` works beside it: a recipe names `./rewards.py:function`.)"
        )
    sys.path.insert(0, str(_HOME))
    try:
        importlib.import_module("rewards")
    finally:
        sys.path.remove(str(_HOME))


def _is_command() -> bool:
    """Tells `python -m align`, or the script `align`, from a program that imports the package."""
    program = Path(sys.argv[0] if sys.argv else "")
    if program.name == "-m":  # what Python says while it looks for the module
        return "align" in sys.orig_argv
    return program.stem == "align" or program.parent == Path(__file__).resolve().parent
