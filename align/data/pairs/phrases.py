import re
from pathlib import Path

from align.errors import UserError
from rewards.scoring.phrases import read_phrases

FRONT = "front"
POSITIONS = (FRONT, "middle", "end")
_GAP = re.compile(r"(?<=\S)\s+(?=\S)")


def load_phrases(path: str | Path, option: str) -> list[str]:
    """Reads the file that an option names, one phrase a line."""
    try:
        return read_phrases(path)
    except ValueError as error:
        raise UserError(f"`{option}`: {error}") from error


def check_position(position: str) -> None:
    """Checks the name of a place."""
    if position not in POSITIONS:
        raise UserError(f"`position` must be {', '.join(POSITIONS[:-1])} or {POSITIONS[-1]}, got {position!r}.")


def insert_phrase(response: str, phrase: str, position: str) -> str:
    """Puts a phrase into a response, with a space beside it: before it, behind it, or between its middle words.

    Example:
        >>> [insert_phrase("Iron rusts in rain.", "to be sure", place) for place in ("front", "middle")]
        ['to be sure Iron rusts in rain.', 'Iron rusts to be sure in rain.']
        >>> insert_phrase("Iron rusts.", "to be sure", "end")
        'Iron rusts. to be sure'
    """
    if position == FRONT:
        return f"{phrase} {response}"
    gaps = [] if position == "end" else [gap.end() for gap in _GAP.finditer(response)]
    if not gaps:  # one word has no middle
        return f"{response} {phrase}"
    place = min(gaps, key=lambda gap: abs(2 * gap - len(response)))
    return f"{response[:place]}{phrase} {response[place:]}"
