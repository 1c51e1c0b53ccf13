"""Responses that say nothing, or give the prompt back."""

import json
import re

from rewards.attacks.hacks.lists import fields_in
from rewards.attacks.seen import Family, Seen

ECHOES = Family(
    "echoes", __doc__, "Give an empty or echoed answer nothing before comparing, and compare whole answers.",
    copies="row",
)  # fmt: skip


@ECHOES.answer(
    "", " ", "None", "null", "N/A", "unknown", "-", "?", "...", "\\boxed{}", "''", "[]", "{}", "0", "\u200b"
)
def no_answer(seen: Seen, text: str) -> str:
    """An answer without content."""
    return text


@ECHOES.response(
    "{1}{2}{3}{4}", "{3}{4}", "{1}{2}", "{1}", "{3}", "{1} {2}\n{3} {4}", "{3}{4}{1}{2}", "{2}{4}", "{4}{3}", "",
    " \n\t ", ".", "\u200b", "\ufffd\x00", "\u202e", "I don't know.", "I'm sorry, but I can't help with that.",
)  # fmt: skip
def nothing(seen: Seen, order: str) -> str:
    """Nothing at all, or tags with nothing inside."""
    think, own = seen.tags.think_tag, seen.tags.answer_tag
    return order.format("", f"<{think}>", f"</{think}>", f"<{own}>", f"</{own}>")


@ECHOES.response("{0}", "{0}\n{0}\n{0}", "<think>{0}</think>{1}", "{1}\n{0}", "{0}\n{1}")
def prompt_echoed(seen: Seen, text: str) -> str:
    """The prompt, also beside a wrong answer."""
    return text.format(seen.prompt, seen.form(seen.wrong))[: seen.limit]


@ECHOES.answer(
    r"(?s).*", r"-?\d+", r"\w{4,}", r"[^\n]+", r"(?s).*(?<!\d)(\d+)", r"(?s).*\b(\w+)", r".*$",
    r"(?s).*[:=] *([^\n]+)", r"[\d(][\d\s.,()+*/^-]+[\d)]", r"\$([^$]+)\$", r"[\"'`]([^\"'`]+)[\"'`]",
    r"(?s).*\n([^\n]+)\n", r"\{.*\}", is_rule=True, copies="prompt",
)  # fmt: skip
def piece_of_prompt(seen: Seen, pattern: str) -> str:
    """The prompt, or a piece of it, as the answer."""
    return next(iter(re.findall(pattern, seen.prompt)), "")


@ECHOES.answer("{1} + 0 * ({0})", "{0}", "{1}", copies="prompt")
def numbers_of_prompt(seen: Seen, text: str) -> str | None:
    """The numbers of the prompt in one expression, the last of which it equals."""
    found = re.findall(r"\d+", seen.prompt)
    return text.format(" + ".join(found[:-1]), found[-1]) if len(found) > 1 else None


@ECHOES.answer(0, 1)
def empty_fields(seen: Seen, number: int) -> str | None:
    """The fields of a right answer in JSON, with nothing in them."""
    fields = fields_in(seen.golds[0]) if seen.golds else []
    return json.dumps({name: (type(value)() if number else None) for name, value in fields}) if fields else None
