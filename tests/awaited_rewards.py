"""Rewards that are awaited, and keep from call to call what is bound to the event loop that first used it."""

import asyncio

import httpx

from rewards import completion_text


def in_turn():
    """Scores by the number of characters, one completion after the other."""
    turns = asyncio.Semaphore(1)

    async def one_by_one(completions, **kwargs):
        async def score(completion):
            async with turns:
                await asyncio.sleep(0)
                return float(len(completion_text(completion)))

        return await asyncio.gather(*map(score, completions))

    return one_by_one


def over_one_connection(url):
    """Scores by the number of characters, once a server has answered; the connection to it stays open."""
    client = httpx.AsyncClient()

    async def asks_a_server(completions, **kwargs):
        (await client.get(url)).raise_for_status()
        return [float(len(completion_text(completion))) for completion in completions]

    return asks_a_server
