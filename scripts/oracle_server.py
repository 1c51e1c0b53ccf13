"""A stand-in for an oracle: a chat-completions server that takes its time and fails on demand; for `bench_augment.py`.

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

FAULTS = ("429", "500", "503", "page", "half", "no JSON", "wrong JSON")
READABLE = "readable reply"
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
        fault_rate: Share of prompts whose first call fails, in one of the `FAULTS`.
        stop_after: Answers after which every further call is left waiting; 0 for none.
    """

    delay: float
    fault_rate: float = 0.0
    stop_after: int = 0
    kinds: Counter[str] = field(default_factory=Counter)  # of what was sent back
    calls: Counter[str] = field(default_factory=Counter)  # by prompt
    paid: Counter[str] = field(default_factory=Counter)  # answers by prompt
    num_waiting: int = 0
    never: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers the requests of one connection."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = re.search(rb"(?i)content-length: (\d+)", head)
                body = await reader.readexactly(int(length[1])) if length else b""
                writer.write(await self._answer(body))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, body: bytes) -> bytes:
        request = json.loads(body)
        name = json.dumps(request["messages"])
        before, self.calls[name] = self.calls[name], self.calls[name] + 1
        if self.stop_after and self.paid.total() >= self.stop_after:
            self.num_waiting += 1
            await self.never.wait()
        fault = self._draw_fault(name) if before == 0 and len(request["messages"]) == 1 else READABLE
        is_paid = fault in (READABLE, "no JSON", "wrong JSON")
        self.paid[name] += is_paid
        self.kinds[fault] += 1
        await asyncio.sleep(self.delay)
        if fault.isdigit():
            return _http(int(fault), b'{"error": {"message": "not now"}}')
        if fault == "page":
            return _http(200, b"<html>Bad gateway</html>", "text/html")
        text = {"no JSON": "I would rather not.", "wrong JSON": '{"attributes": 3}'}.get(fault) or reply(request)
        content = _completion(text)
        return _http(200, content[: len(content) // 2] if fault == "half" else content)

    def _draw_fault(self, name: str) -> str:
        rng = random.Random(name)
        return rng.choice(FAULTS) if rng.random() < self.fault_rate else READABLE

    @property
    def counts(self) -> dict[str, Any]:
        """What was asked and sent back."""
        return {
            "calls": self.calls.total(),
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


def _completion(text: str) -> bytes:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    usage = {"prompt_tokens": 300, "completion_tokens": 60, "total_tokens": 360}
    head = {"id": "1", "object": "chat.completion", "created": 0, "model": "tiny"}
    return json.dumps(head | {"choices": [choice], "usage": usage}).encode()


def _http(status: int, content: bytes, kind: str = "application/json") -> bytes:
    head = (
        f"HTTP/1.1 {status} .\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\nretry-after-ms: 10\r\n\r\n"
    )
    return head.encode() + content


async def serve(server: OracleServer) -> None:
    """Serves on a free port, which is printed first; each further line of input is answered with the counts."""
    listening = await asyncio.start_server(server.handle, "127.0.0.1", 0)
    print(listening.sockets[0].getsockname()[1], flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        if line.startswith("go on"):
            server.stop_after = 0
        print(json.dumps(server.counts), flush=True)


if __name__ == "__main__":
    asyncio.run(serve(OracleServer(**json.loads(sys.argv[1]))))
