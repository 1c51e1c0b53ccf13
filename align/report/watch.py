"""A page that follows its runs while they train, served to this machine alone."""

import threading
import time
from collections.abc import Callable, Mapping
from html import escape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from align.errors import UserError
from align.recipe.problems import one_line
from align.report.page import comparison_page, page_script, render_page, run_page
from align.runs.owner import is_held

LOOPBACK = "127.0.0.1"
# A page of elsewhere whose name was made to point to this machine sends its own name.
_NAMES = frozenset({LOOPBACK, "localhost", "::1"})
_FEWEST_SECONDS, _SHARE = 10.0, 0.1  # between two pages, that a reader may look; of the time that rendering takes
_LOOK_SECONDS = 2.0  # between two looks at the folders, however many readers ask
_FILES = ("metrics.jsonl", "rewards.jsonl", "recipe.yaml", "evaluation.json", "finished.json", "started.json")


class FollowedPage:
    """The page of runs, rendered anew when somebody asks and something was written."""

    def __init__(self, run_dirs: Mapping[str, Path]) -> None:
        self._run_dirs = dict(run_dirs)
        self._lock = threading.Lock()
        self._seen: Any = None
        self._version = self._page = ""
        self._good = self._why = ""  # the last page that could be made, and why no later one could
        self._good_version = ""
        self._looked = self._ended = self._seconds = 0.0

    def current(self) -> tuple[str, str]:
        """Returns a version and the page of it."""
        with self._lock:
            if not self._page or self._may_look(time.monotonic()):
                seen = [_state_of(folder) for folder in self._run_dirs.values()]
                self._looked = time.monotonic()
                if not self._page or self._why or seen != self._seen:
                    self._render(seen)
            return self._version, self._page

    def _may_look(self, now: float) -> bool:
        """Tells whether a page may be rendered; till then nobody needs to know what was written."""
        rested = now - self._ended >= max(_FEWEST_SECONDS, self._seconds / _SHARE)
        return rested and now - self._looked >= _LOOK_SECONDS

    def _render(self, seen: Any) -> None:
        started, version = time.monotonic(), f"{time.time_ns():x}"
        try:
            self._page = self._good = self._rendered(version)
            self._version = self._good_version = version
            self._seen, self._why = seen, ""
        except Exception as error:  # no step is logged yet, a file is being written, or one is not what it should be
            self._show_why(one_line(error), version)
        self._ended = time.monotonic()
        self._seconds = self._ended - started

    def _show_why(self, why: str, version: str) -> None:
        """Says on the last page that could be made what could not be read since, or on an empty one."""
        if why == self._why and self._page:
            return
        self._why, self._version = why, version
        if not self._good:
            self._page = render_page(
                "waiting.html.j2", title=" vs ".join(self._run_dirs), script=page_script(), version=version, why=why
            )
            return
        head, end, rest = self._good.partition("</h1>")
        note = f'<p class="running">This is the last page that could be made; since then: {escape(why)}</p>'
        self._page = f"{head.replace(self._good_version, version)}{end}\n{note}{rest}"

    def _rendered(self, version: str) -> str:
        if len(self._run_dirs) > 1:
            return comparison_page(self._run_dirs, None, version=version)
        (folder,) = self._run_dirs.values()
        return run_page(folder, version=version)


def serve(page: FollowedPage, port: int, say: Callable[[str], None]) -> None:
    """Serves a page, and nothing else, on 127.0.0.1 until Ctrl-C; port 0 takes a free one, `say` gets the address."""
    try:
        server = ThreadingHTTPServer((LOOPBACK, port), handler_of(page))
    except OSError as error:
        raise UserError(
            f"`--port {port}` on {LOOPBACK} cannot be had: {error.strerror}. Choose another, or 0 for a free one."
        ) from error
    with server:
        say(f"http://{LOOPBACK}:{server.server_port}/")
        try:
            server.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:
            return


def handler_of(page: FollowedPage) -> type[BaseHTTPRequestHandler]:
    """Makes the handler of a server that answers two addresses: the page, and its version."""

    class Handler(BaseHTTPRequestHandler):
        server_version, sys_version = "align", ""

        def do_GET(self) -> None:
            if not _is_of_this_machine(self.headers.get("Host", "")):
                self._answer(HTTPStatus.FORBIDDEN, "This page is shown under 127.0.0.1 and localhost only.\n")
                return
            path = urlsplit(self.path).path
            if path == "/favicon.ico":
                self._answer(HTTPStatus.NO_CONTENT, "")
            elif path not in ("/", "/version"):
                self._answer(HTTPStatus.NOT_FOUND, "Here are / and /version.\n")
            else:
                version, html = page.current()
                kind = "text/html" if path == "/" else "text/plain"
                self._answer(HTTPStatus.OK, html if path == "/" else version, kind)

        do_HEAD = do_GET

        def _answer(self, status: HTTPStatus, text: str, kind: str = "text/plain") -> None:
            content = text.encode("utf-8", "replace")
            self.send_response(status)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.send_header("X-Frame-Options", "DENY")
            self.send_header("Cross-Origin-Resource-Policy", "same-origin")
            self.send_header("Referrer-Policy", "no-referrer")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing: a page asks every few seconds."""

    return Handler


def _is_of_this_machine(host: str) -> bool:
    """Looks at the name alone: a forwarded port is another one on the reader's side."""
    try:
        return urlsplit(f"//{host}").hostname in _NAMES
    except ValueError:
        return False


def _state_of(folder: Path) -> tuple[Any, ...]:
    tables = folder / "completions"
    newest = max(tables.glob("*.parquet"), default=tables)
    return (is_held(folder), *(_stamp(path) for path in (*(folder / name for name in _FILES), tables, newest)))


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
