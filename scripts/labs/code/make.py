"""Makes small programming tasks with tests and solutions, for GRPO with `code_accuracy`.

    python -m scripts.labs.code.make --out recipes/grpo/assets/code

Every task asks for one function of one line; its tests are what that line returns for a few arguments. Each fourth
task is held out.
"""

from pathlib import Path
from typing import Any

from scripts.harness import Options, write_rows

SHOWN = """Write triple(x), which returns x times 3.
```python
def triple(x):
    return x * 3
```

Write ends_with_dot(s), which tells whether s ends with a dot.
```python
def ends_with_dot(s):
    return s.endswith(".")
```

"""
NUMBERS = [(0,), (1,), (7,), (-4,)]
PAIRS = [(2, 3), (0, 5), (-4, 1), (9, 9)]
TEXTS = [("cat",), ("",), ("Level",), ("a b c",)]
LISTS = [([3, 1, 2],), ([5],), ([4, 4, -1, 0],)]
# Name, parameters, what it does, the line behind `return`, and arguments.
TASKS: list[tuple[str, str, str, str, list[Any]]] = [
    ("add", "a, b", "returns the sum of a and b", "a + b", PAIRS),
    ("subtract", "a, b", "returns a minus b", "a - b", PAIRS),
    ("multiply", "a, b", "returns a times b", "a * b", PAIRS),
    ("largest", "a, b", "returns the larger one of a and b", "max(a, b)", PAIRS),
    ("smallest", "a, b", "returns the smaller one of a and b", "min(a, b)", PAIRS),
    ("distance", "a, b", "returns how far a and b are apart, never below 0", "abs(a - b)", PAIRS),
    ("same", "a, b", "tells whether a and b are equal", "a == b", PAIRS),
    ("above", "a, b", "tells whether a is larger than b", "a > b", PAIRS),
    ("mean", "a, b", "returns the mean of a and b", "(a + b) / 2", PAIRS),
    ("pair", "a, b", "returns the list of a and b", "[a, b]", PAIRS),
    ("double", "x", "returns x times 2", "x * 2", NUMBERS),
    ("square", "x", "returns x times x", "x * x", NUMBERS),
    ("cube", "x", "returns x to the power of 3", "x ** 3", NUMBERS),
    ("next_number", "x", "returns x plus 1", "x + 1", NUMBERS),
    ("previous_number", "x", "returns x minus 1", "x - 1", NUMBERS),
    ("negate", "x", "returns minus x", "-x", NUMBERS),
    ("absolute", "x", "returns the absolute value of x", "abs(x)", NUMBERS),
    ("is_even", "x", "tells whether x is even", "x % 2 == 0", NUMBERS),
    ("is_odd", "x", "tells whether x is odd", "x % 2 == 1", NUMBERS),
    ("is_positive", "x", "tells whether x is larger than 0", "x > 0", NUMBERS),
    ("is_zero", "x", "tells whether x is 0", "x == 0", NUMBERS),
    ("last_digit", "x", "returns the last digit of the absolute value of x", "abs(x) % 10", NUMBERS),
    ("as_text", "x", "returns x as a string", "str(x)", NUMBERS),
    ("half", "x", "returns x divided by 2", "x / 2", NUMBERS),
    ("length", "s", "returns the number of characters of s", "len(s)", TEXTS),
    ("upper", "s", "returns s in upper case", "s.upper()", TEXTS),
    ("lower", "s", "returns s in lower case", "s.lower()", TEXTS),
    ("backwards", "s", "returns s backwards", "s[::-1]", TEXTS),
    ("twice", "s", "returns s written twice", "s + s", TEXTS),
    ("is_empty", "s", "tells whether s is empty", 's == ""', TEXTS),
    ("first_two", "s", "returns the first two characters of s", "s[:2]", TEXTS),
    ("last_two", "s", "returns the last two characters of s", "s[-2:]", TEXTS),
    ("has_a", "s", "tells whether the letter a is in s", '"a" in s', TEXTS),
    ("count_a", "s", "returns how often the letter a is in s", 's.count("a")', TEXTS),
    ("without_spaces", "s", "returns s without spaces", 's.replace(" ", "")', TEXTS),
    ("words", "s", "returns the list of the words of s", "s.split()", TEXTS),
    ("shout", "s", "returns s with an exclamation mark at the end", 's + "!"', TEXTS),
    ("letters", "s", "returns the list of the characters of s", "list(s)", TEXTS),
    ("total", "items", "returns the sum of the numbers in items", "sum(items)", LISTS),
    ("highest", "items", "returns the largest number in items", "max(items)", LISTS),
    ("lowest", "items", "returns the smallest number in items", "min(items)", LISTS),
    ("count", "items", "returns how many numbers are in items", "len(items)", LISTS),
    ("in_order", "items", "returns the list of items in ascending order", "sorted(items)", LISTS),
    ("reverse", "items", "returns items as a list in reverse order", "items[::-1]", LISTS),
    ("first", "items", "returns the first one of items", "items[0]", LISTS),
    ("last", "items", "returns the last one of items", "items[-1]", LISTS),
    ("doubled", "items", "returns the list of the numbers in items, each times 2", "[x * 2 for x in items]", LISTS),
    ("evens", "items", "returns the list of the even numbers in items", "[x for x in items if x % 2 == 0]", LISTS),
]


def make_rows() -> list[dict[str, Any]]:
    """Makes a row of each task; what a test expects is what the solution returns."""
    rows = []
    for name, parameters, what, line, arguments in TASKS:
        solution = f"def {name}({parameters}):\n    return {line}"
        names: dict[str, Any] = {}
        exec(solution, names)
        calls = [(f"{name}({', '.join(map(repr, given))})", names[name](*given)) for given in arguments]
        rows.append(
            {
                "id": name,
                "prompt": f"{SHOWN}Write {name}({parameters}), which {what}.\n",
                "tests": [f"assert {call} == {value!r}" for call, value in calls],
                "solution": solution,
            }
        )
    return rows


def main() -> None:
    """Writes both files."""
    parser = Options(__doc__)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    rows = make_rows()
    for file, chosen in (
        ("train.jsonl", [row for i, row in enumerate(rows) if i % 4 != 3]),
        ("eval.jsonl", [row for i, row in enumerate(rows) if i % 4 == 3]),
    ):
        write_rows(out / file, chosen)
        print(f"{out / file}: {len(chosen)} tasks")


if __name__ == "__main__":
    main()
