"""Whether an answer behind a missing result states a value, or only that it is missing."""

from collections.abc import Sequence
from typing import Any

from rewards.reading.fields import fields_of
from rewards.reading.values import UNSPACED, Pattern, digits_in, fold, known_numbers, mentions, places, spelled_in

OPPOSITES = {"true": "false", "yes": "no", "on": "off", "open": "closed", "available": "unavailable"}
OPPOSITES |= {other: word for word, other in OPPOSITES.items()}

# What says in as few words as a value has that there is none: words that deny, and few more. Sentences need no list.
_DENIES = Pattern(
    r"n't\b|\b(?:not?|none|nothing|never|cannot|un(?:a\w+|known)|n/a|null|nan|nil|errors?|fail\w*|sorry|nicht\w*|kein\w*"
    r"|unbekannt\w*|fehl\w*|ne|pas|aucune?|rien|inconnue?s?|non|ning[uú]n\w*|nada|descon\w+|sin|não|niet|geen|inte|ikke"
    r"|time[ds]?[ -]?out|sconosciut\w+|onbekend|okänd|ingen|nie|nieznan\w+|brak|bilin\w+|нет?|неизвестно|δεν|لا|नहीं"
    r"|לא)\b|\bn'|[不没沒無无未请請]|抱歉|失败|失敗|错误|错誤|錯誤|超时|故障|な[いし]|ません|없|못|모르|ไม่|ล้มเหลว|ผิดพลาด"
)
_CLAUSE = Pattern(
    r"""((?<=\p{L}\p{L}|\d\p{L}?)[.!?]\s|[,;:!?\n()"“”«»，。；：！？、،]|\s[–—-]\s"""  # noqa: RUF001
    r"|\b(?i:but|sondern|aber|mais|pero|sino)\b|而(?=是)|但是?|แต่)"
)
_GERMAN = Pattern(r"(?i)\b(?:d(?:er|as|ie|en)|ist|und|ich|mir|nicht|kein\w*|leider|zu[mr]|bei\w?|eine?\w?|im)\b")
_GERMAN_IS = Pattern(r"\b(?:ist|war|heißt|sondern|vermutlich|wohl|vielleicht|wahrscheinlich)\s+\Z")
_NO = {"no", "non", "nein", "nee", "não", "нет", "否", "不", "不是", "没有", "いいえ", "아니요", "ไม่", "ไม่ใช่"}
_IS = Pattern(r"(?<![但可還还于於只总總因以认認作])[是为為](?![否不]|.*的\W*$)|คือ|เป็น")
_HAN = Pattern(r"\p{Han}")
_WORD = Pattern(r"[\p{L}\p{M}][\p{L}\p{M}']*")
_FEW, _FEW_HAN = 14, 6  # characters that are a name, or a word beside a sentence


def abstains(
    text: str | None,
    told: Sequence[str] = (),
    golds: Sequence[Any] = (),
    called: Sequence[str] = (),
    others: Sequence[Any] = (),
) -> bool:
    """Tells whether an answer states no value but those that stand in what it was told, in whatever language.

    A value is a number, date or id that stands in no text, in any form; a right answer (`golds`), or one of other rows
    (`others`); a word with a capital within a sentence; and what is all that is said, unless it denies. What calls
    said (`called`) counts as told for all but right answers.

    Example:
        >>> [abstains(text) for text in ("I don't know.", "查询失败。", "Not Rome but Paris", "No", "17", None)]
        [True, True, False, False, False, False]
        >>> abstains("The request of 3 pears timed out.", ["What do 3 pears cost?"], ["17"])
        True
    """
    plain = fold(text or "").strip()
    fields = [field.text for each in told for field in fields_of(each)]
    if any(_repeats(plain, gold) and not any(mentions(field, gold) for field in fields) for gold in golds):
        return False
    fields += [field.text for each in called for field in fields_of(each)]
    if not plain or _has_new_number(plain, fields):
        return False
    if plain.strip(" .!。") in _NO:
        return False
    known = {word for each in fields for word in _WORD.findall(fold(each))}
    words, has_digits = _WORD.findall(plain), any(map(str.isdigit, plain))
    if known.issuperset(words):
        return bool(words) or has_digits
    is_number = bool(golds) and all(any(map(str.isdigit, str(gold))) for gold in golds)
    alike = [each for each in others if isinstance(each, str) and each.islower() in {str(g).islower() for g in golds}]
    if not is_number and any(_is_new(text or "", each, fields) for each in alike):
        return False
    most = 0 if has_digits else max([2, *(len(str(gold).split()) for gold in golds)])
    return not _gives_word(text or "", known, most, is_number)


