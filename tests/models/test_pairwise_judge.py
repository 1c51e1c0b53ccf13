"""A judge of two answers behind a real HTTP server: both orders, groups, references, contradictions and outages."""

import asyncio
import json
import pickle

import pytest
from chat_server import ChatServer
from PIL import Image

from align import PairwiseJudge
from align.errors import UserError
from align.models.samplers.sampler import SamplerError
from rewards.running.guard import GuardSettings, guard_rewards

RUBRIC = "The shorter response is better."


def compare(reward, *responses, prompts=None, **columns):
    prompts = prompts or ["Say hello."] * len(responses)
    return asyncio.run(reward(prompts=prompts, completions=list(responses), **columns))


def shown(body):
    """Reads the responses A and B, which are on one line each."""
    text = body["messages"][0]["content"]
    return [text.split(f"Response {name}:\n")[1].split("\n")[1] for name in "AB"]


def shorter(body, times):
    first, second = map(len, shown(body))
    return json.dumps({"reason": "its length", "better": "tie" if first == second else "A" if first < second else "b"})


def judge(server, **settings):
    limits = {"max_retries": 0} | settings.pop("limits", {})
    return PairwiseJudge(RUBRIC, model="tiny", endpoint=server.url, limits=limits, **settings)


def test_a_response_earns_its_share_of_wins_over_the_others_of_its_prompt():
    logged = {}
    with ChatServer(shorter) as server:
        message = [{"role": "assistant", "content": "333"}]
        rows = {"prompts": ["p", "p", "p", "q", "q"], "log_metric": logged.__setitem__}
        assert compare(judge(server), "1", "22", message, "55555", "4444", **rows) == [1.0, 0.5, 0.0, 0.0, 1.0]
        orders = [tuple(shown(body)) for body in server.bodies]
    assert sorted(orders) == sorted((second, first) for first, second in orders)  # each pair in both orders
    assert len(orders) == 2 * (3 + 1)
    assert logged["pairwise_judge/disagreement_share"] == 0.0
    assert logged["pairwise_judge/first_share"] == 0.5
    assert logged["pairwise_judge/prompt_tokens"] == 7


def test_verdicts_that_contradict_each_other_are_a_tie_and_are_counted():
    logged = {}
    with ChatServer(lambda body, times: '{"better": "A"}') as server:  # whatever stands first
        assert compare(judge(server), "1", "22", log_metric=logged.__setitem__) == [0.5, 0.5]
    assert logged["pairwise_judge/disagreement_share"] == 1.0
    assert logged["pairwise_judge/first_share"] == 1.0


def test_the_same_text_is_a_tie_that_nobody_is_asked_about():
    with ChatServer(shorter) as server:
        assert compare(judge(server), "22", "22", "1") == [0.25, 0.25, 1.0]
        assert len(server.bodies) == 2  # "22" and "1" in both orders, once


def test_one_question_about_two_images_is_two_prompts():
    parts = [
        [{"type": "image", "image": Image.new("RGB", (2, 2), color)}, {"type": "text", "text": "What is it?"}]
        for color in ("red", "red", "blue", "blue")  # each row has an image of its own in memory
    ]
    with ChatServer(shorter) as server:
        prompts = [[{"role": "user", "content": each}] for each in parts]
        assert compare(judge(server), "1", "22", "333", "4444", prompts=prompts) == [1.0, 0.0, 1.0, 0.0]
        assert len(server.bodies) == 4


def test_a_reference_is_the_only_opponent_and_rows_are_scored_alone():
    with ChatServer(shorter) as server:
        reward = judge(server, reference="answer")
        assert not reward.whole_batch
        assert compare(reward, "1", "333", "1", answer=["22", "22", None]) == [1.0, 0.0, None]
        assert judge(server).whole_batch
        with pytest.raises(UserError, match="column 'answer', which the rows do not have"):
            compare(reward, "1")


