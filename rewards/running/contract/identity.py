"""What a reward says of itself: whether its name and its attributes can be believed."""

from collections.abc import Callable, Iterator
from typing import Any

NOT_AN_ATTRIBUTE = "an_attribute_that_no_reward_has"
NAME_REMEDY = "Give it one short text as `__name__`: logs, tables and keys of the recipe call it so."


def answers_to_all(func: Callable[..., Any]) -> bool:
    """Tells whether a reward has every attribute that it is asked for, so that none tells anything."""
    return hasattr(func, NOT_AN_ATTRIBUTE)


def check_identity(func: Callable[..., Any]) -> Iterator[tuple[str, str, str]]:
    """Yields kind, sentence and remedy of what cannot be believed."""
    func = vars(func).get("_func", func) if hasattr(func, "__dict__") else func  # what a spec is bound to
    if answers_to_all(func):
        text = "has every attribute that it is asked for, so that it seems to read whole batches and to ask a model"
        yield "any_attribute", text, "Raise `AttributeError` in `__getattr__` for names that it does not know."
    first, second = (getattr(func, "__name__", type(func).__name__) for _ in range(2))
    if first != second:
        yield "odd_name", f"has another name whenever it is asked, {first!r:.60} and {second!r:.60}", NAME_REMEDY
    elif not isinstance(first, str):
        yield "odd_name", f"has a {type(first).__name__} as its name, {first!r:.60}", NAME_REMEDY
    elif not first.strip() or not first.isprintable() or "/" in first:
        yield "odd_name", f"is called {first!r:.60}, and its numbers are logged as `rewards/NAME/mean`", NAME_REMEDY
