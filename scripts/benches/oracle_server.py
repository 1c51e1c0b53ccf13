"""A stand-in for an oracle: a chat-completions server that takes its time and fails on demand; for `augment.py`.

Its replies follow from the prompt alone. It writes what it did to standard output when its input ends.
"""

import asyncio
import json
import random
import re
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

READABLE = "readable reply"
SPOILED = ("no JSON", "wrong JSON", "half a JSON", "cut off")  # replies that were written, and are charged for
LATE = ("late", "drop by drop")
STATUSES = ("408", "409", "429", "500", "502", "503", "504", "529")
REFUSALS = ("401", "403")  # of a key that has been accepted
BODIES = {
    "page": b"<html>Bad gateway</html>",
    "no body": b"",
    "no choices": b'{"choices": []}',
    "a list": b"[1]",
    "a number": b'{"choices": [{"message": {"content": 3}}]}',
    "too deep": b"[" * 200_000,
}
FLOODS = ("20 MB", "20 MB in chunks", "20 MB of error")
OTHERS = ("half an answer", "no content", "hung up", "hung up midway", "silent")
FAULTS = (*STATUSES, *BODIES, *FLOODS, *OTHERS, *SPOILED, *LATE, *REFUSALS)
STEPS = {
    "rubric": "attributes decide how good an answer",
    "elements": "things in an answer to this question raise or lower",
    "check": "Check the work.",
    "edit": "Write the answer again",
}


