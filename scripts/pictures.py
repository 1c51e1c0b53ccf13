"""Draws the pictures of the README: the first figure of three pages, made here by the commands that stand beside them.

bash scripts/quickstart.sh && python -m scripts.pictures
"""

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from align.cli import run_command
from scripts.harness import Options

ROWS = 60
MINE = """def mentions(completions, answer, **kwargs):
    return [float(str(right) in text) for text, right in zip(completions, answer, strict=True)]
"""
STYLE = Path(__file__).parents[1] / "align" / "report" / "style.css"


def main(argv: Sequence[str] | None = None) -> int:
    """Writes `attack.svg`, `rehearse.svg` and `compare.svg`."""
    parser = Options(__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"))
    parser.add_argument("--quickstart", default="outputs/quickstart/evaluation")
    options = parser.parse_args(argv)
    with TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "mine.py").write_text(MINE)
        sums = ((13 + 7 * i % 90, 5 + 11 * i % 80) for i in range(ROWS))
        rows = (
            {"prompt": f"Sam has {a} marbles and buys {b}. How many has he?", "answer": f"{a + b}"} for a, b in sums
        )
        (folder / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        data = ["--data", f"{folder}/rows.jsonl"]
        run_command("rewards", "attack", f"{folder}/mine.py:mentions", *data, "--out", made)
        run_command("rehearse", "acre/quickstart", "--temperature", "0.1", "--out", made)
        of = options.quickstart
        run_command("compare", f"start={of}#misreader", f"grpo={of}#grpo", f"acre={of}#acre", "--out", made)
        for name, page in {"attack": "attack", "rehearse": "rehearsal", "compare": "report"}.items():
            text = (folder / f"{page}.html").read_text(encoding="utf-8")
            (options.out / f"{name}.svg").write_text(standalone(text), encoding="utf-8")
    return 0


def standalone(page: str) -> str:
    """Makes a picture of its own of the first figure of a page, in the colours of light and dark."""
    found = re.search(r'<svg class="plot" viewBox="0 0 ([\d.]+) ([\d.]+)".*?</svg>', page, re.DOTALL)
    if found is None:
        raise ValueError("The page has no figure.")
    width, height = (float(each) for each in found.groups())
    legend = re.findall(r'var\(--c(\d)\)"></i>([^<]+)</span>', page[: found.start()].rpartition("<figure")[2])
    above, left = "", 8.0
    for colour, name in legend:
        above += f'<rect x="{left}" y="-11" width="12" height="3" style="fill:var(--c{colour})"/>'
        above += f'<text x="{left + 16}" y="-7">{name}</text>'
        left += 32 + 5.2 * len(name)
    top = 20 if legend else 4
    rules = re.sub(r"\bbody\b|\bfigure svg\b", ".none", STYLE.read_text(encoding="utf-8").partition("* {")[0])
    rules += "".join(re.findall(r"^\.plot .*\n", STYLE.read_text(encoding="utf-8"), re.MULTILINE))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" class="plot" viewBox="0 {-top} {width:g} {height + top:g}"'
    look = "svg { color: var(--ink); background: var(--card); font-family: system-ui, sans-serif; }"
    inside = found[0].partition(">")[2].removesuffix("</svg>")
    label = re.search(r'aria-label="([^"]*)"', found[0])
    title = f"<title>{label[1] if label else ''}</title>"
    return f'{head} role="img">{title}<style>{rules}{look}</style>{above}{inside}</svg>\n'


if __name__ == "__main__":
    sys.exit(main())
