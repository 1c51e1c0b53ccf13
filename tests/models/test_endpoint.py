import json
import threading
import time

import pytest
from chat_server import DROP, ChatServer, completion, shown_images
from chat_server import sample as send_all

from align.models.samplers.connection import FAILURES_IN_A_ROW
from align.models.samplers.endpoint import EndpointSampler
from align.models.samplers.input_images import InputImage
from align.models.samplers.sampler import Answer, Failure, Kind, Request, SamplerError

KEY = "sk-not-for-print"


def text_of(body) -> str:
    return body["messages"][-1]["content"]


def echo(body, before):
    return f"re: {text_of(body)}"


def requests(count=6):
    return [Request(f"q{i}", seed=i, max_new_tokens=5) for i in range(count)]


def sample(server, asked, **settings):
    results = {}
    settings = {"model": "tiny", "timeout": 20.0, "concurrency": 4} | settings
    send_all(EndpointSampler(server.url, **settings), asked, results.__setitem__)
    return [results[i] for i in range(len(asked))]


def test_each_request_gets_its_own_answer_and_sends_what_decides_it():
    with ChatServer(echo) as server:
        answers = sample(server, requests())
    assert answers == [Answer(f"re: q{i}", False, 7, 3) for i in range(6)]
    body = next(body for body in server.bodies if text_of(body) == "q3")
    assert body.items() >= {"model": "tiny", "seed": 3, "max_tokens": 5, "temperature": 1.0, "top_p": 1.0}.items()


def test_messages_are_sent_as_they_are():
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "q"}]
    with ChatServer(echo) as server:
        sample(server, [Request(messages, seed=0)])
    assert server.bodies[0]["messages"] == messages


def test_images_are_sent_in_front_of_the_text_and_one_that_is_gone_costs_no_other_its_answer(tmp_path):
    pytest.importorskip("PIL.Image", reason="needs the extra `vision`")
    from scenes import Black, write_squares

    paths = write_squares(tmp_path, ("red", "green"))
    images = (InputImage(paths[0], Black()), InputImage(paths[1]))
    asked = [Request("q", seed=0, images=images), Request("q", seed=0, images=(InputImage(str(tmp_path / "no.png")),))]
    with ChatServer(lambda body, before: "yes") as server:
        answers = sample(server, asked)
    assert answers[0].text == "yes"
    assert answers[1].reason == "an image cannot be read"
    ((message,),) = (body["messages"] for body in server.bodies)
    assert (message["role"], message["content"][-1]) == ("user", {"type": "text", "text": "q"})
    black, green = shown_images(message["content"])
    assert black.size == green.size == (56, 56)
    assert black.getextrema() == ((0, 0),) * 3
    assert green.getpixel((20, 20)) == pytest.approx((40, 180, 60), abs=8)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_errors_of_the_server_are_tried_again(status):
    with ChatServer(lambda body, before: status if before < 2 else "yes") as server:
        assert [answer.text for answer in sample(server, requests())] == ["yes"] * 6
    assert set(server.asked.values()) == {3}


@pytest.mark.parametrize(
    ("reply", "reason", "kind"),
    [
        (500, "answered 500", Kind.PASSING),
        (429, "answered 429", Kind.PASSING),
        (400, "answered 400", Kind.REFUSED),
        (b"<html>Bad gateway</html>", "no chat completion", Kind.OTHER),
        (b'{"choices": []}', "no chat completion", Kind.OTHER),
        (b'{"choices": [{"message": {"content": 3}}]}', "no chat completion", Kind.OTHER),
        (b'["x"]', "no chat completion", Kind.OTHER),
        (b'{"choices": [', "no chat completion", Kind.OTHER),
        (b'{"choices": [3]}', "no chat completion", Kind.OTHER),
        (b'{"choices": ["yes"]}', "no chat completion", Kind.OTHER),
        (b'{"choices": [{"message": 3}]}', "no chat completion", Kind.OTHER),
        (b"[" * 200_000, "no chat completion", Kind.OTHER),
        (b'{"choices": [{"message": {"content": null}}]}', "no content", Kind.OTHER),
    ],
)
def test_a_request_that_keeps_failing_costs_no_other_its_answer(reply, reason, kind):
    with ChatServer(lambda body, before: reply if text_of(body) == "q2" else "yes") as server:
        answers = sample(server, requests(), max_retries=1)
    assert isinstance(answers[2], Failure)
    assert reason in answers[2].reason
    assert answers[2].kind is kind
    assert [answer.text for i, answer in enumerate(answers) if i != 2] == ["yes"] * 5


@pytest.mark.parametrize("garbage", [b"<html>", b'{"choices": [', b"{}", DROP])
def test_garbage_is_asked_for_again(garbage):
    with ChatServer(lambda body, before: garbage if before == 0 else "yes") as server:
        assert sample(server, requests(1))[0].text == "yes"


def test_a_connection_that_is_always_cut_for_one_request_costs_no_other_its_answer():
    with ChatServer(lambda body, before: DROP if text_of(body) == "q2" else "yes") as server:
        answers = sample(server, requests(), max_retries=1, concurrency=1)
    assert (answers[2].reason, answers[2].kind) == ("the connection was lost", Kind.PASSING)
    assert sum(isinstance(answer, Answer) for answer in answers) == 5


