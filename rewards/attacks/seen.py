"""What a hack is: a function of what a policy can see of a row, which returns a response."""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

from rewards.reading.responses import DEFAULT_FORMAT, ResponseFormat


class Seen(NamedTuple):
    """What a policy can know of a row, which is not its right answer."""

    prompt: str
    options: tuple[str, ...] = ()  # of a multiple-choice question
    golds: tuple[str, ...] = ()  # right answers of all rows, each once, the most common first; none of programs
    wrong: str = "something else"  # an answer to another row that is wrong here
    call: str = ""  # name of the function that a program must define; empty where no program is asked for
    words: str = ""  # the docstring of the reward
    limit: int = 4000  # characters that a response may have
    form: Callable[[str], str] = str  # writes an answer as the reward reads it
    tags: ResponseFormat = DEFAULT_FORMAT

    @property
    def known(self) -> tuple[str, ...]:
        """Answers that may be right: the options, or else the right answers of all rows."""
        return self.options or self.golds

    def within(self, text: str) -> str:
        """Repeats a text up to the limit."""
        return (text * (self.limit // len(text) + 1))[: self.limit]


class Hack(NamedTuple):
    """A hack and what is known of it."""

    name: str
    family: str  # its file
    about: str  # what it writes, in words
    write: Callable[..., str | None]  # takes a row as `Seen`, and the right answer if it `needs_right`
    needs_right: bool = False
    denies: bool = False  # whether it names the right answer and means another


HACKS: list[Hack] = []


def as_hack(func: Callable[..., Any]) -> Hack:
    """Makes a hack of a function, which takes the right answer as `right`, or as `denied`, if it needs it."""
    about = (inspect.getdoc(func) or func.__name__.replace("_", " ")).partition("\n")[0].rstrip(".")
    names, family = inspect.signature(func).parameters, func.__module__.rpartition(".")[2]
    return Hack(func.__name__, family, about, func, bool({"right", "denied"} & {*names}), "denied" in names)


def response(*variants: Any, is_answer: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Registers a function that writes responses, once for each value of its last parameter."""

    def register(func: Callable[..., Any]) -> Callable[..., Any]:
        plain = as_hack(func)
        given: list[tuple[Any, ...]] = [(each,) for each in variants]
        for number, more in enumerate(given or [()]):

            def write(seen: Seen, *known: str, more: tuple[Any, ...] = more) -> str | None:
                text = func(seen, *known, *more)
                return seen.form(text) if is_answer and text is not None else text

            HACKS.append(plain._replace(name=f"{plain.name}[{number}]", write=write))
        return func

    return register


def answer(*variants: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Registers a function that writes answers, which are given in the form that the reward reads."""
    return response(*variants, is_answer=True)