def test_fewer_opponents_take_fewer_requests():
    with ChatServer(shorter) as server:
        found = compare(judge(server, opponents=2), *("x" * n for n in range(1, 7)))
        assert len(server.bodies) == 6 * 2
        assert found == [1.0, 0.5, 0.5, 0.5, 0.5, 0.0]


@pytest.mark.parametrize("reply", ["no JSON", '{"better": "C"}', '{"better": 1}', '{"winner": "A"}', ""])
def test_a_comparison_without_both_verdicts_is_no_reward(reply):
    logged = {}
    with ChatServer(lambda body, times: reply if len(shown(body)[0]) > 1 else shorter(body, times)) as server:
        assert compare(judge(server), "1", "22", log_metric=logged.__setitem__) == [None, None]
    assert logged["pairwise_judge/unread_share"] == 0.5


def test_an_outage_is_waited_for_and_what_was_answered_is_not_paid_for_again(monkeypatch, tmp_path):
    monkeypatch.setattr("align.models.samplers.limits.FIRST_PAUSE", 0.05)
    downs = iter([503, 503, 503])
    with ChatServer(lambda body, times: next(downs, None) or shorter(body, times)) as server:
        reward = judge(
            server, cache=str(tmp_path / "answers"), concurrency=1, prompt_price=10.0, completion_price=20.0
        )
        assert compare(reward, "1", "22") == [1.0, 0.0]
        spent = reward.take_spending()
        assert spent["requests"] == 2
        assert spent["waited_seconds"] > 0.02  # the server asks for 0.01, three times
        assert spent["cost"] == pytest.approx((2 * 7 * 10 + 2 * 3 * 20) / 1e6)
        anew = pickle.loads(pickle.dumps(reward))  # as in a process that goes on
        assert compare(anew, "1", "22") == [1.0, 0.0]
        spent = anew.take_spending()
        assert (spent["requests"], spent["cached"]) == (0, 2)
    gone = judge(server, outage_seconds=0.1)
    with pytest.raises(SamplerError, match="Nothing answers at"):
        compare(gone, "1", "22")
    (guarded,) = guard_rewards([gone], GuardSettings())
    assert asyncio.run(guarded(prompts=["p"] * 2, completions=["1", "22"], completion_ids=[[1]] * 2)) == [None, None]


def test_settings_are_checked_before_anything_is_asked(tmp_path):
    url = "http://localhost:1/v1"
    for settings, message in (
        ({"opponents": 0}, "`opponents` must be at least 1"),
        ({"opponents": 2, "reference": "answer"}, "Keep one"),
        ({"prompt_price": -1}, "`prompt_price` must be a number from 0"),
        ({"endpoint": None, "requests_per_minute": 3}, "`requests_per_minute` needs `endpoint`"),
        ({"endpoint": None, "model": "./none"}, "there is no folder ./none"),
    ):
        with pytest.raises(UserError, match=message):
            PairwiseJudge(**{"rubric": RUBRIC, "endpoint": url, "model": "m"} | settings)
    (tmp_path / "pytorch_model.bin").touch()
    with pytest.raises(UserError, match="pickled weights only"):
        PairwiseJudge(RUBRIC, model=str(tmp_path))


def test_the_cost_is_that_of_both_orders_of_every_pair():
    rows = [{"prompt": "p" * 400, "answer": "a" * 40}]
    settings = {"rubric": RUBRIC, "endpoint": "http://localhost:1/v1", "model": "m", "max_new_tokens": 10}
    every, two = (PairwiseJudge(**settings, opponents=n).estimate(rows, 8, 50) for n in (None, 2))
    assert (every.requests, two.requests) == (7, 2)  # of 28 pairs in two orders, and of 8, by 8 completions
    assert every.completion_tokens == 70
    against = PairwiseJudge(**settings, reference="answer").estimate(rows, 8, 50)
    assert against.requests == 2
    assert against.prompt_tokens < two.prompt_tokens
