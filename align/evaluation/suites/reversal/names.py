"""Names in a response: which text states one, and whether it does."""

from rewards.reading.responses import DEFAULT_FORMAT, ResponseFormat, parse_response
from rewards.scoring.text_accuracy import normalise_text


def stated_text(response: str, tags: ResponseFormat = DEFAULT_FORMAT) -> str:
    r"""Returns where a response states its answer: in its tags or behind `Answer:`, else its first line.

    A trace that is not closed, and answer tags that are not one pair, state nothing.

    Example:
        >>> stated_text("<answer>Ada</answer>"), stated_text(" Ada Lovelace.\nShe was born"), stated_text("<think>Ada")
        ('Ada', 'Ada Lovelace.', '')
    """
    answer = parse_response(response, tags).answer
    if answer is not None:
        return answer
    rest = response.rpartition(f"</{tags.think_tag}>")[2]
    if any(f"<{tag}>" in rest for tag in (tags.think_tag, tags.answer_tag)) or f"</{tags.answer_tag}>" in rest:
        return ""
    return next((line.strip() for line in rest.splitlines() if line.strip()), "")


def has_name(text: str, name: str) -> bool:
    """Tells whether a text holds a name as whole words; case, accents and typographic signs do not count.

    Example:
        >>> has_name("It was Zoë Bell.", "Zoe Bell"), has_name("Annabel", "Anna")
        (True, False)
    """
    text, name = plain(text), plain(name)
    start = text.find(name)
    while start >= 0:
        end = start + len(name)
        before, after = text[start - 1 : start] + name[0], name[-1] + text[end : end + 1]
        if not (_is_one_word(before) or _is_one_word(after)):
            return True
        start = text.find(name, start + 1)
    return False


def plain(text: str) -> str:
    """Writes a text as names are compared."""
    return normalise_text(text, ignore_accents=True)


def _is_one_word(two: str) -> bool:
    """Whether two characters stand in one word; scripts without capitals may write words without spaces."""
    return len(two) == 2 and all(each.isdigit() or each.lower() != each.upper() for each in two)