@dataclass
class OracleServer:
    """Serves `tiny`.

    Attributes:
        delay: Seconds until an answer comes.
        fault_rate: Share of prompts whose first call fails, in each of the `FAULTS` in turn.
        stop_after: Answers after which every further call is left waiting; 0 for none.
        lateness: Seconds until a late answer is complete.
    """

    delay: float
    fault_rate: float = 0.0
    stop_after: int = 0
    lateness: float = 2.0
    kinds: Counter[str] = field(default_factory=Counter)  # of what was sent back
    calls: Counter[str] = field(default_factory=Counter)  # by prompt
    paid: Counter[str] = field(default_factory=Counter)  # answers by prompt
    num_faults: int = 0
    has_answered: bool = False  # the run that asks now
    num_waiting: int = 0
    num_busy: int = 0  # calls that something will be sent to
    never: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers the requests of one connection."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = re.search(rb"(?i)content-length: (\d+)", head)
                body = await reader.readexactly(int(length[1])) if length else b""
                if not await self._answer(json.loads(body), writer):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, request: dict[str, Any], writer: asyncio.StreamWriter) -> bool:
        """Answers a request; returns whether the connection may go on."""
        name = json.dumps(request["messages"])
        before, self.calls[name] = self.calls[name], self.calls[name] + 1
        if self.stop_after and self.paid.total() >= self.stop_after:
            self.num_waiting += 1
            await self.never.wait()
        kind = self._draw_fault(name) if before == 0 and len(request["messages"]) == 1 else READABLE
        self.paid[name] += kind in (READABLE, *SPOILED, *LATE)
        self.kinds[kind] += 1
        if kind == "silent":
            await self.never.wait()
        self.num_busy += 1
        try:
            await asyncio.sleep(self.lateness if kind == "late" else self.delay)
            goes_on = await self._send(kind, reply(request), writer)
            self.has_answered |= kind == READABLE
            return goes_on
        finally:
            self.num_busy -= 1

    async def _send(self, kind: str, text: str, writer: asyncio.StreamWriter) -> bool:
        if kind == "hung up":
            return False
        content = completion(None if kind == "no content" else spoil(kind, text), cut_off=kind == "cut off")
        if kind == "half an answer":
            content = content[: len(content) // 2]
        if kind in FLOODS:
            await _flood(kind, writer)
        elif kind == "drop by drop":
            await self._drip(content, writer)
        elif kind == "hung up midway":
            writer.write(_head(200, len(content)) + content[:9])
        else:
            content = BODIES.get(kind, content)
            writer.write(_head(int(kind) if kind.isdigit() else 200, len(content)) + content)
        await writer.drain()
        return kind != "hung up midway"

    async def _drip(self, content: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(_head(200, len(content)))
        for start in range(0, len(content), size := len(content) // 10):
            await asyncio.sleep(self.lateness / 10)
            writer.write(content[start : start + size])
            await writer.drain()

    def _draw_fault(self, name: str) -> str:
        if random.Random(name).random() >= self.fault_rate:
            return READABLE
        fault = FAULTS[self.num_faults % len(FAULTS)]
        self.num_faults += 1
        return READABLE if fault in REFUSALS and not self.has_answered else fault

    @property
    def counts(self) -> dict[str, Any]:
        """What was asked and sent back."""
        return {
            "calls": self.calls.total(),
            "faults": self.kinds.total() - self.kinds[READABLE],
            "busy": self.num_busy,
            "kinds": dict(self.kinds),
            "paid": self.paid.total(),
            "paid_twice": sum(number - 1 for number in self.paid.values() if number > 1),
            "waiting": self.num_waiting,
        }


def reply(request: dict[str, Any]) -> str:
    """Replies as a diligent oracle would."""
    text = request["messages"][0]["content"]
    step = next(step for step, words in STEPS.items() if words in text)
    if step == "rubric":
        return json.dumps({"attributes": [{"name": f"point {i}", "weight": 0.2} for i in range(5)]})
    if step == "elements":
        return json.dumps({"elements": [{"element": f"thing {i}", "direction": "increases"} for i in range(5)]})
    if step == "check":
        return json.dumps({"reason": "It is.", "verdict": "pass"})
    parts = dict(re.findall(r"<(answer|attribute)>\n(.*?)\n</\1>", text, re.DOTALL))
    way = "more" if "better in this attribute" in text else "less"
    return json.dumps({"plan": "Change it.", "response": f"{parts['answer']} [{way} {parts['attribute']}]"})


def spoil(kind: str, text: str) -> str:
    """Replies as an oracle would that does not do what it is told."""
    if kind in ("half a JSON", "cut off"):
        return text[: len(text) // 2]
    return {"no JSON": "I would rather not.", "wrong JSON": '{"attributes": 3}'}.get(kind, text)


def completion(text: str | None, *, cut_off: bool = False) -> bytes:
    """Writes a chat completion."""
    reason = "length" if cut_off else "stop"
    choice = {"index": 0, "finish_reason": reason, "message": {"role": "assistant", "content": text}}
    usage = {"prompt_tokens": 300, "completion_tokens": 60, "total_tokens": 360}
    head = {"id": "1", "object": "chat.completion", "created": 0, "model": "tiny"}
    return json.dumps(head | {"choices": [choice], "usage": usage}).encode()


async def _flood(kind: str, writer: asyncio.StreamWriter) -> None:
    megabyte = b"x" * 1_000_000
    in_chunks = kind == "20 MB in chunks"
    writer.write(_head(503 if kind == "20 MB of error" else 200, None if in_chunks else 20 * len(megabyte)))
    for _ in range(20):
        writer.write(b"%x\r\n%s\r\n" % (len(megabyte), megabyte) if in_chunks else megabyte)
        await writer.drain()
    writer.write(b"0\r\n\r\n" if in_chunks else b"")


def _head(status: int, length: int | None) -> bytes:
    size = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    return f"HTTP/1.1 {status} .\r\nContent-Type: application/json\r\n{size}\r\nretry-after-ms: 10\r\n\r\n".encode()


async def serve(server: OracleServer) -> None:
    """Serves on a free port, which is printed first; each further line of input is answered with the counts."""
    listening = await asyncio.start_server(server.handle, "127.0.0.1", 0)
    print(listening.sockets[0].getsockname()[1], flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        if line.startswith("stop after"):
            server.stop_after, server.has_answered = int(line.split()[-1]), False
        print(json.dumps(server.counts), flush=True)


if __name__ == "__main__":
    asyncio.run(serve(OracleServer(**json.loads(sys.argv[1]))))
