"""A language model as oracle: asked in words, answering in JSON that is checked."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeVar

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
    UnansweredError,
    Verdict,
)
from align.methods.crome.augmentation.settings import CromeSettings
from align.models.samplers.asking import Asker
from align.models.samplers.reply import Reply, UnreadableReplyError
from align.models.samplers.sampler import Failure, Request

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
            top_p=settings.top_p,
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
