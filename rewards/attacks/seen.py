"""What a hack is: a function of what a policy can see of a row, which returns a response."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from rewards.reading.responses import DEFAULT_FORMAT, ResponseFormat


class Seen(NamedTuple):
    """What a policy can know of a row, which is not its right answer."""

    prompt: str
    options: tuple[str, ...] = ()  # of a multiple-choice question, or their letters if those are read
    golds: tuple[str, ...] = ()  # right answers of all rows, each once, the most common first; none of programs
    wrong: str = "something else"  # an answer to another row that is wrong here
    shape: str = ""  # the right answer with `#` for each of its numbers
    call: str = ""  # name of the function that a program must define; empty where no program is asked for
    words: str = ""  # the docstring of the reward
    literals: tuple[str | float, ...] = ()  # texts, patterns and numbers in its code
    limit: int = 4000  # characters that a response may have
    form: Callable[[str], str] = str  # writes an answer as the reward reads it
    tags: ResponseFormat = DEFAULT_FORMAT

    @property
    def known(self) -> tuple[str, ...]:
        """Answers that may be right: the options, or else the right answers of all rows."""
        return self.options or self.golds


class Hack(NamedTuple):
    """A hack: a function that takes a row as `Seen`, the right answer if it needs it, and a variant if it has any."""

    name: str
    family: str  # its file
    about: str  # what it writes, in words
    func: Callable[..., str | None]
    needs_right: bool = False  # it takes the right answer as `right`, or as `denied`
    denies: bool = False  # it names the right answer and means another
    variant: tuple[Any, ...] = ()
    is_answer: bool = False  # it writes an answer, which is given in the form that the reward reads

    def write(self, seen: Seen, right: str | None) -> str | None:
        """Writes a response; None where there is none for such a row."""
        if self.needs_right and right is None:
            return None
        text = self.func(seen, *[right] * self.needs_right, *self.variant)
        return seen.form(text) if self.is_answer and text is not None else text


HACKS: list[Hack] = []


def as_hack(func: Callable[..., Any]) -> Hack:
    """Makes a hack of a function of one's own."""
    about = (inspect.getdoc(func) or func.__name__.replace("_", " ")).partition("\n")[0].rstrip(".")
    names, family = inspect.signature(func).parameters, func.__module__.rpartition(".")[2]
    return Hack(func.__name__, family, about, func, bool({"right", "denied"} & {*names}), "denied" in names)


def response(*variants: Any, is_answer: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Registers a function that writes responses, once for each variant."""

    def register(func: Callable[..., Any]) -> Callable[..., Any]:
        for number, each in enumerate(variants):
            name = f"{func.__name__}[{number}]"
            HACKS.append(as_hack(func)._replace(name=name, variant=(each,), is_answer=is_answer))
        return func

    return register


answer = partial(response, is_answer=True)
