"""A real browser without a window, and what it did with a page."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs the program chromium (apt-get install chromium)")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--allow-file-access-from-files",  # lets the frame of a narrow page be measured
]
HOSTILE = (
    "</pre></span><script>document.title = 'owned'</script><img src='http://127.0.0.1:9/x' "
    "onerror=\"document.title='owned'\"> {{ 7 * 7 }} \"'><svg onload=\"document.title='owned'\">"
)


class Visit(NamedTuple):
    """What a browser made of a page: its document, what it printed to the console, and what it asked the network."""

    dom: str
    console: list[str]
    requests: list[str]


def visit(page: Path, folder: Path) -> Visit:
    """Opens a page from disk.

    Args:
        page: The HTML file.
        folder: Where the browser may write.
    """
    assert CHROMIUM is not None
    log = folder / "net.json"
    options = [f"--user-data-dir={folder / 'profile'}", f"--log-net-log={log}", "--enable-logging=stderr"]
    command = [CHROMIUM, *FLAGS, *options, "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return Visit(done.stdout, console, _requests(log.read_text()))


def visit_on_phone(page: Path, folder: Path, width: int = 390) -> tuple[int, Visit]:
    """Measures how wide a page becomes on a screen of this many pixels; a wider one is scrolled sideways."""
    found, seen = _measure(page, folder, "this.contentDocument.documentElement.scrollWidth", width)
    return int(found), seen


def image_widths(page: Path, folder: Path) -> list[int]:
    """Returns the widths that a page's images have by themselves; one that the browser did not load has 0."""
    found, _ = _measure(page, folder, "Array.from(this.contentDocument.images, image => image.naturalWidth)")
    return [int(width) for width in found.split(",") if width]


def _measure(page: Path, folder: Path, expression: str, width: int = 390) -> tuple[str, Visit]:
    """Evaluates an expression about a page, which holds no script itself, from the page around its frame."""
    frame = folder / "frame.html"
    frame.write_text(
        f'<!DOCTYPE html><title>none</title><iframe style="width: {width}px; height: 800px; border: 0" '
        f'src="{page.as_uri()}" onload="document.title = \'found \' + ({expression})"></iframe>'
    )
    seen = visit(frame, folder)
    found = re.search(r"<title>found ?([\d,]*)</title>", seen.dom)
    assert found, "the page could not be measured"
    return found[1], seen


def background(page: Path, folder: Path, *, dark: bool) -> tuple[int, ...]:
    """Returns the colour of a page's upper left corner, for a reader who prefers dark or light pages."""
    from PIL import Image

    assert CHROMIUM is not None
    picture = folder / f"dark-{dark}.png"
    options = [f"--user-data-dir={folder / 'profile'}", f"--blink-settings=preferredColorScheme={0 if dark else 1}"]
    command = [CHROMIUM, *FLAGS, *options, f"--screenshot={picture}", page.as_uri()]
    subprocess.run(command, capture_output=True, timeout=240, check=True)
    return tuple(Image.open(picture).convert("RGB").getpixel((2, 2)))


def without_policy(page: Path) -> None:
    """Takes the policy that forbids scripts and requests out of a page: escaping alone must hold."""
    page.write_text(re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text()))


def _requests(log: str) -> list[str]:
    """Lists the addresses that a page's frames asked for; the browser's own traffic has no page behind it."""
    events = json.loads(log if log.rstrip().endswith("}") else log.rstrip().rstrip(",") + "]}")["events"]
    asked = [event["params"] for event in events if "url" in event.get("params", {}) and "method" in event["params"]]
    return [each["url"] for each in asked if each.get("initiator") not in (None, "not an origin")]