@pytest.mark.parametrize("told", [None, "many", -1, 10**30, [3], True])
def test_tokens_that_a_server_cannot_count_are_none(told):
    written = json.loads(completion("It is")) | {"usage": {"prompt_tokens": told, "completion_tokens": 7}}
    with ChatServer(lambda body, before: json.dumps(written).encode()) as server:
        (answer,) = sample(server, requests(1))
    assert (answer.text, answer.prompt_tokens, answer.completion_tokens) == ("It is", 0, 7)


def test_an_answer_at_its_limit_is_cut_off():
    with ChatServer(lambda body, before: completion("It is", "length")) as server:
        assert sample(server, requests(1))[0].cut_off


def test_an_answer_without_content_is_asked_for_again_as_often_as_allowed():
    with ChatServer(lambda body, before: completion(None) if before < 2 else "yes") as server:
        assert sample(server, requests(1))[0].text == "yes"
        assert sample(server, [Request("other", seed=0)], max_retries=1) == [Failure("the answer has no content")]
    assert sorted(server.asked.values()) == [2, 3]


def test_a_model_that_thought_until_its_tokens_were_used_up_was_cut_off():
    with ChatServer(lambda body, before: completion(None, "length")) as server:
        assert sample(server, requests(1)) == [Answer("", True, 7, 3)]


def test_no_more_calls_than_allowed_are_on_their_way_at_once():
    three = threading.Barrier(3, timeout=120)

    def together(body, before):
        three.wait()
        time.sleep(0.05)  # for a fourth one to come
        return "yes"

    with ChatServer(together) as server:
        sample(server, requests(24), concurrency=3)
    assert server.most_at_once == 3


def test_a_refused_key_names_its_variable_and_not_the_key(monkeypatch):
    monkeypatch.setenv("MY_KEY", KEY)
    with ChatServer(echo, key="another") as server, pytest.raises(SamplerError, match="401: the variable MY_KEY") as e:
        sample(server, requests(), api_key_env="MY_KEY")
    assert KEY not in str(e.value)


def test_a_missing_key_says_that_the_variable_is_not_set(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with (
        ChatServer(echo, key="another") as server,
        pytest.raises(SamplerError, match="variable OPENAI_API_KEY is not set"),
    ):
        sample(server, requests())
    with pytest.raises(SamplerError, match="MISSING_KEY, which should hold the API key, is not set"):
        EndpointSampler("http://localhost/v1", "tiny", api_key_env="MISSING_KEY")


def test_space_around_a_key_is_no_part_of_it(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", f" {KEY}\n")
    with ChatServer(echo, key=KEY) as server:
        assert sample(server, requests(1))[0].text == "re: q0"


def test_a_key_that_no_header_can_hold_is_refused_without_showing_it(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\nmore")
    with pytest.raises(SamplerError, match="variable OPENAI_API_KEY holds more than an API key") as e:
        EndpointSampler("http://localhost/v1", "tiny")
    assert KEY not in str(e.value)


def test_a_key_that_the_server_repeats_is_hidden(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with ChatServer(lambda body, before: 400, key=KEY) as server:
        answers = sample(server, requests(1))
    assert answers[0] == Failure("the server answered 400", "Error code: 400 - no, ***", Kind.REFUSED)


def test_a_wrong_model_name_lists_those_that_are_served():
    with ChatServer(echo) as server, pytest.raises(SamplerError, match=r"model 'tinny'\. It serves: tiny\."):
        sample(server, requests(), model="tinny")


def test_where_nothing_listens_one_sentence_says_so():
    with ChatServer(echo) as server:
        pass
    with pytest.raises(SamplerError, match=r"Nothing answers at http://127.0.0.1:\d+/v1"):
        sample(server, requests(), max_retries=1)


def test_when_nobody_answers_any_more_the_run_ends_and_keeps_what_it_has():
    results = {}
    with ChatServer(lambda body, before: "yes" if int(text_of(body)[1:]) < 5 else 500) as server:
        sampler = EndpointSampler(server.url, "tiny", concurrency=1, max_retries=0)
        with pytest.raises(SamplerError, match="20 requests in a row failed"):
            send_all(sampler, requests(200), results.__setitem__)
    assert [results[i].text for i in range(5)] == ["yes"] * 5
    assert len(results) == 5 + FAILURES_IN_A_ROW


def test_many_requests_that_are_refused_for_themselves_end_no_run_that_was_answered_before():
    with ChatServer(lambda body, before: "yes" if text_of(body) in ("q0", "q59") else 400) as server:
        answers = sample(server, requests(60), concurrency=1)
    assert answers[59].text == "yes"
    assert sum(isinstance(answer, Failure) for answer in answers) == 58


def test_a_key_in_an_answer_is_hidden_and_a_word_in_its_place_is_not(monkeypatch):
    for key, text in ((KEY, "The key is ***."), ("EMPTY", "The key is EMPTY.")):
        monkeypatch.setenv("OPENAI_API_KEY", key)
        with ChatServer(lambda body, before, key=key: f"The key is {key}.", key=key) as server:
            assert sample(server, requests(1))[0].text == text


def test_secrets_in_the_address_are_not_part_of_name_and_identity():
    sampler = EndpointSampler(f"https://me:{KEY}@host:1/v1/?key={KEY}", "tiny")
    assert sampler.identity == {"endpoint": "https://host:1/v1", "model": "tiny"}
    assert KEY not in sampler.name


def test_an_endpoint_must_be_a_url():
    with pytest.raises(SamplerError, match="`endpoint` must be a URL"):
        EndpointSampler("localhost:8000", "tiny")
