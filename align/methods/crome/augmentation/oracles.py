"""Oracles: a language model that answers in JSON which is checked, and rules of the user's that know a small world."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from align.errors import UserError
from align.methods.crome.augmentation.family import CromeSettings
from align.methods.crome.augmentation.oracle import (
    NUM_ATTRIBUTES,
    NUM_ELEMENTS,
    Attribute,
    Case,
    Differences,
    Edit,
    Element,
    Elements,
    FullRubric,
    Profile,
    Rubric,
    UnansweredError,
    Verdict,
)
from align.models.samplers.asking import Asker
from align.models.samplers.reply import Reply, UnreadableReplyError
from align.models.samplers.sampler import Failure, Request
from rewards.running.loading import find_in_file

NUM_RETRIES = 2  # of a reply that cannot be read
MOST_CHARACTERS_PER_TOKEN = 16
CUT_OFF, UNREADABLE, ERROR = "cut off at `max_new_tokens`", "unreadable reply", "error"
R = TypeVar("R", bound=Reply)


class LanguageOracle:
    """Asks a model each thing by itself; every method raises `UnansweredError` where there is no usable answer.

    A reply that cannot be read is asked for again with the reason, `NUM_RETRIES` times; one that was cut off should be
    shorter then. What is shown of it is no longer than a reply may be, whatever the server sent.
    """

    def __init__(self, asker: Asker, name: str, settings: CromeSettings) -> None:
        self._asker, self._settings, self.name = asker, settings, name

    async def rubric(self, case: Case) -> list[Attribute]:
        """Asks for five attributes that count in answers to the question and do not overlap, the heaviest first."""
        reply = await self._ask(FullRubric, "rubric", **case._asdict(), count=NUM_ATTRIBUTES)
        return reply.heaviest(NUM_ATTRIBUTES)

    async def elements(self, case: Case, attribute: Attribute) -> tuple[Element, ...]:
        """Asks for five elements that decide an attribute."""
        reply = await self._ask(Elements, "elements", **case._asdict(), attribute=attribute, count=NUM_ELEMENTS)
        return reply.elements

    async def edit(self, question: str, answer: str, profile: Profile, direction: str) -> str:
        """Asks for an answer that is better (`upgrade`) or worse (`degrade`) in one attribute; the same is no edit."""
        about = {"attribute": profile.attribute, "elements": profile.elements, "direction": direction}
        return (await self._ask(Edit, "edit", question=question, answer=answer, **about)).response

    async def verify(self, question: str, before: str, after: str, attribute: Attribute, direction: str) -> Verdict:
        """Asks whether an edit keeps to its task, without showing how it came about."""
        about = {"attribute": attribute, "direction": direction}
        return await self._ask(Verdict, "check", question=question, before=before, after=after, **about)

    async def paraphrase(self, question: str, answer: str) -> str:
        """Asks for the same in other words."""
        return (await self._ask(Edit, "paraphrase", question=question, answer=answer)).response

    async def align(self, case: Case, profiles: Sequence[Profile]) -> str:
        """Asks how the answers differ, and then for a worse answer without these differences."""
        found = await self._ask(Differences, "differences", **case._asdict(), profiles=profiles)
        reply = await self._ask(Edit, "align", **case._asdict(), differences=found.differences)
        return reply.response

    async def _ask(self, kind: type[R], step: str, **about: Any) -> R:
        return await self._resolve(kind, self._request(step, **about))

    def _request(self, step: str, **about: Any) -> Request:
        text = str(getattr(_prompts(), step)(**about)).strip()
        return self._with_messages([{"role": "user", "content": text}])

    def _with_messages(self, messages: list[dict[str, Any]]) -> Request:
        settings = self._settings
        return Request(
            messages,
            seed=settings.seed if settings.temperature else 0,  # greedy answers serve every seed
            temperature=settings.temperature,
            max_new_tokens=settings.max_new_tokens,
        )

    async def _resolve(self, kind: type[R], request: Request) -> R:
        """Asks until the reply can be read, and raises `UnansweredError` if none can."""
        messages: list[dict[str, Any]] = [*request.prompt]  # type: ignore[list-item]
        for attempt in range(NUM_RETRIES + 1):
            answer = await self._asker.ask(request)
            if isinstance(answer, Failure):
                raise UnansweredError(f"{ERROR}: {answer.reason}", answer.detail)
            try:
                return kind.read(answer.text)
            except UnreadableReplyError as error:
                shown = self._shorten(answer.text)
                if attempt == NUM_RETRIES:
                    reason = CUT_OFF if answer.cut_off else UNREADABLE
                    raise UnansweredError(reason, f"{error} Reply: {shown}") from error
                again = str(_prompts().again(str(error), answer.cut_off)).strip()
            messages += [{"role": "assistant", "content": shown}, {"role": "user", "content": again}]
            request = self._with_messages(list(messages))
        raise AssertionError("unreachable")

    def _shorten(self, text: str) -> str:
        """Keeps what a reply of `max_new_tokens` may have; a server that sends more does not get it back."""
        longest = MOST_CHARACTERS_PER_TOKEN * self._settings.max_new_tokens
        return text if len(text) <= longest else f"{text[:longest]} [...]"


@lru_cache
def _prompts() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("align.methods.crome.augmentation", ""),
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    return environment.get_template("prompts.j2").module


NEEDED = (
    "rubric(question)",
    "edit(question, answer, attribute, direction)",
    "verify(question, original, edited, attribute, direction)",
)
OPTIONAL = {"paraphrase": "paraphrase(question, answer)", "causally_aligned": "align(question, chosen, rejected)"}


class RulesOracle:
    """Does what `LanguageOracle` does by calling the user's rules, and checks what they return."""

    def __init__(self, rules: Any, name: str) -> None:
        self._rules, self.name = rules, name

    async def rubric(self, case: Case) -> list[Attribute]:
        """Reads the rules' attributes."""
        listed = self._call("rubric", case.question)
        try:
            attributes = [{"name": name, "weight": weight} for name, weight in listed]
            return Rubric.model_validate({"attributes": attributes}).heaviest(len(attributes))
        except (TypeError, ValueError) as error:
            reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
            rule = "[(name, weight), ...] with weights that add up to 1"
            raise self._error("rubric", case.question, f"must return {rule}, got {listed!r} ({reason})") from error

    async def elements(self, case: Case, attribute: Attribute) -> tuple[Element, ...]:
        """Lists none: rules need no words for what they look at."""
        return ()

    async def edit(self, question: str, answer: str, profile: Profile, direction: str) -> str:
        """Lets the rules edit."""
        return self._call_for_text("edit", question, answer, profile.attribute.name, direction)

    async def verify(self, question: str, before: str, after: str, attribute: Attribute, direction: str) -> Verdict:
        """Lets the rules judge."""
        passed = self._call("verify", question, before, after, attribute.name, direction)
        if not isinstance(passed, bool):
            raise self._error("verify", question, f"must return True or False, got {passed!r}")
        return Verdict(verdict="pass" if passed else "fail")

    async def paraphrase(self, question: str, answer: str) -> str:
        """Lets the rules reword."""
        return self._call_for_text("paraphrase", question, answer)

    async def align(self, case: Case, profiles: Sequence[Profile]) -> str:
        """Lets the rules mend the worse answer."""
        return self._call_for_text("align", *case)

    def _call_for_text(self, method: str, *arguments: str) -> str:
        text = self._call(method, *arguments)
        if not isinstance(text, str):
            raise self._error(method, arguments[0], f"must return a text, got {text!r}")
        return text

    def _call(self, method: str, *arguments: str) -> Any:
        function: Callable[..., Any] = getattr(self._rules, method)
        try:
            return function(*arguments)
        except Exception as error:  # a rule that breaks would break on every run: the user has to see it
            problem = f"failed with {type(error).__name__}: {error}"
            raise self._error(method, arguments[0], problem) from error

    def _error(self, method: str, question: str, problem: str) -> UserError:
        return UserError(f"`oracle` {self.name}: `{method}` {problem}. The question was {question!r}.")


def load_rules(spec: str, neutrals: Sequence[str]) -> tuple[RulesOracle, Path]:
    """Loads `path/to/rules.py:Rules`, which is called without arguments, and returns the oracle and its file."""
    try:
        found, rules_class = find_in_file(spec, None, noun="Class")
    except ValueError as error:
        raise UserError(f"`oracle`: {error}") from error
    path, _, name = found.rpartition(":")
    file = Path(path)
    shown = f"{file.name}:{name}"
    try:
        rules = rules_class()
    except Exception as error:  # whatever the class raises is the user's to see
        raise UserError(f"`oracle` {shown} cannot be built without arguments: {error}") from error
    asked = [OPTIONAL[kind] for kind in neutrals if kind in OPTIONAL]
    missing = [each for each in (*NEEDED, *asked) if not callable(getattr(rules, each.partition("(")[0], None))]
    if missing:
        chosen = ",".join(neutrals) or "none"
        raise UserError(f"`oracle` {shown} has no {' and no '.join(missing)}; `--neutrals {chosen}` needs it.")
    return RulesOracle(rules, shown), file
