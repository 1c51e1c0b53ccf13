"""Runs the tutorials, each in an empty folder, and saves what they show: `python -m scripts.notebooks [NAME ...]`."""

import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import nbformat
from nbclient import NotebookClient

from align.assets import asset_dir
from scripts.harness import Options

ROOT = Path(__file__).resolve().parents[1]
TUTORIALS = ROOT / "docs" / "tutorials"
MOST_BYTES = 150_000
MOST_TEXT = 1_000


def run(path: Path, folder: Path) -> nbformat.NotebookNode:
    """Runs a notebook in a folder; a cell that fails ends it.

    Raises:
        nbclient.exceptions.CellExecutionError: With the cell and its traceback.
    """
    notebook = nbformat.read(path, as_version=4)
    place = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=place).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # when it ran
        cell["outputs"] = [shown for each in cell.get("outputs", []) if (shown := kept(each, folder))]
        if cell.cell_type != "code":
            del cell["outputs"]
    return notebook


def kept(output: nbformat.NotebookNode, folder: Path) -> nbformat.NotebookNode | None:
    """Returns an output without bars, colours and places of this machine; None if nothing is left."""
    if output.output_type == "stream":
        if output.name == "stderr":
            return None
        output.text = clean(output.text, folder)
        return output if output.text.strip() else None
    shown = {kind: clean(text, folder) for kind, text in output.data.items() if kind in ("text/plain", "text/html")}
    plain = shown.get("text/plain", "")
    if plain.isdigit():
        return None  # an exit code, or how much was written
    if "ipywidgets" in plain or not plain.strip() or "<progress" in shown.get("text/html", ""):
        return None
    if "text/html" in shown and len(plain) > MOST_TEXT:
        del shown["text/plain"]  # a record in full
    output.data = shown
    return output


def clean(text: str, folder: Path) -> str:
    """Takes places of this machine out of what was printed."""
    for place, name in ((folder.resolve(), "."), (asset_dir("recipes").parent, "...")):
        text = text.replace(f"{place}/", f"{name}/").replace(str(place), name)
    return re.sub(r".*\r|\x1b\[[\d;]*m", "", text)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs and saves them."""
    parser = Options(__doc__)
    parser.add_argument("names", nargs="*", help="of notebooks; all if none is given")
    names = parser.parse_args(argv).names or sorted(path.stem for path in TUTORIALS.glob("*.ipynb"))
    for name in names:
        began = perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            notebook = run(TUTORIALS / f"{name}.ipynb", Path(folder))
        text = nbformat.writes(notebook) + "\n"
        print(f"{name}: {perf_counter() - began:.0f} s, {len(text.encode()) / 1000:.0f} kB")
        if len(text.encode()) > MOST_BYTES:
            print(f"{name} has more than {MOST_BYTES / 1000:.0f} kB: show less.", file=sys.stderr)
            return 1
        (TUTORIALS / f"{name}.ipynb").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
