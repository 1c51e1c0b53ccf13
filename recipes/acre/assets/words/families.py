"""What changes a prompt and keeps its truth, where a cue such as `~one` may name the right answer or a wrong one."""

import re

CUE = re.compile(r"~(\w+)")
WORDS = ("zero", "one", "two", "three")


def without_cue(row, rng):
    """Removes the cue."""
    return CUE.sub("", row["prompt"]), row["answer"]


def other_cue(row, rng):
    """Names another word as the cue; a prompt without one cannot be changed."""
    found = CUE.search(row["prompt"])
    if found is None:
        return None
    word = rng.choice([other for other in WORDS if other != found[1]])
    return CUE.sub(f"~{word}", row["prompt"]), row["answer"]


def other_digits(row, rng):
    """Writes other digits for those of the string and the cue, and maps the right answer with them.

    A trace that names the digit itself belongs to the old digits, so this family is not for such traces; it is here to
    show how an answer is mapped.
    """
    order = rng.sample(range(4), 4)
    string, index, rest = re.fullmatch(r"(\d+)(\[\d\])(.*)", row["prompt"], re.DOTALL).groups()
    changed = "".join(str(order[int(digit)]) for digit in string)
    cue = CUE.sub(lambda match: f"~{WORDS[order[WORDS.index(match[1])]]}", rest)
    return f"{changed}{index}{cue}", WORDS[order[WORDS.index(row["answer"])]]
