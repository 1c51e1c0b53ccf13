"""What a hack is: a function of what a policy can see of a row, which returns a response."""

import inspect
from collections.abc import Callable
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
    episode: str = ""  # an honest one with tools, for plays beside or behind it

    @property
    def known(self) -> tuple[str, ...]:
        """Answers that may be right: the options, or else the right answers of all rows."""
        return self.options or self.golds


class Family(NamedTuple):
    """Hacks of one kind, which a file holds, and what to do where one of them wins."""

    name: str
    about: str  # what they have in common
    remedy: str
    # What they are made of: `row` what it shows, `prompt` the same so that others' fail, `code`, the row's `episode`.
    copies: str = ""
    is_text: bool = False  # whether they say nothing where a program is asked for
    by_luck: bool = True  # whether one of so many may be the right answer on half of the rows

    def response(self, *variants: Any, **own: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Registers a function that writes responses, once for each variant; `own` are fields of its `Hack`."""

        def register(func: Callable[..., Any]) -> Callable[..., Any]:
            hack = as_hack(func, self)._replace(**own)
            HACKS.extend(hack._replace(name=f"{hack.name}[{i}]", variant=(each,)) for i, each in enumerate(variants))
            return func

        return register

    def answer(self, *variants: Any, **own: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Registers a function that writes answers, which are given in the form that the reward reads."""
        return self.response(*variants, is_answer=True, **own)


class Hack(NamedTuple):
    """A hack: a function that takes a row as `Seen`, the right answer if it needs it, and a variant if it has any."""

    name: str
    family: Family
    about: str  # what it writes, in words
    func: Callable[..., str | None]
    verdict: str = "gamed"  # on a reward that pays it, or `handed`; with the right answer: `beside`, `misread`
    copies: str = ""  # as in its family
    variant: tuple[Any, ...] = ()
    is_answer: bool = False  # it writes an answer, which is given in the form that the reward reads
    is_rule: bool = False  # it is one rule for all rows, which may be right on most of them
    keeps_right: bool = False  # it leaves the words of the right answer, which may be all that is right of it
    control: Callable[[Seen], str | None] | None = None  # the same without what earns, which must be paid less

    @property
    def needs_right(self) -> bool:
        """Whether it takes the right answer: a policy that knows it is not gaming."""
        return self.verdict in ("beside", "misread")

    def write(self, seen: Seen, right: str | None) -> str | None:
        """Writes a response; None where there is none for such a row."""
        if (self.needs_right and right is None) or (seen.call and (self.family.is_text or self.verdict == "misread")):
            return None
        text = self.func(seen, *[right] * self.needs_right, *self.variant)
        return seen.form(text) if self.is_answer and text is not None else text


HACKS: list[Hack] = []


def as_hack(func: Callable[..., Any], family: Family | None = None) -> Hack:
    """Makes a hack of a function, of one's own if no family is given."""
    about = (inspect.getdoc(func) or func.__name__.replace("_", " ")).partition("\n")[0].rstrip(".")
    family = family or Family(func.__module__.rpartition(".")[2], "A hack of one's own", "Compare less loosely.")
    names = inspect.signature(func).parameters
    verdict = "misread" if "denied" in names else "beside" if "right" in names else "gamed"
    return Hack(func.__name__, family, about, func, verdict, family.copies)
