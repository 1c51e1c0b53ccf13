"""Pairs of responses in a terminal, with what is marked in them."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from align.data.conversations import message_text
from align.report.run.marked_text import mark_text

LONGEST = 600  # characters of a response that are shown
PROMPT = 200
# Underlined and in brackets too, so that marks are seen without colours.
MARKED = {"chosen": "green underline", "rejected": "red underline"}
UNORDERED = {"chosen": "first", "rejected": "second"}


def print_samples(samples: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Prints each pair as its prompt and two responses, with the marked parts [in brackets]."""
    for sample in samples:
        title = Text(f"\nrow {sample['row']} ({_visible(str(sample['id']))})", "bold")
        console.print(title.append(_visible(_kind(sample)), "not bold"))
        console.print(Text().append("prompt    ", "dim").append(_visible(_shorten(_last_words(sample["prompt"])))))
        for side, style in MARKED.items():
            text = Text().append(f"{UNORDERED[side] if sample.get('tie') else side:<10}", "dim")
            for piece in mark_text(sample[side], sample.get(f"{side}_spans"), LONGEST):
                shown = _visible(piece.text)
                text.append(f"[{shown}]" if piece.marked else shown, style if piece.marked else "")
                text.append(" ... " if piece.left_out else "", "dim")
            console.print(text)


def _kind(sample: Mapping[str, Any]) -> str:
    """Says how a pair came about, where the data does."""
    parts = [sample.get("source"), sample.get("attribute"), "a tie" if sample.get("tie") else None]
    return "".join(f", {part}" for part in parts if part)


def _last_words(prompt: str | Sequence[Mapping[str, Any]]) -> str:
    """Returns a prompt's text, of a conversation the last message."""
    return prompt if isinstance(prompt, str) else message_text(prompt[-1])


def _shorten(text: str) -> str:
    return text if len(text) <= PROMPT else f"{text[: PROMPT // 2]} ... {text[-PROMPT // 2 :]}"


def _visible(text: str) -> str:
    """Writes control characters out, so that data cannot steer the terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
