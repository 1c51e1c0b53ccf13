"""A key that is refused: at once where it never worked, and after a while where it did."""

import time

import pytest
from chat_server import ChatServer, sample

from align.models.samplers import limits
from align.models.samplers.asking import SampledAnswers, ask, plan_requests
from align.models.samplers.endpoint import EndpointSampler
from align.models.samplers.sampler import Answer, Failure, Request, SamplerError

KEY = "sk-not-for-print"
REQUESTS = [Request(f"q{i}", seed=0, max_new_tokens=5) for i in range(8)]


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture
def short_pauses(monkeypatch):
    monkeypatch.setattr(limits, "FIRST_PAUSE_OF_KEY", 0.05)


def number_of(body) -> int:
    return int(body["messages"][-1]["content"][1:])


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_never_worked_is_refused_at_once(status, monkeypatch):
    monkeypatch.setattr(limits, "FIRST_PAUSE_OF_KEY", 100.0)
    with ChatServer(lambda body, before: status) as server:
        sampler = EndpointSampler(server.url, "tiny", concurrency=1)
        start = time.monotonic()
        with pytest.raises(SamplerError, match=f"answered {status}: the variable OPENAI_API_KEY holds a key that is"):
            sample(sampler, REQUESTS, lambda i, result: None)
    assert time.monotonic() - start < limits.FIRST_PAUSE_OF_KEY
    assert len(server.bodies) == 1


@pytest.mark.by_day("401")
@pytest.mark.parametrize("status", [401, 403])
def test_one_that_worked_is_tried_on_and_nothing_is_lost(status, short_pauses, tmp_path, capfd):
    """The second to the fifth call on their way are refused, three times each."""
    with ChatServer(lambda body, before: status if 2 <= number_of(body) < 6 and before < 3 else "yes") as server:
        sampler = EndpointSampler(server.url, "tiny", concurrency=1)
        with SampledAnswers(tmp_path) as cache:
            answers = ask(sampler, REQUESTS, cache, "")
    assert [answer.text for answer in answers] == ["yes"] * 8
    assert sorted(server.asked.values()) == [1] * 4 + [4] * 4
    assert dict(sampler.troubles) == {f"calls made again: the server answered {status}": 12}
    said = capfd.readouterr().err
    assert said.count(f"answered {status} to a key that it had accepted before. Calls are made again.") == 1
    assert KEY not in said


def test_the_run_ends_with_a_sentence_and_goes_on_from_there(short_pauses, tmp_path):
    accepts = False

    def reply(body, before):
        return "yes" if number_of(body) < 3 or accepts else 401

    with ChatServer(reply) as server, SampledAnswers(tmp_path) as cache:
        sampler = EndpointSampler(server.url, "tiny", concurrency=2)
        with pytest.raises(SamplerError) as error:
            ask(sampler, REQUESTS, cache, "")
        refused = len(server.bodies) - 3
        assert limits.TRIES_OF_KEY < refused <= 2 * (limits.TRIES_OF_KEY + 1), "of two calls on their way"
        assert plan_requests(sampler, REQUESTS, cache).num_known == 3
        accepts = True
        answers = ask(sampler, REQUESTS, cache, "")
    assert all(isinstance(answer, Answer) for answer in answers)
    assert set(server.answered.values()) == {1}
    assert "goes on to answer 401 to a key that it had accepted" in str(error.value)
    assert str(error.value).endswith("What was answered is kept: run the same command to go on.")
    assert KEY not in str(error.value)


def test_a_request_that_is_refused_for_itself_ends_no_run(short_pauses):
    """As by a gateway that does not like its words."""
    results = {}
    with ChatServer(lambda body, before: 403 if number_of(body) == 3 else (time.sleep(0.1), "yes")[1]) as server:
        sampler = EndpointSampler(server.url, "tiny", concurrency=2)
        sample(sampler, [*REQUESTS, *(Request(f"q{i}", seed=1) for i in range(10, 40))], results.__setitem__)
    refusal = results.pop(3)
    assert isinstance(refusal, Failure)
    assert refusal.reason == "the server answered 403"
    assert all(isinstance(result, Answer) for result in results.values())
    refused = sum(number for name, number in server.asked.items() if '"q3"' in name)
    assert refused == limits.TRIES_OF_KEY + 1
