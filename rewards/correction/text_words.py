"""Words of a text in any script, to learn from what they are worth."""

import re
from itertools import pairwise

# Chinese, Japanese, Thai, Lao, Burmese and Khmer are written without spaces between words.
_UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff"
_RUN = re.compile(rf"[{_UNSPACED}]+|[^\W{_UNSPACED}]{{2,}}")


def words(text: str) -> list[str]:
    """Lists words of two letters or more in small letters; of a script without spaces, its characters and their pairs.

    Example:
        >>> words("A cat in 北京市")
        ['cat', 'in', '北', '京', '市', '北京', '京市']
    """
    found: list[str] = []
    for run in _RUN.findall(text.lower()):
        if re.match(rf"[{_UNSPACED}]", run):
            found += [*run, *map("".join, pairwise(run))]
        else:
            found.append(run)
    return found
