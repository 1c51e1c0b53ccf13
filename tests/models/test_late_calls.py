"""A server that is slow: what it does not answer in time is asked for again, and not for ever."""

import threading

from chat_server import HANG, ChatServer
from chat_server import sample as send_all
from in_time import whatever_the_speed

from align.models.samplers.endpoint import EndpointSampler
from align.models.samplers.sampler import Answer, Failure, Kind, Request

REQUESTS = [Request(f"q{i}", seed=0, max_new_tokens=5) for i in range(4)]


def text_of(body) -> str:
    return body["messages"][-1]["content"]


def sample(server, asked=REQUESTS, **limits):
    results = {}
    sampler = EndpointSampler(server.url, "tiny", concurrency=4, **limits)
    send_all(sampler, asked, results.__setitem__)
    return [results[i] for i in range(len(asked))], sampler


@whatever_the_speed(1.0, 10.0, 100.0)
def test_a_call_that_nothing_comes_of_is_made_again(seconds):
    with ChatServer(lambda body, before: HANG if before == 0 and text_of(body) == "q1" else "yes") as server:
        answers, sampler = sample(server, timeout=seconds)
    assert [answer.text for answer in answers] == ["yes"] * 4
    assert sorted(server.asked.values()) == [1, 1, 1, 2]
    assert dict(sampler.troubles) == {f"calls made again: no answer within {seconds:g} s": 1}


@whatever_the_speed(0.5, 5.0, 50.0)
def test_a_server_that_never_answers_is_asked_three_times_and_no_more(seconds):
    with ChatServer(lambda body, before: HANG if text_of(body) == "q2" else "yes") as server:
        answers, _ = sample(server, timeout=seconds)
        once, _ = sample(server, [Request("q2", seed=9)], timeout=seconds, max_retries=0)
    assert answers[2] == once[0] == Failure(f"no answer within {seconds:g} s", kind=Kind.PASSING)
    assert sum(isinstance(answer, Answer) for answer in answers) == 3
    assert sorted(server.asked.values()) == [1, 1, 1, 1, 3]


def test_an_answer_that_never_ends_is_given_up():
    stop = threading.Event()

    def drip(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        while not stop.wait(0.05):
            handler.wfile.write(b"{")

    with ChatServer(lambda body, before: drip) as server:
        answers, _ = sample(server, REQUESTS[:1], timeout=0.5, max_retries=0)
        stop.set()
    assert answers == [Failure("no answer within 0.5 s", kind=Kind.PASSING)]


def test_a_server_that_says_when_to_come_back_is_not_asked_before():
    def later(handler):
        handler.send_response(429)
        handler.send_header("retry-after-ms", "3000")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    with ChatServer(lambda body, before: later if before == 0 else "yes") as server:
        answers, sampler = sample(server)
    assert [answer.text for answer in answers] == ["yes"] * 4
    assert set(server.asked.values()) == {2}
    assert not sampler.troubles
