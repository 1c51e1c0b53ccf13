"""Changes to a pair of responses that leave their meaning, and so their order, as it was.

Words, numbers, links and code stay; what surrounds them changes. Every change depends on its seed only. The kinds
follow reWordBench (arXiv 2503.11751); texts and code are ours.
"""

import random
import re
from collections.abc import Callable

from align.evaluation.heuristics import KEPT

Change = Callable[[str, random.Random], str]
PairChange = Callable[[str, str, int | str], tuple[str, str]]

_FENCE = re.compile(r"```(?P<language>[^\s`]*)[^\n`]*\n(?P<code>.*?)(?P<end>\n?```)", re.DOTALL)
_BOXED = re.compile(r"\\boxed\{(?P<answer>(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}")
_HEADED = re.compile(r"\n+# Answer\n+(?P<answer>[^\n]+)\s*\Z")
_COMMENT_MARKS = {
    "#": "python py python3 bash sh shell ruby rb r perl julia",
    "//": "c cpp c++ cs c# csharp java javascript js jsx typescript ts tsx go rust rs swift kotlin scala php",
    "--": "sql lua haskell hs",
}
COMMENT_MARK_OF = {name: mark for mark, names in _COMMENT_MARKS.items() for name in names.split()}
CLOSING_SENTENCES = (
    "That is the whole of this reply.",
    "This is where the reply ends.",
    "Nothing more follows after this line.",
    "The reply is complete at this point.",
)


def space_words(text: str, rng: random.Random) -> str:
    """Doubles about half of the spaces between words.

    Example:
        >>> space_words("one two three `a b`", random.Random(1))
        'one  two three `a b`'
    """
    return _outside_code(r"(?<=\S) (?=\S)", lambda match: "  " if rng.random() < 0.5 else " ", text)


def curl_quotes(text: str, rng: random.Random) -> str:
    """Makes straight quotation marks and apostrophes typographic ones.

    Example:
        >>> curl_quotes('Say "so", not `"x"`.', random.Random(0))
        'Say “so”, not `"x"`.'
    """
    text = _outside_code(r'"([^"`\n]*)"', lambda match: f"“{match[2]}”", text)
    return _outside_code(r"(?<=\w)'(?=\w)", lambda match: "\N{RIGHT SINGLE QUOTATION MARK}", text)


def quote_whole(text: str, rng: random.Random) -> str:
    """Puts the whole response in quotation marks.

    Example:
        >>> quote_whole("Four.", random.Random(0))
        '"Four."'
    """
    return f'"{text}"'


def space_punctuation(text: str, rng: random.Random) -> str:
    """Puts a space before the punctuation after a word.

    Example:
        >>> space_punctuation("So, 3.5 is more. See http://a.b, or `c, d`.", random.Random(0))
        'So , 3.5 is more . See http://a.b, or `c, d`.'
    """
    return _outside_code(r"(?<=[^\W\d_])([,;:!?.])(?=\s|\Z)", lambda match: f" {match[2]}", text)


def strip_markdown(text: str, rng: random.Random) -> str:
    r"""Takes away headings, bullets, bold and italics, and keeps code.

    Example:
        >>> strip_markdown("# Sum\n- **two** and *two*\n- `**kwargs`, 2 * 3 * 4", random.Random(0))
        'Sum\ntwo and two\n`**kwargs`, 2 * 3 * 4'
    """
    text = _outside_code(r"(?m:^#{1,6}[ \t]+)", lambda match: "", text)
    text = _outside_code(r"(?m:^([ \t]*)[-*+][ \t]+)", lambda match: match[2], text)
    text = _outside_code(r"\*\*(?=\S)([^\n]+?)(?<=\S)\*\*", lambda match: match[2], text)
    return _outside_code(r"(?<![\w*])\*(?=\S)([^*\n]+?)(?<=\S)\*(?![\w*])", lambda match: match[2], text)


