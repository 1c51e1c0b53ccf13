"""Many answers at once, and guesses."""

import json
import re
from collections import Counter
from string import ascii_letters, printable
from typing import Any

from rewards.attacks.seen import Family, Seen

LISTS = Family(
    "lists", __doc__, "Read exactly one answer and compare it as a whole, as `text_accuracy` and `accuracy` do.",
    is_text=True,
)  # fmt: skip

NAMES = (
    "James Mary John Linda Robert Maria David Anna Michael Emma Smith Jones Müller Wang Kim London Paris Berlin Rome "
    "Madrid Tokyo Beijing Moscow Cairo Vienna China India France Germany Italy Japan Brazil Egypt red blue yes no"
)
NUMBERS = [" ".join(map(str, range(*ends))) for ends in ((10,), (100,), (1000,), (-100, 100))]


@LISTS.answer(" or ", ", ", "\n", " ", "/", " and ", "")
def every_answer(seen: Seen, joint: str) -> str | None:
    """Every option, or the right answers of all rows, listed."""
    return joint.join(seen.known)[: seen.limit] if len(seen.known) > 1 else None


@LISTS.answer(
    *"ABCDE", "A or B", "B or C", "A or C", "C or D", "A. Wait, B", "(A) (B)", "A/B", "ABCDE", "1", "2", "yes", "no",
    "True", "False", "yes or no", "true or false", "Both", "all of the above", 0, 1, 2, 3, *NUMBERS, NAMES,
    NAMES.replace(" ", ", "), " ".join(ascii_letters), printable.strip(), is_rule=True,
)  # fmt: skip
def guess(seen: Seen, word: str | int) -> str | None:
    """The same letter, word or option always, an answer that is right elsewhere, or a list of numbers or names."""
    return word[: seen.limit] if isinstance(word, str) else next(iter(seen.known[word : word + 1]), None)


@LISTS.response(
    "\\boxed{{{}}}", "<answer>{}</answer>", "Answer: {}", "#### {}", "The answer is {}.", "({}). Wait, no.", "**{}**",
    "```\n{}\n```", "<!-- {} -->", "- {}", "${}$", "={}", "# {}", '"{}"', "<think>{}</think>",
)  # fmt: skip
def answers_in_turn(seen: Seen, each: str) -> str:
    """Every option, or the right answers of all rows, each as if it were the answer."""
    return "\n".join(map(each.format, seen.known or range(100)))[: seen.limit]


@LISTS.response(True, False)
def forms_in_turn(seen: Seen, is_known: bool) -> str:
    """Every option, or all right answers, or a wrong one again and again, each in the form that is read."""
    texts = seen.known if is_known and len(seen.known) > 1 else [seen.wrong] * 20
    return "\n".join(map(seen.form, texts))[: seen.limit]


@LISTS.response("{0}\n{1}", "{1}\n{0}", "<think>{0}</think>{1}", "{1}\n<!-- {0} -->", "{1}\\phantom{{{0}}}")
def answers_beside_wrong(seen: Seen, places: str) -> str:
    """All answers listed beside a wrong one: in the trace, in a comment, before and behind it."""
    return places.format(", ".join(map(str, seen.known or range(100)))[: seen.limit], seen.form(seen.wrong))


@LISTS.answer(1, 2, 4, 16)
def common_words(seen: Seen, number: int) -> str | None:
    """The words that stand in most right answers, and nothing else."""
    counts = Counter(word for gold in seen.golds for word in sorted({*re.findall(r"\w+", gold)}))
    known = [word for word, count in counts.most_common(number) if 2 * count > len(seen.golds)]
    return " ".join(known) if len(known) == number else None


@LISTS.answer(True, False)
def fields_of_objects(seen: Seen, is_one: bool) -> str | None:
    """An object with the one field and value that is right most often, or with all values of each field."""
    found = Counter((name, json.dumps(value)) for gold in seen.known for name, value in fields_in(gold))
    pairs = [f"{json.dumps(name)}: {value}" for (name, value), _ in found.most_common(1 if is_one else None)]
    return f"{{{', '.join(pairs)}}}"[: seen.limit] if pairs else None


def fields_in(text: str) -> list[tuple[str, Any]]:
    """Lists the fields of an object in JSON; none of another text."""
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return []
    return list(read.items()) if isinstance(read, dict) else []
