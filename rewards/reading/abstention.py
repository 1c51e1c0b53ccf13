"""Whether an answer behind a missing result states a value, or only that it is missing."""

import re
from collections.abc import Sequence
from typing import Any

from rewards.reading.fields import fields_of
from rewards.reading.values import UNSPACED, Pattern, digits_in, fold, known_numbers, mentions, places, spelled_in

OPPOSITES = {"true": "false", "yes": "no", "on": "off", "open": "closed", "available": "unavailable"}
OPPOSITES |= {other: word for word, other in OPPOSITES.items()}

# Numbers, dates and ids are told by their digits. Of names, which no script marks, these words help to tell what only
# says that something is missing, failed or is not known, or is polite. German nouns have capitals as names have.
_MISSING = Pattern(
    r"n't\b|\b(?:not?|none|nor|nothing|nobody|never|cannot|impos+ible|without|lack\w*|missing|un(?:available|able|known)"
    r"|un(?:sure|certain|clear|defined|determined|specified|reachable)|inaccessible|errors?|fail\w*|broken?|crash\w*|sorry"
    r"|apolog\w*|unfortunately|regret\w*|afraid|time[ds]?[ -]?out|offline|down|denied|refused|rejected|empty|blank"
    r"|later|again|wrong|n/a|null|nan|nil|please|thanks?|hello|however|too|need\w*|issues?|problem\w*|trouble"
    r"|insufficient|interrupted|h+m+|nicht\w*|kein\w*|niemand|leider|fehl\w*|gescheitert|unbekannt\w*|unmöglich|unklar|ungewiss"
    r"|ausgefallen|\w*entschuldig\w*|ohne|später|erneut|zeitüberschreitung|abgelehnt|verweigert|abgebrochen|leer\w*"
    r"|weder|bitte|lange|k\. ?a(?=\.)|ne|pas|aucune?|rien|ni|inconnue?s?|erreurs?|échec|échoué\w*|désolée?"
    r"|malheureusement|in(?:disponible|trouvable|capa\w+)s?|sans|expir\w*|délai|vides?|manqu\w*|tard|refus\w*|panne|navrée?|regrette"
    r"|ignore|hors|hélas|vaya|alas|ach|scheiter\w*|ning[uú]n\w*|nada|nunca|jamás"
    r"|descono[cz]\w*|fall[aoóe]\w*|siento|(?:des)?afortunad\w*|lament\w*|disculp\w*"
    r"|perdón|sin|agot\w*|caduc\w*|trop|dépass\w*|vací\w*|rechaz\w*|tarde|caíd\w*|tampoco|ignoro|denegad\w*|faltan?"
    r"|non|nessun\w*|errore|erros?|não|nenhum\w*|niet|geen|helaas|inte|ikke|ingen|nie|brak|błąd|bilm\w+|yok|değil|không|tidak|не\w*"
    r"|нет|нельзя|ошибк\w*|извин\w*|δεν|لا|لم|ليس|غير|خطأ|नहीं|त्रुटि|לא|אין)\b|\bn'"
    r"|[不没沒無无未错錯误誤败敗缺难難空拒忙]|抱歉|对不起|對不起|遗憾|遺憾|超时|超時|异常|異常|故障|中断|中斷|稍[后後]|重[试試]"
    r"|[你您]好|目前|[现現]在|暂|请|請|な[いし]|なかっ|なく|ません|エラー|タイムアウト|すみ|申し訳|残念|かね|ダウン|障害|停止"
    r"|없|못|않|모르|모릅|오류|실패|죄송|ไม่|ขออภัย|ขอโทษ|เสียใจ|ผิดพลาด|ล้มเหลว|ขัดข้อง|หมดเวลา|ว่าง|นี้|กรุณา|โปรด|ลอง|ปฏิเสธ"
)
_NO = {"no", "non", "nein", "nee", "não", "нет", "否", "不", "不是", "没有", "いいえ", "아니요", "ไม่", "ไม่ใช่"}
_CLAUSE = Pattern(
    r"""((?<=\p{L}\p{L})[.!?]\s|[,;:!?\n()"“”«»，。；：！？、،]|\s[–—-]\s"""  # noqa: RUF001
    r"|(?i:\b(?:but|sondern|aber|mais|pero|sino|ma|mas|maar|но)\b)|而是|但是?|แต่|ではなく)"
)
_GERMAN = Pattern(
    r"\b(?:d(?:er|em|as|ie|es|en)|ist|und|ich|mir|wir|wurden?|konnten?|nicht|kein\w*|leider|zu[mr]|bei|für|eine\w*|im|vom)\b"
)
_GERMAN_NAMED = Pattern(
    r"\b(?:ist|war|heißt|sondern|vielleicht|wohl|vermutlich|wahrscheinlich|also|als|nach|doch)\s+\Z"
)
_NAMED = Pattern(  # a subject that is no pronoun
    r"(?!\W*(?:it|this|that|there|what|every\w*|some\w*|here|das|dies\w*|da|ce\w*|ça|il|elle|est[eao]|es[eao]|lo)\b)"
    r"\W*[\p{L}' -]+ (?:is|was|are|ist|war|heißt|sind|est|était|es|era|fue|è|é)\b"
)
_COPULA = Pattern(r"(?<![但可还還于於只总總])[是為为](?![否不])|です|だ[とっ]|でしょう|입니다|이다|คือ|เป็น")
_HAN = Pattern(r"\p{Han}")
_WORD = Pattern(r"[\p{L}\p{M}][\p{L}\p{M}']*")
_FEW, _FEW_HAN = 14, 6  # characters that are a name, or a word beside a sentence