def add_markdown(text: str, rng: random.Random) -> str:
    r"""Adds a heading, and sets the first sentence in bold unless it has markup or code.

    Example:
        >>> add_markdown("It is four. Two and two.", random.Random(0))
        '## Reply\n\n**It is four.** Two and two.'
    """
    bold = re.sub(r"\A([^\s#>*`|\-+\d][^\n*`]*?[.!?])(?=\s|\Z)", r"**\1**", text)
    return f"## Reply\n\n{bold}"


def add_closing(text: str, rng: random.Random) -> str:
    r"""Adds a closing sentence that says nothing.

    Example:
        >>> add_closing("Four.", random.Random(0))
        'Four.\n\nThe reply is complete at this point.'
    """
    return f"{text}\n\n{rng.choice(CLOSING_SENTENCES)}"


def comment_code(text: str, remark: str) -> str:
    r"""Adds a comment at the end of each fenced block whose language is known.

    Example:
        >>> print(comment_code("So:\n```python\nx = 1\n```", "good"))
        So:
        ```python
        x = 1
        # good
        ```
    """

    def add(match: re.Match[str]) -> str:
        mark = COMMENT_MARK_OF.get(match["language"].lower())
        if mark is None:
            return match[0]
        start = match[0][: match.start("end") - match.start()]
        return f"{start}\n{mark} {remark}\n```"

    return _FENCE.sub(add, text)


def swap_format(chosen: str, rejected: str, seed: int | str) -> tuple[str, str]:
    r"""Gives each response the form of the other: a boxed answer and one under a heading, or Markdown and plain text.

    Example:
        >>> swap_format("Add.\n\n# Answer\n\n4", "So it is \\boxed{5}.", 0)
        ('Add.\n\n\\boxed{4}', 'So it is 5.\n\n# Answer\n\n5')
        >>> swap_format("It is **four**.", "Five.", 0)
        ('It is four.', '## Reply\n\n**Five.**')
    """
    if _HEADED.search(chosen) and _BOXED.search(rejected):
        return _box(chosen), _put_under_heading(rejected)
    if _BOXED.search(chosen) and _HEADED.search(rejected):
        return _put_under_heading(chosen), _box(rejected)
    rng = random.Random(seed)
    plain = strip_markdown(chosen, rng), strip_markdown(rejected, rng)
    if plain[0] != chosen and plain[1] == rejected:
        return plain[0], add_markdown(rejected, rng)
    if plain[0] == chosen and plain[1] != rejected:
        return add_markdown(chosen, rng), plain[1]
    return chosen, rejected


def _box(text: str) -> str:
    return _HEADED.sub(lambda match: f"\n\n\\boxed{{{match['answer'].strip()}}}", text)


def _put_under_heading(text: str) -> str:
    answer = _BOXED.findall(text)[-1]
    return f"{_BOXED.sub(lambda match: match['answer'], text)}\n\n# Answer\n\n{answer}"


def _outside_code(pattern: str, replace: Callable[[re.Match[str]], str], text: str) -> str:
    """Replaces a pattern, whose groups count from 2, outside of code and links; line starts stay line starts."""
    both = re.compile(f"{KEPT}|{pattern}", re.DOTALL)
    return both.sub(lambda match: match[0] if match["kept"] is not None else replace(match), text)


def _alike(change: Change) -> PairChange:
    def change_both(chosen: str, rejected: str, seed: int | str) -> tuple[str, str]:
        return change(chosen, random.Random(seed)), change(rejected, random.Random(seed))

    return change_both


TRANSFORMATIONS: dict[str, PairChange] = {
    "whitespace": _alike(space_words),
    "typographic_quotes": _alike(curl_quotes),
    "quoted": _alike(quote_whole),
    "punctuation_spacing": _alike(space_punctuation),
    "markdown_stripped": _alike(strip_markdown),
    "markdown_added": _alike(add_markdown),
    "closing_sentence": _alike(add_closing),
    "format_swapped": swap_format,
    "comment_both_good": lambda chosen, rejected, seed: (comment_code(chosen, "good"), comment_code(rejected, "good")),
    "comment_both_bad": lambda chosen, rejected, seed: (comment_code(chosen, "bad"), comment_code(rejected, "bad")),
    "comment_bad_good": lambda chosen, rejected, seed: (comment_code(chosen, "bad"), comment_code(rejected, "good")),
}
