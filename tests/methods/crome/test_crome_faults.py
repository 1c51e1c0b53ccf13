"""Replies that are late, cut off, empty, too long or wrong."""

import pytest
from augmented import CALLS_PER_PAIR, augment, reasons_of, rows_of
from chat_server import DROP, ChatServer, completion
from oracle_replies import oracle_reply, step_of, text_of, write_preferences

from align.methods.crome.augmentation.family import CromeSettings, load_originals
from align.methods.crome.augmentation.oracles import NUM_RETRIES
from align.methods.crome.augmentation.pairs import augment_with_model
from align.models.samplers.asking import SampledAnswers
from align.models.samplers.endpoint import EndpointSampler

COUNT = 3


@pytest.fixture
def originals(tmp_path):
    return load_originals(write_preferences(tmp_path / "data.jsonl", COUNT))[0]


def test_a_reply_that_was_cut_off_is_asked_for_again_and_should_be_brief(originals, tmp_path):
    def long_winded(body, before):
        is_cut = step_of(body) == "rubric" and len(body["messages"]) < 4
        return completion(oracle_reply(body)[:40], "length") if is_cut else oracle_reply(body)

    families, tokens, server = augment(originals, tmp_path, long_winded)
    assert not reasons_of(families)
    again = [body["messages"] for body in server.bodies if len(body["messages"]) > 1]
    assert [len(messages) for messages in again].count(5) == COUNT
    assert all("because it is too long: be brief." in messages[-1]["content"] for messages in again)
    assert tokens.answers == len(server.bodies) == COUNT * (CALLS_PER_PAIR + 2), "what was cut off was paid for, too"


def test_replies_that_are_always_cut_off_are_counted_after_some_times(originals, tmp_path):
    def endless(body, before):
        return completion('{"attributes": [{"name": "a', "length") if step_of(body) == "rubric" else 400

    families, _, server = augment(originals, tmp_path, endless)
    assert len(server.bodies) == COUNT * (NUM_RETRIES + 1)
    assert set(reasons_of(families)) == {(s, "rubric: cut off at `max_new_tokens`") for s in ("upgrade", "degrade")}


def test_replies_without_content_are_counted_after_some_times_and_asked_again_by_the_next_run(originals, tmp_path):
    def silent(body, before):
        return completion(None) if step_of(body) == "check" and before < 3 else oracle_reply(body)

    with ChatServer(silent) as server, SampledAnswers(tmp_path) as cache:
        sampler = EndpointSampler(server.url, "tiny", concurrency=4)
        first, _ = augment_with_model(originals[:1], sampler, cache, CromeSettings(neutrals=["none"]), 4)
        second, _ = augment_with_model(originals[:1], sampler, cache, CromeSettings(neutrals=["none"]), 4)
    missing = {(s, "verification: error: the answer has no content"): 5 for s in ("upgrade", "degrade")}
    assert reasons_of(first) == missing
    assert not reasons_of(second)
    assert sampler.troubles["calls made again: the answer has no content"] == 2 * 10
    assert max(server.answered.values()) == 1


def test_a_reply_far_longer_than_allowed_is_not_sent_back(originals, tmp_path):
    def flood(body, before):
        long = "I would rather not. " * 10_000
        return long if len(body["messages"]) == 1 and step_of(body) == "rubric" else oracle_reply(body)

    families, _, server = augment(originals, tmp_path, flood, max_new_tokens=100)
    assert not reasons_of(families)
    assert max(len(message["content"]) for body in server.bodies for message in body["messages"]) < 2000


@pytest.mark.slow
@pytest.mark.nightly  # RRPO's in test_augment_command.py; each fault by itself in this file
def test_faults_of_the_server_and_the_oracle_change_no_row(originals, tmp_path):
    kinds = [
        429,
        500,
        503,
        b"<html>",
        b'{"choices": []}',
        DROP,
        completion(None),
        "No.",
        "{}",
        '{"attributes": 3}',
        None,
    ]

    def stumble(body, before):
        kind = kinds[sum(text_of(body).encode()) % len(kinds)]
        is_first = before == 0 and len(body["messages"]) == 1
        return kind if kind is not None and is_first else oracle_reply(body)

    clean, tokens, _ = augment(originals, tmp_path / "clean", oracle_reply)
    families, more, server = augment(originals, tmp_path / "faults", stumble)
    assert [drop_names(row) for row in rows_of(families)] == [drop_names(row) for row in rows_of(clean)]
    assert not reasons_of(families)
    assert max(server.answered.values()) == 1
    assert more.answers == sum(server.answered.values()) > tokens.answers  # bad replies were paid for, too


def drop_names(row):
    return {key: value for key, value in row.items() if key not in ("generator", "check")}