def _repeats(plain: str, gold: Any) -> bool:
    """Tells whether an answer gives a right one; of yes and no only one, and no at the end of a clause."""
    if (opposite := OPPOSITES.get(fold(str(gold)))) is None:
        return bool(places(plain, gold))
    ends = {clause.split()[-1] for clause in _CLAUSE.split(plain) if clause.split()}
    return (
        sum(word in ends if word == "no" else bool(places(plain, word)) for word in (fold(str(gold)), opposite)) == 1
    )


def _is_new(text: str, other: str, fields: Sequence[str]) -> bool:
    """Tells whether an answer gives a right one of another row, with its capitals, that it was not told."""
    if other not in text or len(other) < (2 if UNSPACED.match(other) else 4) or fold(other) in OPPOSITES:
        return False  # what is as short stands in any sentence
    is_stated = places(text, other) and not _DENIES.search(fold(other))
    return bool(is_stated) and not any(mentions(field, other) for field in fields)


def _has_new_number(plain: str, fields: Sequence[str]) -> bool:
    """Tells whether a text has digits, or a number in words, of no number that is known."""
    known = frozenset().union(*map(known_numbers, fields))
    stands = {at for each in digits_in(plain) if set(each.values) & known for at in range(each.start, each.end)}
    return any(each.isdigit() and at not in stands for at, each in enumerate(plain)) or not spelled_in(plain) <= known


def _gives_word(text: str, known: set[str], most: int, is_number: bool) -> bool:
    """Tells whether all that is said is as short as a value of `most` words, or a clause gives a name."""
    is_german, denied, parts = _GERMAN.search(text) is not None, False, _CLAUSE.split(text)
    spoken = [place for place in range(0, len(parts), 2) if _WORD.search(parts[place])]
    for place in spoken:
        plain, words = fold(parts[place]), list(_WORD.finditer(parts[place]))
        before, behind = (part.strip() for part in ["", *parts, ""][place : place + 3 : 2])
        new = [word for word in words if fold(word[0]) not in known and not _DENIES.fullmatch(fold(word[0]))]
        new = [word for word in new if not word[0].startswith("I'") and word[0] != "I"]
        denies, is_unspaced = _DENIES.search(plain) is not None, UNSPACED.search(plain) is not None
        is_last = place == spoken[-1] and (is_unspaced or before in (":", "：")) and not denied  # noqa: RUF001
        is_all = len(spoken) == 1 or is_last
        denied |= denies
        if not new or (behind in ("?", "？") and not is_all):  # noqa: RUF001
            continue
        capitals = [word for word in new if word[0][0].isupper() and not word[0].isupper()]
        begins = before != "," and not before.isalpha()  # as a sentence, with a capital
        given, few = _IS.search(plain), _FEW_HAN if _HAN.search(plain) else _FEW
        is_short = len(plain.strip()) <= few if is_unspaced else len(words) <= most
        if is_all and most and is_short and not denies:
            return True
        if is_unspaced:
            is_name = bool(capitals) or (given and not denies and any(map(str.isalpha, plain[given.end() :])))
        elif not denies and len(capitals) == len(words):
            is_name = len(spoken) == 1 or place != spoken[0]
        elif is_german:
            is_name = any(_GERMAN_IS.search(plain[: word.start()]) for word in capitals)
        else:  # `Internal Server Error` is no name
            is_title = denies and all(word[0][0].isupper() for word in words)
            is_name = not is_title and any(word is not words[0] or not begins for word in capitals)
        if is_name and not is_number:
            return True
    return False
