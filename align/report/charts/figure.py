"""Figures of matplotlib as SVG that takes its text colour, font and line colours from the page around it."""

import io
import re
from typing import TYPE_CHECKING, Any, Literal

from align.report.charts.drawing import NUM_COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK, GRID = "#010203", "#010204"  # stand-ins for the page's colours, replaced after drawing
_INKED = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")


def page_style(title: str) -> Any:
    """Returns matplotlib's settings for a chart that `to_svg` can fit into a page."""
    return {"svg.fonttype": "none", "svg.hashsalt": title, "font.size": 9} | dict.fromkeys(_INKED, _INK)


def to_svg(figure: "Figure", title: str) -> str:
    """Writes a figure, drawn with `page_style`, as SVG that takes its look from the page."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return _adopt_page_style(buffer.getvalue(), title)


def strip_frame(axes: "Axes", *, grid: Literal["x", "y"]) -> None:
    """Leaves the axis at the bottom and faint lines across; the page around gives the frame."""
    axes.grid(axis=grid, color=GRID, lw=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=0)


def stand_in(colour: int) -> str:
    """Returns the colour to draw with, which the page then replaces."""
    return f"#0102{0x10 + colour % NUM_COLOURS:02x}"


def _adopt_page_style(svg: str, title: str) -> str:
    """Makes matplotlib's file fit for inlining: no prologue, namespaces, metadata or ids to clash, the page's look."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<(metadata|style)\b.*?</\1>", "", svg, flags=re.DOTALL)
    label = re.sub(r'[<>&"]', "", title)
    svg = re.sub(r'<svg [^>]*viewBox="([^"]*)"[^>]*>', rf'<svg viewBox="\1" role="img" aria-label="{label}">', svg)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r"font-family: [^;]*; ", "", svg)
    svg = re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\.\d)\d+", r"\1", path[0]).replace("\n", ""), svg)
    for colour in range(NUM_COLOURS):
        svg = svg.replace(stand_in(colour), f"var(--c{colour})")
    return svg.replace(_INK, "currentColor").replace(GRID, "var(--grid)")
