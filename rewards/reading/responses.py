"""Reads a model's response: where its reasoning trace is, and what it answers. Strict: in doubt there is no answer."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

Completion = str | Sequence[Mapping[str, Any]]
REASONING = ("reasoning_content", "thinking")  # where TRL's templates of responses put a trace that they take out
PLAIN_ANSWER = re.compile(r"^[ \t]*answer[ \t]*:[ \t]*+(.*)$", re.IGNORECASE | re.MULTILINE)
TAG_NAME = re.compile(r"[A-Za-z][\w-]*")


@dataclass(frozen=True)
class ResponseFormat:
    """Tags around the two parts of a response.

    Args:
        think_tag: Name of the tag around the reasoning trace, without brackets.
        answer_tag: Name of the tag around the answer, without brackets.
    """

    think_tag: str = "think"
    answer_tag: str = "answer"

    def __post_init__(self) -> None:
        for field, tag in (("think_tag", self.think_tag), ("answer_tag", self.answer_tag)):
            if not TAG_NAME.fullmatch(tag):
                raise ValueError(f"`{field}` must be a name such as 'think', without brackets; got {tag!r}.")
        if self.think_tag == self.answer_tag:
            raise ValueError(f"`think_tag` and `answer_tag` must differ, both are {self.think_tag!r}.")


class Response(NamedTuple):
    """A response taken apart."""

    trace: str | None  # the reasoning, without surrounding whitespace; None if it cannot be told apart
    answer: str | None  # the answer as written, without surrounding whitespace; None if there is not exactly one
    answer_start: int | None  # character offset of `answer` in the text
    well_formed: bool  # a trace in its tags, then an answer in its tags, both non-empty, and nothing else


class _Span(NamedTuple):
    start: int
    end: int


DEFAULT_FORMAT = ResponseFormat()


def parse_response(text: str, response_format: ResponseFormat = DEFAULT_FORMAT) -> Response:
    r"""Takes a response apart into trace and answer.

    Two forms count: `<think>...</think><answer>B</answer>`, and a last line `Answer: B` where no answer tag occurs
    anywhere. What is decided where a text could be read in two ways:

    - Tags are matched exactly, upper and lower case included.
    - One closing think tag without an opening one ends a trace that starts with the text, because chat templates
      prefill the opening tag.
    - A trace that is opened and never closed is the rest of the text; nothing in it is an answer.
    - Several traces are no trace. The answer may still be read after the last one.
    - Without think tags, the text before the answer is the trace.
    - The answer comes after the trace. Answer tags inside the trace, a second pair, or one without its partner
      (a response that was cut off) leave no answer; so does a second line that starts with `Answer:`.
    - Text around the two tagged parts does not hide the answer, but the response is then not `well_formed`. The plain
      form never is.

    Example:
        >>> parse_response("<think>Iron is a metal.</think><answer>B</answer>")
        Response(trace='Iron is a metal.', answer='B', answer_start=39, well_formed=True)
        >>> parse_response("Iron is a metal.\nAnswer: B")
        Response(trace='Iron is a metal.', answer='B', answer_start=25, well_formed=False)
        >>> parse_response("<think>Either.</think><answer>A</answer><answer>B</answer>").answer is None
        True
    """
    think_open, think_close, answer_open, answer_close = _tags(response_format)
    opened, closed = _find(text, think_open), _find(text, think_close)
    trace = _trace_span(text, opened, closed)
    body_start = closed[-1].end if closed else 0
    tagged = answer_open in text or answer_close in text
    answer: _Span | None
    if opened and (not closed or opened[-1].start > closed[-1].start):
        answer = None  # the last trace is never closed
    elif tagged:
        answer = _tagged_answer(text, body_start, _find(text, answer_open), _find(text, answer_close))
    else:
        answer = _plain_answer(text, body_start)
    if answer is not None and not opened and not closed:
        end = text.index(answer_open) if tagged else text.rfind("\n", 0, answer.start) + 1
        before = _strip(text, _Span(0, end))
        trace = before if before.start < before.end else None
    complete = tagged and bool(closed) and trace is not None and answer is not None and trace.start < trace.end
    return Response(
        trace=None if trace is None else text[slice(*trace)],
        answer=None if answer is None else text[slice(*answer)],
        answer_start=None if answer is None else answer.start,
        well_formed=complete and _nothing_else(text, response_format),
    )


def completion_text(completion: Completion) -> str:
    """Reads the text of a completion, plain or conversational; of several messages the last one.

    A trace that TRL took out of the content, as it does with tools, stands in front of it again. Raises `TypeError` if
    the completion is neither a text nor messages.

    Example:
        >>> completion_text([{"role": "assistant", "content": "Answer: B"}])
        'Answer: B'
        >>> completion_text([{"role": "assistant", "reasoning_content": "It rusts.", "content": "Answer: B"}])
        '<think>It rusts.</think>Answer: B'
    """
    if isinstance(completion, str):
        return completion
    last = completion[-1] if isinstance(completion, Sequence) and completion else None
    content = last.get("content") if isinstance(last, Mapping) else None
    if isinstance(content, list):  # parts of a multimodal message
        content = "".join(part.get("text", "") for part in content if part.get("type") == "text")
    if isinstance(last, Mapping) and isinstance(content, str):
        trace = next((last[name] for name in REASONING if isinstance(last.get(name), str)), "")
        return f"<think>{trace}</think>{content}" if trace.strip() and "</think>" not in content else content
    raise TypeError(f"A completion must be a string or a list of messages with a `content`, got {completion!r:.120}.")


def is_taken_apart(completion: Completion) -> bool:
    """Says whether TRL parsed a completion into fields, between which spaces and tags are lost."""
    last = [] if isinstance(completion, str) else completion[-1:]
    return any(name in message for message in last for name in REASONING)


def _tags(response_format: ResponseFormat) -> tuple[str, str, str, str]:
    think, answer = response_format.think_tag, response_format.answer_tag
    return f"<{think}>", f"</{think}>", f"<{answer}>", f"</{answer}>"


def _find(text: str, tag: str) -> list[_Span]:
    return [_Span(*match.span()) for match in re.finditer(re.escape(tag), text)]


def _strip(text: str, span: _Span) -> _Span:
    inner = text[slice(*span)]
    start = span.start + len(inner) - len(inner.lstrip())
    return _Span(start, start + len(inner.strip()))


def _trace_span(text: str, opened: list[_Span], closed: list[_Span]) -> _Span | None:
    if len(opened) > 1 or len(closed) > 1 or not (opened or closed):
        return None
    start = opened[0].end if opened else 0
    end = closed[0].start if closed else len(text)
    return _strip(text, _Span(start, end)) if start <= end else None


def _tagged_answer(text: str, body_start: int, opened: list[_Span], closed: list[_Span]) -> _Span | None:
    if len(opened) != 1 or len(closed) != 1 or not body_start <= opened[0].start < closed[0].start:
        return None
    answer = _strip(text, _Span(opened[0].end, closed[0].start))
    return answer if answer.start < answer.end else None


def _plain_answer(text: str, body_start: int) -> _Span | None:
    body = text[body_start:]  # begins a line, also right behind the tag
    matches = list(PLAIN_ANSWER.finditer(body))
    if len(matches) != 1 or body[matches[0].end() :].strip():
        return None
    answer = matches[0][1].rstrip(" \t\r")
    start = body_start + matches[0].start(1)
    return _Span(start, start + len(answer)) if answer else None


def _nothing_else(text: str, response_format: ResponseFormat) -> bool:
    """Tells whether a response with one trace and one answer consists of just these."""
    think_open, think_close, answer_open, answer_close = map(re.escape, _tags(response_format))
    trace = rf"(?:{think_open})?(?:(?!{think_open}).)*{think_close}"
    return re.fullmatch(rf"\s*{trace}\s*{answer_open}.*{answer_close}\s*", text, re.DOTALL) is not None
