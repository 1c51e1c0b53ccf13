"""A real HTTP server that speaks the chat-completions API and misbehaves on demand."""

import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from started import ROOT, num_kept

from align.models.samplers.asking import gather_all

HANG, DROP = object(), object()
Reply = str | int | bytes | object  # a text, a status, a raw body, no answer, half of one, or what gets the handler


class ChatServer:
    """Answers in threads.

    Args:
        reply: Gets the body of a request and how often this body came before.
        key: The API key that is needed, if one is.
    """

    def __init__(self, reply: Callable[[dict[str, Any], int], Reply], *, key: str | None = None) -> None:
        self.reply, self.key = reply, key
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.bodies: list[dict[str, Any]] = []
        self.now, self.most_at_once = 0, 0
        self.lock = threading.Lock()
        self.release = threading.Event()
        self._http = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"chat": self}))
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def __enter__(self) -> "ChatServer":
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()  # seconds to its end
        return self

    def __exit__(self, *error: object) -> None:
        self.release.set()
        self._http.shutdown()
        self._http.server_close()


def kill_once_answered(server: ChatServer, words: list[object], answered: int, concurrency: int) -> None:
    """Starts an `align` command and kills it when some answers are kept and the server leaves the others waiting."""
    process = subprocess.Popen([sys.executable, "-m", "align", *map(str, words)], cwd=ROOT)
    deadline, out = time.monotonic() + 600, Path(str(words[words.index("--out") + 1]))
    while server.now < concurrency or sum(num_kept(path.parent) for path in out.rglob("cache.db")) < answered:
        assert process.poll() is None, "the command ended by itself"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def completion(text: str | None, finish_reason: str = "stop") -> bytes:
    choice = {"index": 0, "finish_reason": finish_reason, "message": {"role": "assistant", "content": text}}
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    head = {"id": "1", "object": "chat.completion", "created": 0, "model": "tiny"}
    return json.dumps(head | {"choices": [choice], "usage": usage}).encode()


def shown_images(content: list[dict[str, Any]]) -> list[Any]:
    """Decodes the images of a message, as PIL images."""
    from align.data.media.images import open_image

    urls = [part["image_url"]["url"] for part in content if part["type"] == "image_url"]
    assert all(url.startswith("data:image/jpeg;base64,") for url in urls)
    return [open_image({"bytes": base64.b64decode(url.partition(",")[2])}) for url in urls]


def sample(sampler: Any, requests: Sequence[Any], on_result: Callable[[int, Any], None]) -> None:
    """Sends requests side by side, and hands over the index and result of each as it comes."""

    async def send() -> None:
        async with sampler.connect() as connection:

            async def answer(i: int) -> None:
                on_result(i, await connection.answer(requests[i]))

            await gather_all(map(answer, range(len(requests))))

    asyncio.run(send())


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # of 5 that wait, the next one's connection is reset


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes, and the second would wait for 40 ms
    chat: ChatServer

    def log_message(self, *words):
        pass

    def do_GET(self):
        self.send(200, json.dumps({"object": "list", "data": [{"id": "tiny", "object": "model"}]}).encode())

    def do_POST(self):
        chat = self.chat
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = json.dumps(body, sort_keys=True)
        with chat.lock:
            before = chat.asked[name]
            chat.asked[name] += 1
            chat.bodies.append(body)
            chat.now += 1
            chat.most_at_once = max(chat.most_at_once, chat.now)
        try:
            self.answer(name, self.refusal(body) or chat.reply(body, before))
        finally:
            with chat.lock:
                chat.now -= 1

    def refusal(self, body):
        given = self.headers["Authorization"].removeprefix("Bearer ")
        if self.chat.key is not None and given != self.chat.key:
            return 401
        return 404 if body["model"] != "tiny" else None

    def answer(self, name, reply):
        if reply is HANG:
            self.chat.release.wait()
            self.close_connection = True
        elif reply is DROP:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{")
            self.close_connection = True
        elif callable(reply):
            reply(self)
        elif isinstance(reply, int):
            given = self.headers["Authorization"].removeprefix("Bearer ")
            self.send(reply, json.dumps({"error": {"message": f"no, {given}"}}).encode())
        elif isinstance(reply, bytes):
            self.send(200, reply, "text/html" if reply.startswith(b"<") else "application/json")
        else:
            with self.chat.lock:
                self.chat.answered[name] += 1
            self.send(200, completion(reply))

    def send(self, status, content, kind="application/json"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("retry-after-ms", "10")
        self.end_headers()
        self.wfile.write(content)
