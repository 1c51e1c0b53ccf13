import dataclasses

import pytest
from chat_server import ChatServer

from align.errors import UserError
from align.models.samplers.asking import SampledAnswers, ask, plan_requests
from align.models.samplers.endpoint import EndpointSampler
from align.models.samplers.input_images import InputImage
from align.models.samplers.sampler import Answer, Failure, Request, SamplerError, answer_key

REQUESTS = [Request(f"q{i}", seed=0, max_new_tokens=9) for i in range(8)]


def echo(body, before):
    return f"re: {body['messages'][-1]['content']}"


def test_what_was_answered_is_not_asked_again(tmp_path):
    with ChatServer(echo) as server:
        sampler = EndpointSampler(server.url, "tiny")
        with SampledAnswers(tmp_path) as cache:
            first = ask(sampler, REQUESTS[:5], cache, "")
        with SampledAnswers(tmp_path) as cache:
            plan = plan_requests(sampler, REQUESTS, cache)
            second = ask(sampler, REQUESTS, cache, "")
    assert (plan.num_unknown, plan.num_known, plan.max_completion_tokens) == (3, 5, 27)
    assert second[:5] == first
    assert [answer.text for answer in second] == [f"re: q{i}" for i in range(8)]
    assert set(server.asked.values()) == {1}


def test_equal_requests_are_asked_once_and_answered_each(tmp_path):
    with ChatServer(echo) as server, SampledAnswers(tmp_path) as cache:
        answers = ask(EndpointSampler(server.url, "tiny"), [*REQUESTS, *reversed(REQUESTS)], cache, "")
    assert answers == [*answers[:8], *reversed(answers[:8])]
    assert len(server.bodies) == 8


def test_a_failure_is_asked_again_by_the_next_run(tmp_path):
    with ChatServer(lambda body, before: 400 if before == 0 else "yes") as server, SampledAnswers(tmp_path) as cache:
        sampler = EndpointSampler(server.url, "tiny")
        assert all(isinstance(result, Failure) for result in ask(sampler, REQUESTS, cache, ""))
        assert all(isinstance(result, Answer) for result in ask(sampler, REQUESTS, cache, ""))


def test_what_was_answered_before_the_end_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("align.models.samplers.limits.TRIES_OF_KEY", 0)
    with ChatServer(lambda body, before: "yes" if "q0" in str(body) or before else 401) as server:
        sampler = EndpointSampler(server.url, "tiny", concurrency=1)
        with SampledAnswers(tmp_path) as cache, pytest.raises(SamplerError):
            ask(sampler, REQUESTS, cache, "")
        with SampledAnswers(tmp_path) as cache:
            assert plan_requests(sampler, REQUESTS, cache).num_known == 1


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Request)])
def test_everything_that_decides_an_answer_is_in_its_key(field):
    image = InputImage({"bytes": b"any", "path": None})
    other = {"prompt": [{"role": "user", "content": "q0"}], "images": (image,)}.get(field, 0.5)
    changed = dataclasses.replace(REQUESTS[0], **{field: other})
    assert answer_key({"model": "a"}, changed) != answer_key({"model": "a"}, REQUESTS[0])
    assert answer_key({"model": "b"}, changed) != answer_key({"model": "a"}, changed)


def test_no_answer_is_evicted(tmp_path):
    with SampledAnswers(tmp_path) as cache:
        assert cache._cache.eviction_policy == "none"


def test_a_cache_that_cannot_be_opened_is_named(tmp_path):
    (tmp_path / "cache.db").write_text("not a database, and longer than a header of one would be" * 4)
    with pytest.raises(UserError, match="cannot be kept in"):
        SampledAnswers(tmp_path)
