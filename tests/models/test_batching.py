import asyncio

import pytest

from align.models.samplers.local_model import BatchingConnection
from align.models.samplers.sampler import Answer, Request, SamplerError


def ask_all(connection, texts, chain=1):
    """Asks side by side, each text `chain` times in a row."""

    async def ask(text):
        answers = [await connection.answer(Request(f"{text}{i}", seed=0)) for i in range(chain)]
        return [answer.text for answer in answers]

    async def main():
        return await asyncio.gather(*map(ask, texts), return_exceptions=True)

    return asyncio.run(main())


def test_requests_that_wait_together_are_answered_together_and_each_gets_its_own():
    sizes = []

    def sample(requests, on_result):
        sizes.append(len(requests))
        for i in reversed(range(len(requests))):
            on_result(i, Answer(f"re: {requests[i].prompt}", False, 1, 1))

    answers = ask_all(BatchingConnection(sample), "abcd", chain=3)
    assert answers == [[f"re: {name}{i}" for i in range(3)] for name in "abcd"]
    assert sizes == [4, 4, 4]


def test_an_error_reaches_all_that_wait_and_not_those_who_were_answered():
    def sample(requests, on_result):
        on_result(0, Answer("yes", False, 1, 1))
        raise SamplerError("out of memory")

    first, *others = ask_all(BatchingConnection(sample), "abc")
    assert first == ["yes"]
    assert [str(error) for error in others] == ["out of memory"] * 2


def test_after_an_error_the_next_request_is_tried():
    calls = []

    def sample(requests, on_result):
        calls.append(requests)
        if len(calls) == 1:
            raise SamplerError("once")
        on_result(0, Answer("yes", False, 1, 1))

    async def main():
        connection = BatchingConnection(sample)
        with pytest.raises(SamplerError, match="once"):
            await connection.answer(Request("a", seed=0))
        return await connection.answer(Request("b", seed=0))

    assert asyncio.run(main()).text == "yes"
