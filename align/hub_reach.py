"""Whether the hub can be reached, asked once and without the half minute of retries that each of its files gets."""

import os
import sys
from functools import cache
from typing import Any, NamedTuple

from align.console import say

SECONDS = 5.0


class Answer(NamedTuple):
    """What the hub said to one question.

    Attributes:
        unreachable: Why nothing was said; empty if something was.
        status: Of HTTP; 0 if nothing was said.
        code: The hub's own word for an error, such as `GatedRepo`.
    """

    unreachable: str = ""
    status: int = 0
    code: str = ""


def ask_hub(path: str) -> Answer:
    """Asks for the head of a file, without following where it leads."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return Answer("HF_HUB_OFFLINE is set")
    return _ask(f"{constants.ENDPOINT}/{path}")


@cache
def _ask(url: str) -> Answer:
    from huggingface_hub.utils import build_hf_headers, get_session

    try:
        response: Any = get_session().head(url, headers=build_hf_headers(), timeout=SECONDS, follow_redirects=False)
    except Exception as error:  # of httpx, of httpx2 from huggingface_hub 2 on, and of what lies below
        return Answer(str(error).strip() or type(error).__name__)
    return Answer("", response.status_code, response.headers.get("X-Error-Code", ""))


def go_offline(answer: Answer, what: str) -> None:
    """Has what is in the cache be used at once where the hub cannot be reached."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE or not answer.unreachable:
        return
    say(f"{constants.ENDPOINT} cannot be reached ({answer.unreachable}): {what} is looked for in the cache.")
    constants.HF_HUB_OFFLINE = True
    if "datasets" in sys.modules:  # which copies it as it is imported
        sys.modules["datasets"].config.HF_HUB_OFFLINE = True
    os.environ["HF_HUB_OFFLINE"] = "1"  # of workers and servers that are started from here
