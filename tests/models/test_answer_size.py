"""An answer that grows too large is refused while it is read."""

import tracemalloc

import pytest
from chat_server import ChatServer, sample

from align.models.samplers.endpoint import EndpointSampler
from align.models.samplers.sampler import Failure, Request

MEGABYTE = b"x" * 1_000_000
NUM_MEGABYTES = 20


class Flood:
    """Sends 20 MB and counts how much of it was taken."""

    def __init__(self, status, declared):
        self.status, self.declared, self.sent = status, declared, []

    def __call__(self, handler):
        handler.send_response(self.status)
        if self.declared:
            handler.send_header("Content-Length", str(NUM_MEGABYTES * len(MEGABYTE)))
        else:
            handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        self.sent.append(0)
        handler.close_connection = True
        try:
            for _ in range(NUM_MEGABYTES):
                handler.wfile.write(MEGABYTE if self.declared else b"%x\r\n%s\r\n" % (len(MEGABYTE), MEGABYTE))
                self.sent[-1] += 1
        except ConnectionError:
            pass  # whoever asked hung up


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize(
    ("status", "reason", "num_calls"),
    [
        (200, "the answer is larger than 0.5 MB", 2),
        (400, "the server answered 400", 1),
        (500, "the server answered 500", 2),
    ],
)
def test_twenty_megabytes_are_refused_on_the_way_and_cost_no_other_its_answer(
    status, reason, num_calls, declared, monkeypatch
):
    monkeypatch.setattr("align.models.samplers.chat_calls.MOST_MEGABYTES", 0.5)
    flood, results = Flood(status, declared), {}
    with ChatServer(lambda body, before: flood if "q1" in str(body) else "yes") as server:
        sampler = EndpointSampler(server.url, "tiny", concurrency=1, max_retries=1)
        sample(sampler, [Request("q0", seed=1)], lambda i, result: None)  # imports take memory, too
        tracemalloc.start()
        sample(sampler, [Request(f"q{i}", seed=0) for i in range(3)], results.__setitem__)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert isinstance(results[1], Failure)
    assert results[1].reason == reason
    assert len(results[1].detail) <= 200
    assert [results[0].text, results[2].text] == ["yes", "yes"]
    assert len(flood.sent) == num_calls
    assert max(flood.sent) < 12, "the rest was taken from the line"  # what buffers of the sockets hold is on its way
    assert peak < 6e6


def test_one_that_is_too_large_is_asked_for_again():
    flood, results = Flood(200, declared=False), {}
    with ChatServer(lambda body, before: flood if before == 0 else "yes") as server:
        sampler = EndpointSampler(server.url, "tiny")
        sample(sampler, [Request("q", seed=0)], results.__setitem__)
    assert results[0].text == "yes"
    assert dict(sampler.troubles) == {"calls made again: the answer is larger than 4 MB": 1}


def test_answers_are_to_come_as_they_are_counted():
    """A few compressed bytes may hold many megabytes."""
    asked = []

    def reply(body, before):
        return lambda handler: (asked.append(handler.headers["Accept-Encoding"]), handler.answer("", "yes"))

    with ChatServer(reply) as server:
        sample(EndpointSampler(server.url, "tiny"), [Request("q", seed=0)], lambda i, result: None)
    assert asked == ["identity"]