def abstains(
    text: str | None, told: Sequence[str] = (), golds: Sequence[Any] = (), called: Sequence[str] = ()
) -> bool:
    """Tells whether an answer states no value but those that stand in what it was told, in whatever language.

    A number, date or id has to stand in a text, in any form; what calls said (`called`) counts for all but right
    answers (`golds`). These show what else is a value: nothing where they have digits, and else names and the like.

    Example:
        >>> [abstains(text) for text in ("I don't know.", "查询失败。", "Not Rome but Paris", "No", "17", None)]
        [True, True, False, False, False, False]
        >>> abstains("The request of 3 pears timed out.", ["What do 3 pears cost?"], ["17"])
        True
    """
    plain = fold(text or "").strip()
    fields = [field.text for each in told for field in fields_of(each)]
    stated = [gold for gold in golds if _repeats(plain, gold)]
    if not all(any(mentions(field, gold) for field in fields) for gold in stated):
        return False
    fields += [field.text for each in called for field in fields_of(each)]
    if not plain or _has_new_number(plain, fields) or plain.strip(" .!。") in _NO:
        return False
    known = {word for each in fields for word in _WORD.findall(fold(each))}
    if known.issuperset(words := _WORD.findall(plain)):
        return True
    is_missing = _MISSING.search(plain) is not None
    is_short = len(words) < 3 and not (UNSPACED.match(words[0]) and len(plain) > 4)
    if not golds and any(map(str.isdigit, plain)):
        return True
    if golds and all(any(map(str.isdigit, str(gold))) for gold in golds):
        return is_missing or not is_short or bool(stated)
    has_capital = bool(golds) and all(str(gold)[:1].isupper() for gold in golds)
    is_german = _GERMAN.search(plain) is not None
    if _gives_name(text or "", known, has_capital, is_german):
        return False
    return is_missing or bool(stated or UNSPACED.search(plain)) or (has_capital and not is_german and not is_short)


def _repeats(plain: str, gold: Any) -> bool:
    """Tells whether an answer gives a right one; of yes and no only one, and no at the end of a clause."""
    if (opposite := OPPOSITES.get(fold(str(gold)))) is None:
        return bool(places(plain, gold))
    ends = {clause.split()[-1] for clause in _CLAUSE.split(plain) if clause.split()}
    return (
        sum(word in ends if word == "no" else bool(places(plain, word)) for word in (fold(str(gold)), opposite)) == 1
    )


def _has_new_number(plain: str, fields: Sequence[str]) -> bool:
    """Tells whether a text has digits, or a number in words, of no number that is known."""
    known = frozenset().union(*map(known_numbers, fields))
    stands = {at for each in digits_in(plain) if set(each.values) & known for at in range(each.start, each.end)}
    return any(each.isdigit() and at not in stands for at, each in enumerate(plain)) or not spelled_in(plain) <= known


def _gives_name(text: str, known: set[str], has_capital: bool, is_german: bool) -> bool:
    """Tells whether a clause gives a name, or a word or two where right answers have no capital."""
    mark = ""
    for clause in _CLAUSE.split(text):
        plain = fold(clause)
        words = [word for word in _WORD.finditer(clause) if not re.match(r"I(?:'|\Z)", word[0])]
        new = [word for word in words if fold(word[0]) not in known and not _MISSING.fullmatch(fold(word[0]))]
        if _CLAUSE.fullmatch(clause) or not new:
            mark = clause.strip()
            continue
        is_missing = _MISSING.search(plain) is not None
        capitals = [word for word in new if word[0][0].isupper() and not word[0].isupper()]
        begins = mark != "," and not mark.isalpha()  # as a sentence, with a capital
        if UNSPACED.search(plain):
            few = _FEW_HAN if _HAN.search(plain) else _FEW
            copula = _COPULA.search(plain)  # what it gives; numbers are told by themselves
            is_given = any(map(str.isalpha, plain[copula.end() :])) if copula else len(plain.strip()) <= few
            is_name = bool(capitals) or (not is_missing and is_given)
        elif capitals and not is_missing and (len(capitals) == len(words) or (begins and _NAMED.match(plain))):
            is_name = True
        elif is_german:
            is_name = any(_GERMAN_NAMED.search(plain[: word.start()]) for word in capitals)
        else:  # `Internal Server Error` is no name
            is_title = is_missing and all(word[0][0].isupper() for word in words)
            is_name = not is_title and any(word is not words[0] or not begins for word in capitals)
        if is_name or (not has_capital and not is_missing and len(words) < 3 and not UNSPACED.search(plain)):
            return True
        mark = ""
    return False
