"""What the pipeline makes of answers that a real server gives."""

from collections import Counter

from chat_server import ChatServer

from align.methods.crome.augmentation.family import CromeSettings
from align.methods.crome.augmentation.pairs import augment_with_model
from align.models.samplers.asking import SampledAnswers
from align.models.samplers.endpoint import EndpointSampler

CALLS_PER_PAIR = 1 + 5 + 10 + 10  # rubric, elements, edits, verifications


def augment(originals, tmp_path, reply, *, concurrency=4, max_retries=5, timeout=20.0, **settings):
    """Runs the pipeline against a server and returns its families, tokens and the server."""
    with ChatServer(reply) as server, SampledAnswers(tmp_path / "cache") as cache:
        limits = {"concurrency": concurrency, "max_retries": max_retries, "timeout": timeout}
        # One name for the model whatever the port, so that runs share a cache.
        sampler = EndpointSampler(server.url, "tiny", **limits)
        families, tokens = augment_with_model(originals, sampler, cache, CromeSettings(**settings), concurrency)
    return families, tokens, server


def rows_of(families):
    return [row for family in families for row in family.rows]


def reasons_of(families):
    return Counter((each.source, each.reason) for family in families for each in family.left_out)
