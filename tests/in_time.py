"""Tests of limits in seconds, whatever the speed of the machine."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

import pytest


def whatever_the_speed(*limits: float) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Tries a test with its `seconds` as these, in order, until it holds.

    A limit must be passed by what hangs, and kept by all that does not: on a busy machine one that is long enough.
    """

    def decorate(test: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(test)
        def tried(**fixtures: Any) -> None:
            for seconds in limits[:-1]:
                try:
                    return test(seconds=seconds, **fixtures)
                except (AssertionError, pytest.fail.Exception):
                    continue
            return test(seconds=limits[-1], **fixtures)

        signature = inspect.signature(test)
        others = [each for name, each in signature.parameters.items() if name != "seconds"]
        tried.__signature__ = signature.replace(parameters=others)
        return tried

    return decorate
