"""A server that is slow: what it works on already is not asked for again, and what it never answers is."""

import threading
import time

from chat_server import HANG, ChatServer
from chat_server import sample as send_all

from align.models.samplers.asking import SampledAnswers, ask
from align.models.samplers.endpoint import EndpointSampler
from align.models.samplers.sampler import Answer, Failure, Kind, Request

REQUESTS = [Request(f"q{i}", seed=0, max_new_tokens=5) for i in range(4)]
HEADER = "Idempotency-Key"


def text_of(body) -> str:
    return body["messages"][-1]["content"]


def sampler_for(server, **limits):
    return EndpointSampler(server.url, "tiny", concurrency=4, **limits)


def sample(server, asked=REQUESTS, **limits):
    results = {}
    sampler = sampler_for(server, **limits)
    send_all(sampler, asked, results.__setitem__)
    return [results[i] for i in range(len(asked))], sampler


def answer_when(happened, text="late"):
    def answer(handler):
        while not happened():
            time.sleep(0.01)
        handler.answer("late", text)

    return answer


def test_an_answer_after_the_timeout_is_taken_and_kept_and_its_call_made_once(tmp_path, capfd):
    def all_are_late():
        return sum(sampler.troubles.values()) == 3

    with ChatServer(lambda body, before: answer_when(all_are_late) if text_of(body) != "q0" else "soon") as server:
        sampler = sampler_for(server, timeout=1.5, late_timeout=60)
        with SampledAnswers(tmp_path) as cache:
            first = ask(sampler, REQUESTS, cache, "")
            again = ask(sampler, REQUESTS, cache, "")
    assert [answer.text for answer in first] == ["soon", "late", "late", "late"]
    assert again == first
    assert set(server.asked.values()) == {1}, "a call that was late was made, and paid for, twice"
    assert list(sampler.troubles.values()) == [3]
    assert capfd.readouterr().err.count("has not answered a call for 1.5 s. Its connection stays open") == 1


def test_a_call_that_nothing_comes_of_is_made_once_more():
    with ChatServer(lambda body, before: HANG if before == 0 and text_of(body) == "q1" else "yes") as server:
        answers, sampler = sample(server, timeout=0.5, late_timeout=1.5)
    assert [answer.text for answer in answers] == ["yes"] * 4
    assert sorted(server.asked.values()) == [1, 1, 1, 2]
    assert sampler.troubles["calls made again without an answer to the first; the server may charge for both"] == 1


def test_the_first_call_still_counts_when_it_was_made_once_more():
    def again():
        return len(server.bodies) == 2

    with ChatServer(lambda body, before: answer_when(again, "first") if before == 0 else HANG) as server:
        answers, _ = sample(server, REQUESTS[:1], timeout=0.2, late_timeout=1.8)
    assert answers[0].text == "first"
    assert set(server.asked.values()) == {2}


def test_a_call_that_is_lost_leaves_the_other_one_its_time():
    def reply(body, before):
        return HANG if before == 0 else 400

    with ChatServer(reply) as server:
        answers, _ = sample(server, REQUESTS[:1], timeout=0.2, late_timeout=0.2)
    assert answers == [Failure("no answer within 0.4 s", kind=Kind.PASSING)]


def test_a_server_that_never_answers_is_asked_twice_and_no_more():
    with ChatServer(lambda body, before: HANG if text_of(body) == "q2" else "yes") as server:
        answers, _ = sample(server, timeout=0.5, late_timeout=1.0)
        once, _ = sample(server, [Request("q2", seed=9)], timeout=0.5, late_timeout=1.0, max_retries=0)
    assert answers[2] == once[0] == Failure("no answer within 1.5 s", kind=Kind.PASSING)
    assert sum(isinstance(answer, Answer) for answer in answers) == 3
    assert sorted(server.asked.values()) == [1, 1, 1, 1, 2]


def test_an_answer_that_never_ends_is_given_up():
    stop = threading.Event()

    def drip(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        while not stop.wait(0.05):
            handler.wfile.write(b"{")

    with ChatServer(lambda body, before: drip) as server:
        answers, _ = sample(server, REQUESTS[:1], timeout=0.2, late_timeout=0.3, max_retries=0)
        stop.set()
    assert answers == [Failure("no answer within 0.5 s", kind=Kind.PASSING)]


def test_a_server_that_says_when_to_come_back_is_not_asked_before():
    def later(handler):
        handler.send_response(429)
        handler.send_header("retry-after-ms", "3000")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    with ChatServer(lambda body, before: later if before == 0 else "yes") as server:
        answers, sampler = sample(server, timeout=1.0, late_timeout=1.0)
    assert [answer.text for answer in answers] == ["yes"] * 4
    assert set(server.asked.values()) == {2}
    assert not sampler.troubles


def test_a_call_has_the_same_name_whenever_it_is_made_where_the_server_wants_one():
    names = {}

    def note(body, before):
        def answer(handler):
            names.setdefault(text_of(body), []).append(handler.headers[HEADER])
            handler.answer("", HANG if before == 0 and text_of(body) == "q1" else "yes")

        return answer

    with ChatServer(note) as server:
        for _ in range(2):  # as after a kill
            sample(server, timeout=1.0, late_timeout=1.0, idempotency_header=HEADER)
        assert [len(each) for _, each in sorted(names.items())] == [2, 3, 2, 2]
        assert [len(set(each)) for each in names.values()] == [1] * 4
        assert len({each[0] for each in names.values()}) == 4
        names.clear()
        sample(server, REQUESTS[:1])
    assert names == {"q0": [None]}
