"""What every pair of responses has, whatever is learnt from it, and how a row in any of TRL's forms is taken apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from align.data.conversations import (
    MESSAGES,
    RESPONSE,
    Message,
    check_messages,
    check_prompt,
    conversation_text,
    count_places,
    message_text,
    one_form,
    write_response,
)
from align.data.problems import BadRow
from align.data.question_checks import check_label
from align.data.template_settings import check_template_columns
from align.data.texts import as_seen, count_shared, is_blank

NEEDS = ("prompt", "chosen", "rejected")


@dataclass(frozen=True)
class Pair:
    """Two responses to a prompt."""

    id: str
    prompt: str | list[Message]  # a text, or messages
    chosen: str  # the better one
    rejected: str
    row: int  # line of a JSONL or CSV file, else number of the record
    messages: tuple[list[Message], list[Message]] | None = field(default=None, kw_only=True)
    template: Mapping[str, Any] = field(default_factory=dict, kw_only=True)
    is_implicit: bool = field(default=False, kw_only=True)

    @property
    def responses(self) -> tuple[str | list[Message], str | list[Message]]:
        """Both responses in the form of the prompt."""
        return self.messages or (write_response(self.chosen, self.prompt), write_response(self.rejected, self.prompt))

    @property
    def trl_row(self) -> dict[str, Any]:
        """The columns that TRL reads of any pair, and its id."""
        chosen, rejected = self.responses
        return {"id": self.id or None, "prompt": self.prompt, "chosen": chosen, "rejected": rejected}


def check_texts(pair: Any) -> None:
    """Checks that a pair is texts, for what compares the texts of responses alone."""
    if pair.messages is not None:
        rule = "the response has more than a text, and only its text would be read here"
        raise BadRow("chosen", pair.chosen, rule, "Write one message with a text as content, or leave the row out.")
    if pair.template:
        column = next(iter(pair.template))
        raise BadRow(column, pair.template[column], f"`{column}` is not read here", "Leave the column out.")


def check_unread(row: Mapping[str, Any], columns: Sequence[str]) -> None:
    """Checks that nothing stands in columns that TRL would read and we do not."""
    for column in columns:
        if row.get(column):
            raise BadRow(column, row[column], f"`{column}` is not read with preference pairs", "Leave the column out.")


def check_differ(chosen: str, rejected: str) -> None:
    """Refuses two responses that are the same, or look so, but for whitespace around them."""
    if chosen.strip() == rejected.strip():
        raise BadRow("rejected", rejected, "chosen and rejected are equal", "Change one or leave the row out.")
    if as_seen(chosen).strip() == as_seen(rejected).strip():
        remedy = "They differ in what is not shown, or in how accents are written (NFC, NFD). Leave the row out."
        raise BadRow("rejected", rejected, "chosen and rejected look the same", remedy)


def split_pair(row: Mapping[str, Any], *, images: bool = False, number: int = 0, name: str = "") -> Pair:
    """Splits a row into its prompt, chosen and rejected response; `name` stands for a missing `id`.

    Responses are texts, with a text as prompt, or messages. Messages are the assistant's, with the turns of tools
    between them, or a conversation that ends in these and begins with the prompt; the column `prompt` may then be
    missing, or be the text of a user message. Of texts without that column the prompt is what both begin with. With
    `images` prompts may have places for them.
    """
    parts = _split(row, images)
    template = check_template_columns(row, is_text=isinstance(parts["prompt"], str))
    return Pair(check_label("id", row.get("id")) or name, row=number, template=template, **parts)


def _split(row: Mapping[str, Any], images: bool) -> dict[str, Any]:
    forms = {column: _is_messages(row.get(column), column) for column in ("chosen", "rejected")}
    if forms["chosen"] != forms["rejected"]:
        column = "rejected" if forms["chosen"] else "chosen"
        raise BadRow(column, row[column], "one response is a text and the other one messages", f"Write {RESPONSE}.")
    if not forms["chosen"]:
        if "prompt" not in row:
            return _split_texts(row["chosen"], row["rejected"])
        prompt = row["prompt"]
        if isinstance(prompt, list | tuple) and prompt:
            raise BadRow("prompt", prompt, "the prompt is messages and the responses are texts", f"Write {RESPONSE}.")
        return {"prompt": str(check_prompt(prompt)), "chosen": row["chosen"], "rejected": row["rejected"]}
    chosen, rejected = (check_messages(row[column], column, images=images) for column in ("chosen", "rejected"))
    shared = _find_prompt(row.get("prompt"), chosen, rejected, images=images)
    messages = _check_response(chosen, shared, "chosen"), _check_response(rejected, shared, "rejected")
    better, worse = (conversation_text(each) for each in messages)
    are_texts = all(len(each) == 1 and set(each[0]) <= {"role", "content"} for each in messages)
    parts = {"prompt": one_form(shared), "chosen": better, "rejected": worse}
    return parts if are_texts else parts | {"messages": messages}


def _split_texts(chosen: str, rejected: str) -> dict[str, Any]:
    """Takes what two texts begin with as their prompt, as TRL does, without a space in front of what differs."""
    length = count_shared(chosen, rejected)
    if length == min(len(chosen), len(rejected)) or chosen[max(length - 1, 0)] == " ":
        length = max(length - 1, 0)
    prompt = chosen[:length]
    if is_blank(prompt):
        remedy = "Write the column `prompt`, or begin both responses with the prompt."
        raise BadRow("prompt", None, "the prompt is missing, and the responses share no beginning", remedy)
    return {"prompt": prompt, "chosen": chosen[length:], "rejected": rejected[length:], "is_implicit": True}


def _is_messages(response: object, column: str) -> bool:
    if isinstance(response, list | tuple) and response:
        return True
    if not isinstance(response, str) or is_blank(response):
        raise BadRow(column, response, "the response is missing or empty", f"Write a text, or {RESPONSE}.")
    return False


def _find_prompt(prompt: object, chosen: list[Message], rejected: list[Message], *, images: bool) -> list[Message]:
    if isinstance(prompt, list | tuple) and prompt:
        return check_messages(prompt, "prompt", images=images)
    both = zip(chosen[:-1], rejected[:-1], strict=False)
    shared = [ours for ours, _ in takewhile(lambda each: each[0] == each[1], both)]
    is_missing = not shared if prompt is None else not isinstance(prompt, str) or is_blank(prompt)
    if is_missing:
        raise BadRow("prompt", prompt, "the prompt is missing or empty", f"Write {MESSAGES}.")
    asked = [message_text(message) for message in shared if message["role"] == "user"]
    if prompt is not None and prompt not in asked:
        remedy = f"Write the prompt as {MESSAGES}, or begin both conversations with it."
        raise BadRow("prompt", prompt, "the prompt is not the beginning of the conversations", remedy)
    return shared


def _check_response(messages: list[Message], prompt: list[Message], column: str) -> list[Message]:
    """Checks that messages are the prompt, which may be left out, and what the assistant and its tools say."""
    begins = messages[: len(prompt)] == prompt
    response = messages[len(prompt) :] if begins else messages
    roles = [message["role"] for message in response]
    if not begins and roles[0] != "assistant":
        remedy = "Begin the conversation with the messages of `prompt`, or write the last message only."
        raise BadRow(column, messages, "the prompt is not the beginning of the conversation", remedy)
    answers = [message for message in response if message["role"] == "assistant"]
    is_more = bool(set(roles) - {"assistant", "tool"}) or any("tool_calls" not in each for each in answers[:-1])
    if is_more and len(answers) > 1:
        remedy = "A pair compares one message: put those before it into the prompt of both."
        raise BadRow(column, roles, "several assistant messages follow the prompt", remedy)
    if is_more or roles[-1:] != ["assistant"]:
        raise BadRow(column, roles, "the prompt is not followed by an assistant message", f"Write {RESPONSE}.")
    if count_places(response):
        raise BadRow(column, response, "a response has a place for an image", "Only prompts have images: take it out.")
    said = response[-1]
    if is_blank(message_text(said)):
        raise BadRow(column, said["content"], "the response is missing or empty", "Write a text as its content.")
    return response
