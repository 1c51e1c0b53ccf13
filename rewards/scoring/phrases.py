import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rewards.reading.responses import Completion, completion_text


def read_phrases(path: str | Path) -> list[str]:
    """Reads the phrases of a file, each once; whitespace around them and empty lines do not count."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{path}, line {line}: byte {error.object[error.start]:#04x} is not UTF-8. Save the file as UTF-8."
        ) from error
    except OSError as error:
        raise ValueError(
            f"{path} cannot be read: {error.strerror or error}. Give a UTF-8 file with one phrase a line."
        ) from error
    phrases = list(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))
    if not phrases:
        raise ValueError(f"{path} holds no phrase. Write one a line.")
    if "\0" in text:
        raise ValueError(f"{path} holds a NUL character, which no text has. Give a text file with one phrase a line.")
    return phrases


class Phrases:
    """Counts phrases of a file in responses; for `audit_funcs`, since a reward for it would teach to write them.

    A phrase is there where its words stand side by side as whole words; case and the width of spaces do not count.

    Args:
        file: A UTF-8 file with one phrase a line, such as the `phrases.txt` of `align eval --mine`.
        count: Whether to return how many times phrases are there; else 1.0 if any is, and 0.0.
    """

    __name__ = "phrases"
    better = "neither"  # which depends on the phrases
    about_form = True  # they are counted wherever they stand

    def __init__(self, file: str, count: bool = False) -> None:
        if not isinstance(file, str):
            raise ValueError(f"`file` must be the path of a file with one phrase a line, got {file!r}.")
        if not isinstance(count, bool):
            raise ValueError(f"`count` must be true or false, got {count!r}.")
        self.count = count
        self.phrases = read_phrases(file)
        longest_first = sorted(self.phrases, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(_pattern, longest_first)), re.IGNORECASE)

    def __call__(self, completions: Sequence[Completion], **kwargs: Any) -> list[float]:
        """Scores completions, plain or conversational."""
        return [self._score(completion_text(completion)) for completion in completions]

    def _score(self, text: str) -> float:
        if self.count:
            return float(sum(1 for _ in self._pattern.finditer(text)))
        return float(self._pattern.search(text) is not None)


def _pattern(phrase: str) -> str:
    """Writes a phrase as a pattern; an edge that is a letter or a digit does not stand within a word."""
    before, after = r"(?<!\w)" if phrase[0].isalnum() else "", r"(?!\w)" if phrase[-1].isalnum() else ""
    return before + r"\s+".join(map(re.escape, phrase.split())) + after
