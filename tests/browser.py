"""A real browser without a window that does what a reader does: another width, other colours, keys, and a look."""

import base64
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
]
HOSTILE = (
    "</pre></span><script>document.title = 'owned'</script><img src='http://127.0.0.1:9/x' "
    "onerror=\"document.title='owned'\"> {{ 7 * 7 }} \"'><svg onload=\"document.title='owned'\">"
)
KEYS = {"ArrowLeft": 37, "ArrowRight": 39, "Home": 36, "End": 35, "Escape": 27, "Tab": 9, "Enter": 13, " ": 32}


class Reader:
    """One tab; commands go through a pair of pipes in the DevTools protocol."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to, self._from = os.fdopen(to_browser, "wb", 0), os.fdopen(from_browser, "rb", 0)
        self._number, self._rest, self._session = 0, b"", None
        self.console: list[str] = []
        self.asked: list[str] = []
        target = self.tell("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.tell("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.tell(f"{domain}.enable")

    def tell(self, method: str, **params: Any) -> dict[str, Any]:
        """Sends a command and returns its answer."""
        self._number += 1
        command: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session:
            command["sessionId"] = self._session
        self._to.write(json.dumps(command).encode() + b"\0")
        answer = self._until(lambda message: message.get("id") == self._number)
        assert "error" not in answer, (method, answer["error"])
        return answer["result"]

    def open(self, page: Path | str) -> None:
        """Opens a page, from disk or by its address, and waits until it is loaded."""
        self.console, self.asked = [], []
        self.tell("Page.navigate", url=page.as_uri() if isinstance(page, Path) else page)
        self._until(lambda message: message.get("method") == "Page.loadEventFired")

    def loaded(self) -> None:
        """Waits until the page has loaded itself again."""
        self._until(lambda message: message.get("method") == "Page.loadEventFired")

    def let_pass(self, seconds: float) -> None:
        """Lets the page's clock run as fast as it can; answers of servers are waited for."""
        policy = "pauseIfNetworkFetchesPending"
        self.tell("Emulation.setVirtualTimePolicy", policy=policy, budget=1000 * seconds)

    def look(self, width: int, *, dark: bool = False, media: str = "screen") -> None:
        """Sets the screen: its width, its colour scheme, or paper."""
        self.tell(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.tell("Emulation.setEmulatedMedia", media=media, features=[scheme])

    def from_outside(self) -> list[str]:
        """Lists what the page asked for beside itself."""
        return [url for url in self.asked if not url.startswith(("file:", "data:"))]

    def width(self) -> int:
        """Returns how wide the page is; one that is wider than the screen is scrolled sideways."""
        return int(self.value("document.documentElement.scrollWidth"))

    def text(self) -> str:
        """Returns the words of the page, those of closed parts included."""
        return str(self.value("document.body.textContent"))

    def value(self, expression: str) -> Any:
        """Evaluates an expression in the page."""
        found = self.tell("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def press(self, key: str, times: int = 1) -> None:
        """Presses a key, or types a letter."""
        words = {"key": key, "windowsVirtualKeyCode": KEYS.get(key, 0)}
        text = {" ": " ", "Enter": "\r"}.get(key, key if len(key) == 1 else "")
        for _ in range(times):
            self.tell("Input.dispatchKeyEvent", type="keyDown", **words, **({"text": text} if text else {}))
            self.tell("Input.dispatchKeyEvent", type="keyUp", **words)

    def point(self, x: float, y: float) -> None:
        """Moves the mouse."""
        self.tell("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def picture(self, path: Path, *, whole: bool = True) -> None:
        """Writes what the page looks like."""
        data = self.tell("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))

    def _until(self, is_it: Any) -> dict[str, Any]:
        while True:
            message = self._read()
            self._keep(message)
            if is_it(message):
                return message

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            found = self._from.read(65536)
            assert found, "the browser has ended"
            self._rest += found
        text, _, self._rest = self._rest.partition(b"\0")
        return json.loads(text)

    def _keep(self, message: dict[str, Any]) -> None:
        params = message.get("params", {})
        if message.get("method") == "Network.requestWillBeSent":
            self.asked.append(params["request"]["url"])
        elif message.get("method") in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
            self.console.append(json.dumps(params))


@contextmanager
def reader(folder: Path) -> Iterator[Reader]:
    """Starts a browser that writes into a folder."""
    to_browser, from_browser = os.pipe(), os.pipe()
    flags = [*FLAGS, "--remote-debugging-pipe", f"--user-data-dir={folder / 'reader'}"]
    # The browser reads from descriptor 3 and writes to 4, whatever they are here.
    shell = f'exec "$0" "$@" 3<&{to_browser[0]} 4>&{from_browser[1]}'
    process = subprocess.Popen(
        ["bash", "-c", shell, str(CHROMIUM), *flags],
        pass_fds=(to_browser[0], from_browser[1]),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_browser[0])
    os.close(from_browser[1])
    try:
        yield Reader(to_browser[1], from_browser[0])
    finally:
        process.terminate()
        process.wait(30)


def without_policy(page: Path) -> None:
    """Takes the policy that forbids scripts and requests out of a page: escaping alone must hold."""
    page.write_text(re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text()))
