"""What a notebook shows of a page: its first figure."""

import re
from importlib.resources import files
from pathlib import Path

_FIGURE = re.compile(r"<figure\b.*?</figure>", re.DOTALL)


def first_figure(page: Path) -> str:
    """Returns the figure that a page opens with, in its look; an empty text if there is no page, or none in it."""
    found = _FIGURE.search(page.read_text(encoding="utf-8")) if page.is_file() else None
    if found is None:
        return ""
    rules = files("align.report").joinpath("style.css").read_text(encoding="utf-8").replace(":root", "&")
    own = (
        f".truealign {{ max-width: 40rem; color: var(--ink);\n{rules}}}"  # nested, so that the notebook keeps its look
    )
    return f'<div class="truealign"><style>{own}</style>{found[0]}</div>'
