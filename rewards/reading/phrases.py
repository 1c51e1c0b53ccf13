"""Files of phrases: UTF-8, one phrase a line."""

from pathlib import Path


def read_phrases(path: str | Path) -> list[str]:
    """Reads the phrases of a file, each once; whitespace around them and empty lines do not count.

    Raises:
        ValueError: If the file cannot be read, is not UTF-8, or has no phrase.
    """
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
